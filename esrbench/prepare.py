"""From a suite to a plan: which targets can run, their artifacts, the pixels. Nothing is measured here."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from esrbench import (
    __version__,
    attainable,
    command_target,
    environment,
    picture_fidelity,
    plugins,
    probe,
    provision,
    workload,
    zoo,
)
from esrbench.architecture import NetworkSpec
from esrbench.artifact import LocatedArtifact
from esrbench.command_target import LocatedCommand
from esrbench.errors import UnavailableError, UsageError
from esrbench.launcher import Inputs, now
from esrbench.plan import Plan, Refusal
from esrbench.provision import Say
from esrbench.record import Attainable, Case, ModelRecord, RunRecord, Status, Workload
from esrbench.runner import Availability, DeviceType
from esrbench.settings import Settings
from esrbench.store import Run, RunWriter
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import REFERENCE, Target, is_named
from esrbench.workload import PreparedWorkload


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a run starts from; its folder does not exist yet."""

    record: RunRecord
    refused: Mapping[Target, Refusal]
    artifacts: Mapping[Target, LocatedArtifact]
    software: frozenset[Target]
    workloads: tuple[PreparedWorkload, ...]
    suite: Suite
    commands: Mapping[Target, LocatedCommand] = {}


def prepare(suite: Suite, threads: int, say: Say, recorded: Run | None = None) -> Prepared:
    """Check everything that can be wrong with ``suite``, then export what its targets need.

    The pixels are those of the run ``recorded`` where one goes on, whatever has become of the picture since.

    Raises:
        UsageError: an unknown model, target or picture, a tile that cannot be.
        UnavailableError: none of the targets can run here.
    """
    for command in suite.commands:
        command_target.check(command)
    model = zoo.open_rgb_model(suite.model)
    workloads = (
        tuple(_workload(plan, threads, model.spec.unshuffle) for plan in suite.plans)
        if recorded is None
        else _recorded_workloads(recorded, model.spec.unshuffle)
    )
    _check_commands(suite, [each.record for each in workloads])
    say("asking every runtime what it can run here")
    asked = _asked(suite)
    refused = {entry.target: _refusal(entry, suite) for entry in asked if not _runs(entry, suite)}
    usable = [entry.target for entry in asked if _runs(entry, suite)]
    if not usable or (_is_for_devices(suite) and usable == [REFERENCE]):
        raise UnavailableError(f"none of the targets can run here: {_reasons(refused)}", "see esrbench doctor")
    commands = {command.target: command for command in suite.commands}
    artifacts, failed = provision.artifacts(suite.model, [*usable, REFERENCE], say, commands)
    if REFERENCE not in artifacts:
        raise UnavailableError(f"the reference {REFERENCE} has no artifact: {failed[REFERENCE].reason}")
    targets = [entry.target for entry in asked]
    measured = [
        entry
        for entry in asked
        if entry.target in usable and entry.target in artifacts and entry.target not in commands
    ]
    record = RunRecord(
        esrbench_version=__version__,
        created_at=now(),
        suite=suite.name,
        seed=suite.seed,
        budget_s=suite.budget_s,
        model=ModelRecord(name=model.name, spec=model.spec, weights_sha256=model.weights_sha256, source=model.source),
        reference=REFERENCE,
        workloads=tuple(prepared.record for prepared in workloads),
        cases=_cases(targets, [each.record for each in workloads], suite, _control(suite, usable)),
        environment=environment.describe(),
        settings=suite,
        attainable=_attainable(suite, model.spec, workloads, measured, say) if recorded is None else (),
    )
    return Prepared(
        record=record,
        refused=refused | {target: failed[target] for target in usable if target in failed},
        artifacts=artifacts,
        software=frozenset(entry.target for entry in asked if entry.device_type is DeviceType.SOFTWARE),
        workloads=workloads,
        suite=suite,
        commands={
            entry.target: command_target.locate(commands[entry.target], entry)
            for entry in asked
            if entry.usable and entry.target in commands
        },
    )


