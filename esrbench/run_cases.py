"""What a run holds of a case: its launches, its workload, its speed in each round, and what that is compared with."""

from esrbench.efficiency import output_mpix
from esrbench.ratio import Ratio, paired_ratio
from esrbench.record import Case, LaunchRecord, Status, Workload
from esrbench.rounds import Boundary, rounds_of, seconds_by_round, speed_ratio
from esrbench.store import Run


def launches_of(run: Run, case: Case) -> tuple[LaunchRecord, ...]:
    """The case's launches, in order."""
    return tuple(launch for launch in run.launches if launch.case == case)


def judged_launches(run: Run, case: Case) -> tuple[LaunchRecord, ...]:
    """Return the launches that a case's numbers are taken from.

    They are one a round of :func:`esrbench.rounds.rounds_of`.
    """
    rounds = rounds_of(run.launches, case, run.record.reference)
    return tuple(each for each in launches_of(run, case) if each.status is Status.OK and each.round in rounds)


def workload_of(run: Run, case: Case) -> Workload:
    """The workload that a case names."""
    return next(workload for workload in run.record.workloads if workload.id == case.workload)


def main_workloads(run: Run) -> tuple[Workload, ...]:
    """Those that stand for the run: not a sweep's, unless there is no other; then its largest that was measured."""
    own = tuple(workload for workload in run.record.workloads if not workload.sweep)
    measured = {launch.case.workload for launch in run.launches if launch.status is Status.OK}
    by_size = sorted(run.record.workloads, key=lambda each: (each.id in measured, each.tile_px**2 * each.batch))
    return own or tuple(by_size[-1:])


def throughput_by_round(run: Run, case: Case) -> dict[int, float]:
    """Round → output megapixels per second of the case's launch in it, over its median pass through the plan."""
    mpix = output_mpix(run.record, workload_of(run, case))
    return {round_: mpix / seconds for round_, seconds in seconds_by_round(run.launches, case).items()}


def ratio_of(run: Run, base: Case, head: Case) -> Ratio | None:
    """Return ``head``'s throughput over ``base``'s, paired within rounds.

    The two may be on different workloads.
    """
    return paired_ratio(throughput_by_round(run, base), throughput_by_round(run, head))


def reference_case(run: Run, workload: str) -> Case:
    """The case that speeds on ``workload`` are compared with."""
    return Case(target=run.record.reference, workload=workload)


def noise_floor(run: Run, boundary: Boundary = Boundary.IMAGE) -> Ratio | None:
    """The speed of the control case over that of the same case under its own name: 1, but for noise.

    None where there is no control case, or no round in which both were measured.
    """
    control = run.record.control
    if control is None:
        return None
    twin = Case(target=control.target, workload=control.workload)
    return speed_ratio(run.launches, twin, control, boundary)
