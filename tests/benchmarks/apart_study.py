"""Two runs made one after the other on a made-up machine: what the machine did in between, taken for the code's doing.

Each run has its targets and its control; nothing is paired.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from estimators import launch_of
from finding import MAX_FALSE, Finding, percent
from noise_models import MODELS, Machine

from esrbench.among import ratios_apart
from esrbench.ratio import Ratio, paired_ratio, welch
from esrbench.verdict import Bar, Verdict, judge

RUN_ROUNDS = 10
BETWEEN_LAUNCHES = 20
"""What else the machine does between the two."""

SIZES = ((2, 0), (2, 1), (3, 0), (3, 1), (5, 0), (5, 1), (5, 2), (9, 0), (9, 3))
"""Targets of a run, and how many of them are slower in the head."""

LONGER = 1.10


class Named(NamedTuple):
    """Which targets are called faster or slower."""

    alone: frozenset[int]  # by Welch's interval on each target's own speeds
    among: frozenset[int]  # as esrbench does


def apart(count: int, each: Callable[..., Iterator[Named]]) -> Finding:
    """How often two runs of equal code, and of code that made targets slower, are told apart, and rightly."""
    rows, missed = [], []
    for model in MODELS:
        for targets, slowed in SIZES:
            found = list(
                each(compared, [model] * count, [targets] * count, [slowed] * count, range(count), chunksize=20)
            )
            false, hit = _shares([one.among for one in found], slowed)
            cells = [str(targets), str(slowed), *_shares_text(*_shares([one.alone for one in found], slowed), slowed)]
            rows.append(f"| {model} | {' | '.join([*cells, *_shares_text(false, hit, slowed)])} |")
            if false > MAX_FALSE and (targets, slowed) != (2, 1):
                missed.append(f"{model}, {slowed} of {targets} slower: {percent(false)} of pairs of runs misjudged")
    head = (
        f"{count} pairs of runs each, of {RUN_ROUNDS} rounds.\n\n"
        "| machine | targets | of them slower by 10 % | each by itself: a false claim | of the slower, found "
        "| among the others too: a false claim | of the slower, found |\n| :-- |" + " --: |" * 6 + "\n"
    )
    return Finding(head + "\n".join(rows), missed)


def _shares(named: Sequence[frozenset[int]], slowed: int) -> tuple[float, float]:
    """Of the pairs of runs, those with any false claim; of what was slowed, what was claimed."""
    right = frozenset(range(slowed))
    return (
        sum(bool(one - right) for one in named) / len(named),
        sum(len(one & right) for one in named) / (len(named) * max(slowed, 1)),
    )


def _shares_text(false: float, hit: float, slowed: int) -> tuple[str, str]:
    return percent(false), percent(hit) if slowed else "–"


def compared(model: str, targets: int, slowed: int, seed: int) -> Named:
    """Two runs, of which the head's first targets were slowed, and what is claimed of them."""
    chance = random.Random(f"apart {model} {targets} {slowed} {seed}")
    machine = MODELS[model](chance)
    base = _run(machine, chance, targets, slowed=0)
    for _ in range(BETWEEN_LAUNCHES):
        next(machine)
    head = _run(machine, chance, targets, slowed=slowed)
    floors = [paired_ratio(run[-2], run[-1]) for run in (base, head)]  # the control is the last target's twin
    bar = msgspec.structs.replace(Bar(), noise=max(floor.size for floor in floors if floor))
    alone = [welch(*([math.log(speed) for speed in run[at].values()] for run in (base, head))) for at in range(targets)]
    return Named(alone=_claimed(alone, bar), among=_claimed(ratios_apart(base[:-1], head[:-1]), bar))


def _run(machine: Machine, chance: random.Random, targets: int, *, slowed: int) -> list[dict[int, float]]:
    """Of each target, and of the control: round → speed."""
    speeds: list[dict[int, float]] = [{} for _ in range(targets + 1)]
    for round_ in range(RUN_ROUNDS):
        for case in chance.sample(range(targets + 1), targets + 1):
            longer = LONGER if case < slowed else 1.0
            speeds[case][round_] = 1 / (longer * launch_of(machine, chance))
    return speeds


def _claimed(ratios: Sequence[Ratio | None], bar: Bar) -> frozenset[int]:
    verdicts = [one.verdict for one in judge(ratios, bar)]
    return frozenset(place for place, verdict in enumerate(verdicts) if verdict in {Verdict.FASTER, Verdict.SLOWER})