def begin(prepared: Prepared, out: Path) -> tuple[Plan, RunWriter]:
    """Make the run's folder, with the record and the input pictures in it.

    Raises:
        OutputError: the folder holds something, or cannot be written.
    """
    writer = RunWriter.create(out, prepared.record)
    for each in prepared.workloads:
        each.save(writer.input_picture(each.record.id))
    return plan_of(prepared, writer), writer


def plan_of(prepared: Prepared, writer: RunWriter) -> Plan:
    """What is launched, on the pictures in ``writer``'s folder."""
    cases = prepared.record.cases
    inputs = Inputs(
        workloads={each.record.id: each.record for each in prepared.workloads},
        pictures={each.record.id: writer.input_picture(each.record.id) for each in prepared.workloads},
        artifacts={case: prepared.artifacts[case.target] for case in cases if case.target in prepared.artifacts},
        reference=prepared.artifacts[REFERENCE],
        commands=prepared.commands,
        software=prepared.software,
    )
    software = frozenset(case for case in cases if case.target in prepared.software)
    # Asked for by name, as every command is, it is there to be timed.
    once = {case for case in software if not prepared.suite.targets and case.target not in prepared.commands}
    return Plan(
        suite=prepared.suite,
        inputs=inputs,
        cases=cases,
        refused={case: prepared.refused[case.target] for case in cases if case.target in prepared.refused},
        late=software,
        once=frozenset(once | _launched_once(prepared.record, prepared.suite)),
        candidates=_candidates(prepared),
        machine=prepared.record.environment,
    )


def _candidates(prepared: Prepared) -> dict[Target, tuple[Settings, ...]]:
    """The settings of each target that has a choice; a runner that cannot name them has none."""
    found: dict[Target, tuple[Settings, ...]] = {}
    for target in prepared.artifacts:
        with suppress(Exception):  # a plug-in's mistake must not end the run of the others
            settings = tuple(plugins.runner(target.runtime).candidates(target))
            if len(settings) > 1:
                found[target] = settings
    return found


def _launched_once(record: RunRecord, suite: Suite) -> set[Case]:
    """A sweep beside workloads; and in a suite for devices the reference, whose CPU would take all rounds' time."""
    swept = {each.id for each in record.workloads if each.sweep}
    alone = len(swept) == len(record.workloads)
    return {
        case
        for case in record.cases
        if (case.workload in swept and not alone) or (case.target == REFERENCE and _is_for_devices(suite))
    }


def _cases(
    targets: Sequence[Target], workloads: Sequence[Workload], suite: Suite, control: Target | None
) -> tuple[Case, ...]:
    """Every target on every workload, a sweep's on those of the sweep; and the control on the first workload."""
    commands = {command.target for command in suite.commands}
    cases = [
        Case(target=target, workload=workload.id)
        for workload in workloads
        for target in targets
        if not workload.sweep or suite.sweep is None or is_named(target, suite.sweep.targets)
        if target not in commands or _suits_commands(workload)
    ]
    twin = Case(target=control or REFERENCE, workload=workloads[0].id)
    if control is not None and twin in cases:
        cases.insert(cases.index(twin) + 1, msgspec.structs.replace(twin, control=True))
    return tuple(cases)


def _check_commands(suite: Suite, workloads: Sequence[Workload]) -> None:
    """Refuse a command that no workload suits, or whose borders leave nothing of a picture to compare."""
    suited = [each for each in workloads if _suits_commands(each)]
    for command in suite.commands:
        if not suited:
            raise UsageError(f"command {command.target} draws a picture a call; give it a workload with --batch 1")
        for each in suited:
            picture_fidelity.check_border(each.height_px, each.width_px, command.border_px)


def _suits_commands(workload: Workload) -> bool:
    """Whether a call draws what a pass does: a command knows no batches, so there is nothing to sweep, or to fill."""
    return not workload.sweep and workload.copies == 1


