"""Which case is compared with which: the same case of two runs, or the targets, tiles or precisions of one."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from esrbench.errors import UnknownNameError, UsageError
from esrbench.record import Case, Workload
from esrbench.store import Run
from esrbench.target import Precision, Target


class Axis(StrEnum):
    """What differs between the cases of one run that are compared."""

    TARGET = "target"
    TILE = "tile"
    PRECISION = "precision"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two cases to compare; None where a run lacks it."""

    name: str
    base: Case | None
    head: Case | None


def pairs_of(base: Run, head: Run) -> tuple[Pair, ...]:
    """Each case that either run has, in the order of ``base``; what only ``head`` has comes last.

    Raises:
        UsageError: they have no case in common.
    """
    in_base, in_head = _cases(base), _cases(head)
    cases = tuple(dict.fromkeys([*in_base, *in_head]))
    if not set(in_base) & set(in_head):
        raise UsageError(
            f"{base.name} and {head.name} have no case in common: {_named(base)} against {_named(head)}; "
            "compare runs of the same suite"
        )
    several = len({case.workload for case in cases}) > 1
    return tuple(
        Pair(
            name=f"{case.target} {case.workload}" if several else str(case.target),
            base=case if case in in_base else None,
            head=case if case in in_head else None,
        )
        for case in cases
    )


def pairs_within(run: Run, axis: Axis, against: str | None = None) -> tuple[Pair, ...]:
    """The cases of a run along ``axis``, each with its base.

    ``against`` names the base: a target, a workload's id or tile side, a precision. Left out, it is the reference, the
    smallest tile, or fp32.

    Raises:
        UsageError: the run has nothing to compare along ``axis``, or no such base.
    """
    match axis:
        case Axis.TARGET:
            found = _by_target(run, against)
        case Axis.TILE:
            found = _by_tile(run, against)
        case Axis.PRECISION:
            found = _by_precision(run, against)
    if not found:
        raise UsageError(f"{run.name} has nothing to compare by {axis}: {_named(run)}")
    return found


def _by_target(run: Run, against: str | None) -> tuple[Pair, ...]:
    base = run.record.reference if against is None else Target(against)
    targets = {case.target for case in _cases(run)}
    if base not in targets:
        raise UnknownNameError(f"target of {run.name}", base, targets)
    several = len(run.record.workloads) > 1
    return tuple(
        Pair(
            name=f"{case.target} {case.workload}" if several else str(case.target),
            base=Case(target=base, workload=case.workload),
            head=case,
        )
        for case in _cases(run)
        if case.target != base
    )


def _by_tile(run: Run, against: str | None) -> tuple[Pair, ...]:
    workloads = sorted(run.record.workloads, key=lambda workload: (workload.tile_px, workload.batch))
    base = workloads[0] if against is None else _workload(workloads, against, run)
    return tuple(
        Pair(name=f"{case.target} {case.workload}", base=Case(target=case.target, workload=base.id), head=case)
        for case in _cases(run)
        if case.workload != base.id
    )


def _workload(workloads: Sequence[Workload], name: str, run: Run) -> Workload:
    for workload in workloads:
        if name in {workload.id, str(workload.tile_px)}:
            return workload
    raise UnknownNameError(f"workload of {run.name}", name, [workload.id for workload in workloads])


def _by_precision(run: Run, against: str | None) -> tuple[Pair, ...]:
    known = [precision.value for precision in Precision]
    if against is not None and against not in known:
        raise UnknownNameError("precision", against, known)
    base = Precision(against or Precision.FP32)
    several = len(run.record.workloads) > 1
    cases = _cases(run)
    return tuple(
        Pair(name=f"{case.target} {case.workload}" if several else str(case.target), base=twin, head=case)
        for case in _cases(run)
        if case.target.precision is not base and (twin := _at(case, base)) in cases
    )


def _at(case: Case, precision: Precision) -> Case:
    """The same runtime on the same device and workload, at another precision."""
    target = Target.of(case.target.runtime, case.target.device, precision)
    return Case(target=target, workload=case.workload)


def _cases(run: Run) -> tuple[Case, ...]:
    """All but the control case, which is compared with nothing but its twin."""
    return tuple(case for case in run.record.cases if not case.control)


def _named(run: Run) -> str:
    return ", ".join(f"{case.target} {case.workload}" for case in _cases(run)) or "no case"
