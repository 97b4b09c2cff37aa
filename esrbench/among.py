"""Two runs made one after the other: each case by itself, and among the others, which met the same machine.

What a machine does to all cases is in the first ratio and not in the second; what the code does to one is in both.
"""

import statistics
from collections.abc import Collection, Mapping, Sequence
from math import log

import msgspec

from esrbench.ratio import Ratio, welch
from esrbench.stats import MIN_ROUNDS
from esrbench.verdict import WORTH

_Logs = Mapping[int, float]
"""Round → logarithm of a speed."""

_Case = tuple[_Logs, _Logs]
"""Of the base and of the head."""


def ratios_apart(base: Sequence[Mapping[int, float]], head: Sequence[Mapping[int, float]]) -> list[Ratio | None]:
    """``head / base`` of each case; each maps its rounds to a speed. Their ``among`` is None where there is one case.

    Among the others a speed is divided by what these had in its round: the median of their deviations from their own
    means. They are the cases that have most of the rounds and did not move against each other; it is supposed that
    these are more than half, and that they feel the machine alike.
    """
    cases = [(_logs(before), _logs(after)) for before, after in zip(base, head, strict=True)]
    found = [welch(list(before.values()), list(after.values())) for before, after in cases]
    if len(cases) < 2:
        return found
    steady = _steady(cases)
    return [
        None if ratio is None else msgspec.structs.replace(ratio, among=_among(cases, at, steady) or _unknown(ratio))
        for at, ratio in enumerate(found)
    ]


def caveat(compared: int) -> str:
    """What to know of the verdicts on so many cases of two runs."""
    return _FEW.get(compared, _MANY)


_FEW = {
    1: "With one case there is nothing to tell the machine from the code by, and what is claimed may be either's",
    2: "With two cases, which of them changed against the other may be told wrongly",
}
_MANY = (
    "A difference is claimed only where the case changed against the other cases too, most of which must be as before"
)


def _steady(cases: Sequence[_Case]) -> list[int]:
    """The cases that tell what the machine did. What moved furthest against the rest goes, and again, down to half."""
    rounds = [min(map(len, case)) for case in cases]
    known = [at for at, count in enumerate(rounds) if count >= MIN_ROUNDS and 2 * count > max(rounds)]
    while len(known) > 2 and 2 * _shared(cases, known) <= max(rounds):
        known.remove(max(known, key=lambda at: _shared(cases, [place for place in known if place != at])))
    steady = list(known)
    while 2 * (len(steady) - 1) > len(known):
        ratios = {at: ratio for at in steady if (ratio := _among(cases, at, steady))}
        moved = {at: ratio.size for at, ratio in ratios.items() if ratio.excludes_one and ratio.size > WORTH}
        if not moved:
            break
        steady.remove(max(moved, key=moved.__getitem__))
    return steady


def _shared(cases: Sequence[_Case], places: Collection[int]) -> int:
    """In how many rounds each of them was measured, in the run that has fewer such."""
    return min(len(_rounds([cases[at] for at in places], run)) for run in (0, 1))


def _rounds(cases: Sequence[_Case], run: int) -> list[int]:
    return sorted(set.intersection(*(set(case[run]) for case in cases)))


def _among(cases: Sequence[_Case], at: int, steady: Collection[int]) -> Ratio | None:
    """Over the rounds that all of them have, in each run; None where there are no others, or no such rounds."""
    others = [cases[place] for place in steady if place != at]
    rounds = [_rounds([cases[at], *others], run) for run in (0, 1)]
    if not others or not all(rounds):
        return None
    levels = [
        statistics.fmean(statistics.fmean(other[run][round_] for round_ in rounds[run]) for run in (0, 1))
        for other in others
    ]

    def against(run: int) -> list[float]:
        return [
            cases[at][run][round_]
            - statistics.median(other[run][round_] - level for other, level in zip(others, levels, strict=True))
            for round_ in rounds[run]
        ]

    return welch(against(0), against(1))


def _unknown(ratio: Ratio) -> Ratio:
    """There are others, and no round with them: nothing can be claimed."""
    return Ratio(value=ratio.value, rounds=0, paired=False)


def _logs(speeds: Mapping[int, float]) -> dict[int, float]:
    return {round_: log(speed) for round_, speed in speeds.items()}
