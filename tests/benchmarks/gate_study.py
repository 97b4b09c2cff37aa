"""Whole jobs of ``make bench-ci`` on a made-up machine: its order, its rule of when to measure on, and its verdicts.

Left out are processes, files, the limit of time, and what a launch does besides taking its time.
"""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

import msgspec
from bench_ci import BLOCK, MAX_ROUNDS, ROUNDS, SUITE, in_turns
from estimators import launch_of
from finding import MAX_FALSE, Finding, percent
from noise_models import MODELS, Machine

from esrbench import suite
from esrbench.ratio import Ratio, paired_ratio
from esrbench.verdict import Bar, Judgement, Verdict, judge

TARGETS = len(suite.load(str(SUITE)).targets)
SLOWED, TWIN, CONTROL = TARGETS - 1, 0, TARGETS  # the control is the first target under a second name
LONGER = (1.0, 1.05, 1.10)
"""How many times as long the slowed target takes in the head."""

FEW_ROUNDS = 12
"""What fits where launches are slow and ``--minutes`` few."""

Seconds = list[dict[int, float]]
"""Of each case of a side, by round."""


class Job(NamedTuple):
    """How one ended."""

    judgements: Sequence[Judgement]  # of the targets
    rounds: int

    @property
    def is_unclear(self) -> bool:
        """Whether more rounds might say more."""
        return any(one.verdict is Verdict.UNCLEAR for one in self.judgements)

    def named(self) -> set[int]:
        """The targets that the gate names."""
        return {target for target, one in enumerate(self.judgements) if one.verdict is Verdict.SLOWER}

    def fails(self) -> bool:
        """Whether it names any."""
        return bool(self.named())

    def finds_the_slowed(self) -> bool:
        """Whether it names the one that may have been slowed."""
        return SLOWED in self.named()

    def names_another(self) -> bool:
        """Whether it names one that was not."""
        return bool(self.named() - {SLOWED})


def gate(count: int, each: Callable[..., Iterator[Job]]) -> Finding:
    """Of equal code, and of code that made one target slower: how many jobs fail, and for what."""
    rows, missed = [], []
    for model in MODELS:
        for most in (FEW_ROUNDS, MAX_ROUNDS):
            for longer in LONGER:
                jobs = list(each(job, *([part] * count for part in (model, most, longer)), range(count), chunksize=20))
                fails, finds, others = (
                    sum(map(true, jobs)) / count for true in (Job.fails, Job.finds_the_slowed, Job.names_another)
                )
                slowed = [f"{longer - 1:.0%}", percent(fails), percent(finds), percent(others)]
                cells = ["–", percent(fails), "–", "–"] if longer == 1 else slowed
                rounds = statistics.median_low(one.rounds for one in jobs)
                rows.append(f"| {model} | {most} | {' | '.join(cells)} | {rounds} |")
                if longer == 1 and fails > MAX_FALSE:
                    missed.append(f"{model}, {most} rounds: {percent(fails)} of jobs of equal code fail")
    head = (
        f"{count} jobs each of {TARGETS} targets, from {ROUNDS} rounds on looked at every {BLOCK}.\n\n"
        "| machine | rounds at most | one target slower by | jobs that fail | that name it | that name another "
        "| rounds, median |\n| :-- |" + " --: |" * 6 + "\n"
    )
    return Finding(head + "\n".join(rows), missed)


def job(model: str, most: int, longer: float, seed: int) -> Job:
    """Base and head in turns, one target of the head ``longer`` times as slow, until no verdict is unclear."""
    chance = random.Random(f"job {model} {longer} {seed}")
    base: Seconds = [{} for _ in range(TARGETS + 1)]
    head: Seconds = [{} for _ in range(TARGETS + 1)]
    measured = _measured(base, head, longer, MODELS[model](chance), chance)
    looks = (Job(_judged(base, head), done) for done in takewhile(lambda done: done <= most, measured))
    look = next(looks)
    while look.is_unclear and (further := next(looks, None)):
        look = further
    return look


def _measured(base: Seconds, head: Seconds, longer: float, machine: Machine, chance: random.Random) -> Iterator[int]:
    """Fill in round after round; yields how many there are whenever the verdicts are looked at."""
    for round_ in range(MAX_ROUNDS):
        order = chance.sample(range(TARGETS + 1), TARGETS + 1)
        for side in in_turns((base, head), round_):
            for case in order:
                factor = longer if side is head and case == SLOWED else 1.0
                side[case][round_] = factor * launch_of(machine, chance)
        done = round_ + 1
        if done >= ROUNDS and (done - ROUNDS) % BLOCK == 0:
            yield done


def _judged(base: Seconds, head: Seconds) -> tuple[Judgement, ...]:
    """As `esrbench compare` does: the bar is the larger of what the controls differ by."""
    floors = [_ratio(side[TWIN], side[CONTROL]) for side in (base, head)]
    bar = msgspec.structs.replace(Bar(), noise=max(floor.size for floor in floors))
    return judge([_ratio(base[target], head[target]) for target in range(TARGETS)], bar)


def _ratio(base_s: dict[int, float], head_s: dict[int, float]) -> Ratio:
    """Of speeds."""
    found = paired_ratio(*({round_: 1 / second for round_, second in side.items()} for side in (base_s, head_s)))
    assert found is not None
    return found
