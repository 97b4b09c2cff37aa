"""Which case is launched when: seeded random order within a round, rounds and passes planned from the first one."""

import random
from collections.abc import Mapping, Sequence

from esrbench.record import Case
from esrbench.target import REFERENCE

MIN_ROUNDS = 3
"""Rounds in which a case must fit to be repeated at all: two launches give an interval too wide to say anything."""

MAX_MEASURE_S = 10.0


def shuffled(cases: Sequence[Case], round_: int, seed: int) -> tuple[Case, ...]:
    """The cases of a round in their random order: the same for the same seed."""
    order = list(cases)
    random.Random(f"{seed}:{round_}").shuffle(order)
    return tuple(order)


def repeated(cost_s: Mapping[Case, float], left_s: float, max_rounds: int) -> tuple[Case, ...]:
    """The cases to launch again after round one: the baseline, then as many, cheapest first, as reach `MIN_ROUNDS`.

    A case that one launch shows to be too slow for that keeps its one launch, so that the others get their rounds.
    """
    if max_rounds < MIN_ROUNDS:
        return tuple(cost_s) if sum(cost_s.values()) * (max_rounds - 1) <= left_s and max_rounds > 1 else ()
    chosen: list[Case] = []
    spent_s = 0.0
    for case in sorted(cost_s, key=lambda case: (case.target != REFERENCE, cost_s[case])):
        spent_s += cost_s[case] * (MIN_ROUNDS - 1)
        if spent_s > left_s:
            break
        chosen.append(case)
    return tuple(chosen)


def further_rounds(cost_s: Mapping[Case, float], left_s: float, max_rounds: int) -> int:
    """How many more rounds of all these cases fit in ``left_s``."""
    round_s = sum(cost_s.values())
    return min(max_rounds - 1, int(left_s / round_s)) if round_s > 0 else 0


def longer_measure_s(measure_s: float, cost_s: Mapping[Case, float], rounds: int, left_s: float) -> float:
    """How long each launch of the further rounds may measure: the time that those rounds leave is shared out."""
    launches = rounds * len(cost_s)
    if launches == 0:
        return measure_s
    spare_s = left_s - rounds * sum(cost_s.values())
    return min(MAX_MEASURE_S, measure_s + max(0.0, spare_s) / launches)
