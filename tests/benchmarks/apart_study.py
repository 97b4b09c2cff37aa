"""Two runs made one after the other on a made-up machine: what the machine did in between, taken for the code's doing.

Each run has a gate's targets and its control, as in ``gate_study``; nothing is paired.
"""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from estimators import PASSES
from finding import MAX_FALSE, Finding, percent
from gate_study import CONTROL, LONGER, SLOWED, TARGETS, TWIN, Seconds
from noise_models import MODELS, Machine, within

from esrbench.ratio import Ratio, paired_ratio, unpaired_ratios
from esrbench.verdict import Bar, Verdict, judge

RUN_ROUNDS = 10
BETWEEN_LAUNCHES = 20
"""What else the machine does between the two."""


class Named(NamedTuple):
    """Which targets are called faster or slower; only the head's slowed one may be."""

    alone: frozenset[int]  # by Welch's interval on each target's own speeds
    among: frozenset[int]  # as esrbench does


def apart(count: int, each: Callable[..., Iterator[Named]]) -> Finding:
    """How often two runs of equal code, and of code that made one target slower, are told apart, and rightly."""
    rows, missed = [], []
    for model in MODELS:
        for longer in LONGER:
            found = list(each(compared, [model] * count, [longer] * count, range(count), chunksize=20))
            right = {SLOWED} if longer > 1 else set[int]()
            shares = [
                share
                for way in ("alone", "among")
                for share in (
                    sum(bool(getattr(one, way) - right) for one in found) / count,
                    sum(SLOWED in getattr(one, way) for one in found) / count,
                )
            ]
            cells = [percent(share) if place % 2 == 0 or right else "–" for place, share in enumerate(shares)]
            rows.append(f"| {model} | {f'{longer - 1:.0%}' if right else '–'} | {' | '.join(cells)} |")
            if shares[2] > MAX_FALSE:
                missed.append(
                    f"{model}, one slower by {longer - 1:.0%}: {percent(shares[2])} of pairs of runs misjudged"
                )
    head = (
        f"{count} pairs of runs each, of {TARGETS} targets and {RUN_ROUNDS} rounds.\n\n"
        "| machine | one target slower by | each by itself: a false claim | it is found "
        "| among the others too: a false claim | it is found |\n| :-- |" + " --: |" * 5 + "\n"
    )
    return Finding(head + "\n".join(rows), missed)


def compared(model: str, longer: float, seed: int) -> Named:
    """Two runs, and what is claimed of them."""
    chance = random.Random(f"apart {model} {longer} {seed}")
    machine = MODELS[model](chance)
    base = _run(machine, chance, 1.0)
    for _ in range(BETWEEN_LAUNCHES):
        next(machine)
    head = _run(machine, chance, longer)
    floors = [_speed_ratio(run[TWIN], run[CONTROL]) for run in (base, head)]
    bar = msgspec.structs.replace(Bar(), noise=max(floor.size for floor in floors))
    ratios = unpaired_ratios(_speeds(base), _speeds(head))
    by_themselves = [
        ratio
        for target in range(TARGETS)
        for ratio in unpaired_ratios(*([_speeds(run)[target]] for run in (base, head)))
    ]
    return Named(alone=_claimed(by_themselves, bar), among=_claimed(ratios, bar))


def _run(machine: Machine, chance: random.Random, longer: float) -> Seconds:
    seconds: Seconds = [{} for _ in range(TARGETS + 1)]
    for round_ in range(RUN_ROUNDS):
        for case in chance.sample(range(TARGETS + 1), TARGETS + 1):
            factor = longer if case == SLOWED else 1.0
            seconds[case][round_] = factor * next(machine) * statistics.median(within(chance, PASSES))
    return seconds


def _speeds(run: Seconds) -> list[dict[int, float]]:
    return [{round_: 1 / second for round_, second in case.items()} for case in run[:TARGETS]]


def _claimed(ratios: Sequence[Ratio | None], bar: Bar) -> frozenset[int]:
    verdicts = [one.verdict for one in judge(ratios, bar)]
    return frozenset(place for place, verdict in enumerate(verdicts) if verdict in {Verdict.FASTER, Verdict.SLOWER})


def _speed_ratio(base_s: dict[int, float], head_s: dict[int, float]) -> Ratio:
    found = paired_ratio(*({round_: 1 / second for round_, second in side.items()} for side in (base_s, head_s)))
    assert found is not None
    return found
