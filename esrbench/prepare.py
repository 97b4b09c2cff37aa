"""From a suite to a plan: artifacts, pixels, the record that a run begins with. Nothing is measured here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from esrbench import (
    __version__,
    attainable,
    command_target,
    environment,
    plugins,
    provision,
    roster,
    suite_cases,
    workload,
    zoo,
)
from esrbench.architecture import NetworkSpec
from esrbench.artifact import LocatedArtifact
from esrbench.command import Command
from esrbench.command_target import LocatedCommand
from esrbench.errors import UnavailableError
from esrbench.launcher import Inputs, now
from esrbench.plan import Plan, Refusal
from esrbench.provision import Say
from esrbench.record import Attainable, LaunchEnvironment, ModelRecord, RunRecord, Workload
from esrbench.roofline import attainable_of, pass_flop
from esrbench.runner import Availability
from esrbench.settings import Settings
from esrbench.store import Run, RunWriter
from esrbench.suite import Suite, WorkloadPlan
from esrbench.system import child_environment
from esrbench.target import REFERENCE, Target
from esrbench.workload import PreparedWorkload

PROCESS_START_S = 5.0
"""From the start of a process to torch with its network: 1.1 to 1.6 s in the recorded runs, on two cores."""


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
    launch_environment = _launch_environment(suite, say)  # before a runner takes switches out of this process's own
    for command in suite.commands:
        command_target.check(command)
    model = zoo.open_rgb_model(suite.model)
    workloads = _workloads(suite, threads, model.spec.unshuffle, recorded)
    records = [each.record for each in workloads]
    suite_cases.check_commands(suite, records)
    say("asking every runtime what it can run here")
    found = roster.ask(suite)
    commands = {command.target: command for command in suite.commands}
    usable = [entry.target for entry in found.usable]
    artifacts, failed = provision.artifacts(suite.model, [*usable, REFERENCE], say, commands)
    if REFERENCE not in artifacts:
        raise UnavailableError(f"the reference {REFERENCE} has no artifact: {failed[REFERENCE].reason}")
    measured = [entry for entry in found.usable if entry.target in artifacts and entry.target not in commands]
    record = RunRecord(
        esrbench_version=__version__,
        created_at=now(),
        suite=suite.name,
        seed=suite.seed,
        budget_s=suite.budget_s,
        model=ModelRecord(name=model.name, spec=model.spec, weights_sha256=model.weights_sha256, source=model.source),
        reference=REFERENCE,
        workloads=tuple(records),
        cases=suite_cases.combine(suite, [entry.target for entry in found.asked], records, usable),
        environment=environment.describe(),
        settings=suite,
        attainable=_attainable(suite, model.spec, records, measured, say) if recorded is None else (),
        launch_environment=launch_environment,
    )
    return Prepared(
        record=record,
        refused=dict(found.refused) | {target: failed[target] for target in usable if target in failed},
        artifacts=artifacts,
        software=found.software,
        workloads=workloads,
        suite=suite,
        commands=_located(commands, found.usable),
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
        environment=prepared.suite.environment,
        seed=prepared.suite.seed,
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
        once=frozenset(once | suite_cases.launched_once(prepared.record, prepared.suite)),
        candidates=_candidates(prepared),
        machine=prepared.record.environment,
        reference_s=_reference_s(prepared.record),
    )


def _reference_s(record: RunRecord) -> dict[str, float]:
    """Estimate the seconds of each workload's reference, by its id.

    The time is the arithmetic of one pass over half the probed rate. torch reached 66 to 78 % of it in the recorded
    runs; the rest is the start of the process and of torch.
    """
    roof = attainable_of(REFERENCE, record.attainable)
    if roof is None or roof.gflops_s is None:
        return {}
    once = [msgspec.structs.replace(each, copies=1) for each in record.workloads]
    spec, flop_s = record.model.spec, roof.gflops_s * 1e9 / 2
    return {each.id: PROCESS_START_S + pass_flop(spec, each) / flop_s for each in once}


def _launch_environment(suite: Suite, say: Say) -> LaunchEnvironment:
    """Return the variables of launches; report those dropped."""
    found = LaunchEnvironment(
        passed=child_environment.recorded(),
        asked=suite.environment,
        dropped=tuple(name for name in child_environment.dropped() if name not in suite.environment),
    )
    if found.dropped:
        names = ", ".join(found.dropped)
        say(f"dropped from the environment of launches: {names}; give --env NAME=VALUE to keep one")
    return found


def _candidates(prepared: Prepared) -> dict[Target, tuple[Settings, ...]]:
    """Collect the settings of each target that has a choice."""
    return {target: found for target in prepared.artifacts if len(found := plugins.candidates(target)) > 1}


def _located(commands: Mapping[Target, Command], usable: Sequence[Availability]) -> dict[Target, LocatedCommand]:
    return {
        entry.target: command_target.locate(commands[entry.target], entry)
        for entry in usable
        if entry.target in commands
    }


def _attainable(
    suite: Suite, spec: NetworkSpec, workloads: Sequence[Workload], measured: Sequence[Availability], say: Say
) -> tuple[Attainable, ...]:
    """What the devices can reach; a run that goes on keeps what was probed when it began."""
    if not suite.roofline:
        return ()
    say("probing what each device can reach")
    return attainable.probe(spec, workloads, measured, workloads[0].threads)


def _workloads(suite: Suite, threads: int, multiple: int, recorded: Run | None) -> tuple[PreparedWorkload, ...]:
    if recorded is not None:
        return _recorded_workloads(recorded, multiple)
    return tuple(_workload(plan, threads, multiple) for plan in suite.plans)


def _recorded_workloads(run: Run, multiple: int) -> tuple[PreparedWorkload, ...]:
    """The pixels that a run measures, as it keeps them; checked by their hash."""
    writer = RunWriter(run.folder)
    return tuple(
        workload.load(record, writer.input_picture(record.id), multiple=multiple) for record in run.record.workloads
    )


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
