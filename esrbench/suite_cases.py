"""Which cases a suite's targets, commands and workloads make, and which of them are launched once or twice a round."""

from collections.abc import Sequence

import msgspec

from esrbench import picture_fidelity
from esrbench.errors import UsageError
from esrbench.record import Case, RunRecord, Workload
from esrbench.suite import Suite
from esrbench.target import REFERENCE, Target, is_named


def combine(
    suite: Suite, targets: Sequence[Target], workloads: Sequence[Workload], usable: Sequence[Target]
) -> tuple[Case, ...]:
    """Every target on every workload, a sweep's on those of the sweep; and the control on the first workload."""
    commands = {command.target for command in suite.commands}
    found = [
        Case(target=target, workload=workload.id)
        for workload in workloads
        for target in targets
        if not workload.sweep or suite.sweep is None or is_named(target, suite.sweep.targets)
        if target not in commands or _suits_commands(workload)
    ]
    control = _control(suite, usable)
    twin = Case(target=control or REFERENCE, workload=workloads[0].id)
    if control is not None and twin in found:
        found.insert(found.index(twin) + 1, msgspec.structs.replace(twin, control=True))
    return tuple(found)


def launched_once(record: RunRecord, suite: Suite) -> set[Case]:
    """A sweep beside workloads; and in a suite for devices the reference, whose CPU would take all rounds' time."""
    swept = {each.id for each in record.workloads if each.sweep}
    alone = len(swept) == len(record.workloads)
    return {
        case
        for case in record.cases
        if (case.workload in swept and not alone) or (case.target == REFERENCE and suite.is_for_devices)
    }


def check_commands(suite: Suite, workloads: Sequence[Workload]) -> None:
    """Refuse a command that no workload suits, or whose borders leave nothing of a picture to compare.

    Raises:
        UsageError: there is one.
    """
    suited = [each for each in workloads if _suits_commands(each)]
    for command in suite.commands:
        if not suited:
            raise UsageError(f"command {command.target} draws a picture a call; give it a workload with --batch 1")
        for each in suited:
            picture_fidelity.check_border(each.height_px, each.width_px, command.border_px)


def _control(suite: Suite, usable: Sequence[Target]) -> Target | None:
    """What is measured twice: the reference, with whose noise every speed-up is made.

    Where a suite is for devices it is the first target on one: they, and not the reference's CPU, are what it compares.
    Without a second round there is nothing to tell apart.
    """
    if not suite.control or suite.max_rounds < 2 or not usable:
        return None
    if REFERENCE in usable and not suite.is_for_devices:
        return REFERENCE
    return next((target for target in usable if target != REFERENCE), usable[0])


def _suits_commands(workload: Workload) -> bool:
    """Whether a call draws what a pass does: a command knows no batches, so there is nothing to sweep, or to fill."""
    return not workload.sweep and workload.copies == 1
