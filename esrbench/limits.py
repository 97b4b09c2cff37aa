"""What a target's smaller tiles foretell of larger ones: no minutes are spent on what cannot come to its end."""

from collections.abc import Iterable, Mapping

from esrbench.plan import Refusal
from esrbench.record import Case, LaunchRecord, Status, Workload
from esrbench.wording import significant


def foreseen(
    case: Case, workloads: Mapping[str, Workload], launches: Iterable[LaunchRecord], left_s: float
) -> Refusal | None:
    """Why not to launch ``case``, from the ``launches`` of its target on tiles and batches no larger; None: launch it.

    A target that ran out of memory needs no less for more pixels at once; one that took longer than what is left of
    the budget takes no less either.
    """
    own = workloads[case.workload]
    smaller = [
        launch
        for launch in launches
        if launch.case.target == case.target and launch.case != case and launch.wall_ns is not None
        if is_within(workloads[launch.case.workload], own)
    ]
    out = [workloads[launch.case.workload] for launch in smaller if launch.status is Status.OOM]
    if out:
        least = min(out, key=lambda workload: (workload.tile_px, workload.batch))
        reason = f"not launched: it ran out of memory at tile {least.tile_px}, batch {least.batch}"
        return Refusal(status=Status.OOM, reason=reason, remedy="use a smaller --tile or --batch")
    less = (launch for launch in smaller if _pass_px(workloads[launch.case.workload]) <= _pass_px(own))
    took_s = max((launch.wall_ns / 1e9 for launch in less if launch.wall_ns), default=0.0)
    # A batch may make a whole pass faster, and a disturbance is no forecast: twice over is no coincidence.
    if took_s > 2 * left_s:
        reason = f"not launched: {left_s:.0f} s of the budget were left, a smaller case took {significant(took_s)} s"
        return Refusal(status=Status.TIMEOUT, reason=reason, remedy="raise --budget")
    return None


def _pass_px(workload: Workload) -> int:
    """Pixels that a pass works on."""
    return workload.tiles * workload.copies * workload.tile_px**2


def is_within(small: Workload, large: Workload) -> bool:
    """Whether neither its tile nor its batch is larger."""
    return small.tile_px <= large.tile_px and small.batch <= large.batch
