"""One number a launch, round by round: what every interval and every verdict is made of."""

from collections.abc import Iterable, Sequence
from enum import StrEnum

from esrbench.ratio import Ratio, paired_ratio
from esrbench.record import Case, LaunchRecord, Samples, Status
from esrbench.stats import Estimate, estimate, is_narrow, median
from esrbench.target import Target


class Boundary(StrEnum):
    """What is timed; never mixed."""

    IMAGE = "image"  # a pass through the whole plan
    TILE = "tile"  # one tile, host to host
    COLD = "cold"  # process start -> first tile is back


def seconds_by_round(
    launches: Iterable[LaunchRecord], case: Case, boundary: Boundary = Boundary.IMAGE
) -> dict[int, float]:
    """Round → seconds of the case's launch in it that ended ok.

    A launch's number is the median of its samples: it bears the odd slow one, and it means the same however many there
    are and however they vary. (The fastest is steadier beside a noisy neighbour, but favours what has many samples, or
    unsteady ones; docs/measurement.md has figures.)
    """
    return {
        launch.round: seconds
        for launch in launches
        if launch.case == case and launch.status is Status.OK and launch.samples
        if (seconds := _seconds(launch.samples, boundary))
    }


def rounds_of(launches: Iterable[LaunchRecord], case: Case, reference: Target) -> frozenset[int]:
    """Return the rounds that a case's numbers are taken from.

    Those that it shares with the reference, where there are two or more; else its own: a reference that is launched
    once, in a suite for devices, says nothing of how far the case's rounds lie apart.
    """
    found = tuple(launches)
    own = seconds_by_round(found, case).keys()
    shared = own & seconds_by_round(found, Case(target=reference, workload=case.workload)).keys()
    return frozenset(shared if len(shared) > 1 else own)


def level(launches: Iterable[LaunchRecord], case: Case, boundary: Boundary = Boundary.IMAGE) -> Estimate | None:
    """The case's time in seconds, and its interval: the machine's drift between rounds is in it."""
    return estimate(list(seconds_by_round(launches, case, boundary).values()))


def speed_ratio(
    launches: Sequence[LaunchRecord], base: Case, head: Case, boundary: Boundary = Boundary.IMAGE
) -> Ratio | None:
    """How many times as fast ``head`` is as ``base``, paired within rounds: above 1, it is faster."""
    times = [seconds_by_round(launches, case, boundary) for case in (head, base)]
    return paired_ratio(*times)


def wide(launches: Sequence[LaunchRecord], cases: Iterable[Case], reference: Target, precision: float) -> list[Case]:
    """The cases not known as precisely as asked (0.01 is ± 1 %): where there are none, a run need go no further.

    A case is known by its ratio to the reference on the same workload; the reference by what is compared with it, and
    a case without a measured reference by its own level.
    """
    found = _to_judge(cases, reference)
    return [case for case in found if not is_narrow(known_by(launches, case, reference), precision)]


def known_by(launches: Sequence[LaunchRecord], case: Case, reference: Target) -> Estimate | None:
    """Return the estimate that tells how precisely a case is known.

    It is the ratio to the reference, or else the level.
    """
    compared_with = Case(target=reference, workload=case.workload)
    ratio = None if case == compared_with else speed_ratio(launches, compared_with, case)
    return ratio if ratio is not None and ratio.rounds > 1 else level(launches, case)


def _to_judge(cases: Iterable[Case], reference: Target) -> list[Case]:
    """The cases beside the reference; the reference too on a workload where nothing is compared with it."""
    found = list(cases)
    own = {Case(target=reference, workload=case.workload) for case in found}
    accompanied = {case.workload for case in found if case not in own}
    return [case for case in found if case not in own or case.workload not in accompanied]


def _seconds(samples: Samples, boundary: Boundary) -> float | None:
    match boundary:
        case Boundary.IMAGE:
            times_ns = samples.image_ns
        case Boundary.TILE:
            times_ns = samples.tile_ns
        case Boundary.COLD:
            times_ns = () if samples.cold_ns is None else (samples.cold_ns,)
    middle_ns = median(times_ns)
    return None if middle_ns is None else middle_ns / 1e9