def _control(suite: Suite, usable: Sequence[Target]) -> Target | None:
    """What is measured twice: the reference, with whose noise every speed-up is made.

    Where a suite is for devices it is the first target on one: they, and not the reference's CPU, are what it compares.
    Without a second round there is nothing to tell apart.
    """
    if not suite.control or suite.max_rounds < 2 or not usable:
        return None
    if REFERENCE in usable and not _is_for_devices(suite):
        return REFERENCE
    return next((target for target in usable if target != REFERENCE), usable[0])


def _attainable(
    suite: Suite, spec: NetworkSpec, workloads: Sequence[PreparedWorkload], measured: Sequence[Availability], say: Say
) -> tuple[Attainable, ...]:
    """What the devices can reach; a run that goes on keeps what was probed when it began."""
    if not suite.roofline:
        return ()
    say("probing what each device can reach")
    return attainable.probe(spec, [each.record for each in workloads], measured, workloads[0].record.threads)


def _recorded_workloads(run: Run, multiple: int) -> tuple[PreparedWorkload, ...]:
    """The pixels that a run measures, as it keeps them; checked by their hash."""
    writer = RunWriter(run.folder)
    return tuple(
        workload.load(record, writer.input_picture(record.id), multiple=multiple) for record in run.record.workloads
    )


def _asked(suite: Suite) -> tuple[Availability, ...]:
    """What is known of each target that the suite asks for."""
    commands = {command.target for command in suite.commands}
    targets = [target for text in suite.targets if (target := Target(text)) not in commands]
    for target in targets:
        plugins.runner(target.runtime)
    named = sorted({target.runtime for target in targets})
    probed = probe.ask(named if suite.targets else plugins.runner_names(on_request=suite.on_request))
    if suite.targets:
        found = tuple(probed.of(target) for target in dict.fromkeys(targets))
    else:
        wanted = (entry for entry in probed.targets if entry.target == REFERENCE or _is_wanted(entry.target, suite))
        found = tuple(wanted)
    return (*found, *(command_target.availability(command, probed.targets) for command in suite.commands))


def _is_wanted(target: Target, suite: Suite) -> bool:
    on_device = not suite.devices or target.device_kind in suite.devices
    return on_device and is_named(target, suite.only)


def _workload(plan: WorkloadPlan, threads: int, multiple: int) -> PreparedWorkload:
    return workload.prepare(
        image=plan.image,
        crop=plan.crop if plan.middle is None else (plan.middle, plan.middle),
        tile=plan.tile,
        halo=plan.halo,
        batch=plan.batch,
        threads=threads,
        id=plan.id,
        multiple=multiple,
        min_batches=plan.min_batches,
        sweep=plan.sweep,
    )


def _runs(entry: Availability, suite: Suite) -> bool:
    """Whether to launch it: a suite for kinds of devices does not wait for software that pretends to be one."""
    by_name = entry.target in {command.target for command in suite.commands}
    return entry.usable and (by_name or not (_is_for_devices(suite) and entry.device_type is DeviceType.SOFTWARE))


def _is_for_devices(suite: Suite) -> bool:
    return bool(suite.devices) and not suite.targets


def _refusal(entry: Availability, suite: Suite) -> Refusal:
    if entry.usable:
        return Refusal(
            status=Status.UNAVAILABLE,
            reason=f"its device, {entry.device_name}, is software; suite {suite.name!r} is for real devices",
            remedy=f"measure it with --target {entry.target}",
        )
    return Refusal(status=Status.UNAVAILABLE, reason=entry.reason or "not usable here", remedy=entry.remedy)


def _reasons(refused: Mapping[Target, Refusal]) -> str:
    """Each reason once, with the targets that it holds for."""
    targets: dict[str, list[Target]] = {}
    for target, refusal in refused.items():
        targets.setdefault(refusal.reason, []).append(target)
    return "; ".join(f"{reason} ({', '.join(named)})" for reason, named in targets.items())
