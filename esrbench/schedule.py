"""Which case is launched when: seeded random order within a round, each round planned from what is known by then."""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence

from esrbench.record import Case, LaunchRecord, Status

MIN_ROUNDS = 3
"""Rounds that each case should reach before any gets more: two launches give an interval too wide to say anything."""


def shuffled(cases: Sequence[Case], round_: int, seed: int) -> tuple[Case, ...]:
    """The cases of a round in their random order: the same for the same seed."""
    order = list(cases)
    random.Random(f"{seed}:{round_}").shuffle(order)
    return tuple(order)


def costs_s(launches: Iterable[LaunchRecord], despite_failure: Collection[Case] = ()) -> dict[Case, float]:
    """Seconds that the next launch of each case will take, as far as is known: the least that one took.

    The least, because a disturbance only ever adds: a first launch that something else slowed down must not deny its
    case the rounds that would show it. Cases of which a launch did not end ok have no speed and are left out, but for
    those that others are compared with, ``despite_failure``.
    """
    found: dict[Case, float] = {}
    failed: set[Case] = set()
    for launch in launches:
        if launch.status is not Status.OK:
            failed.add(launch.case)
        elif launch.wall_ns is not None:
            found[launch.case] = min(found.get(launch.case, float("inf")), launch.wall_ns / 1e9)
    return {case: cost_s for case, cost_s in found.items() if case not in failed or case in despite_failure}


def taking_part(
    cost_s: Mapping[Case, float], left_s: float, round_: int, leaders: Collection[Case] = ()
) -> tuple[Case, ...]:
    """Choose the cases of a round after the first.

    The ``leaders``, with which others are compared, come first, then the cheapest. A control case comes last, and
    nothing waits for it: it tells the noise of what is there to be measured. Until :data:`MIN_ROUNDS` are done a case
    takes part only if all rounds up to there fit in ``left_s`` with it: the others then get theirs. After that a round
    of its own is enough, so that one too slow, or disturbed whenever it was launched, comes back as soon as there is
    room. On a workload whose leaders do not fit nothing is launched, nor are they where nothing follows.
    """
    rounds = max(1, MIN_ROUNDS - round_)
    chosen: list[Case] = []
    spent_s = 0.0
    for case in sorted(cost_s, key=lambda case: (case.control, case not in leaders, cost_s[case])):
        led_by = {each for each in leaders if each.workload == case.workload and each in cost_s and not each.control}
        if spent_s + cost_s[case] * rounds <= left_s and (case in led_by or led_by <= set(chosen)):
            spent_s += cost_s[case] * rounds
            chosen.append(case)
    return tuple(case for case in chosen if case not in leaders or _is_followed(case, chosen, cost_s, leaders))


def _is_followed(leader: Case, chosen: Iterable[Case], every: Iterable[Case], leaders: Collection[Case]) -> bool:
    """Whether another case of its workload takes part, or there is none at all."""
    followers = {case for case in every if case.workload == leader.workload and case not in leaders}
    return not followers or not followers.isdisjoint(chosen)
