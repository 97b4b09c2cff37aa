"""A run that was cut short goes on: the same plan, on the same machine, unless a change is allowed."""

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from esrbench import __version__, plugins, prepare, store
from esrbench.command import BORDER_PX, SOFTWARE, Command
from esrbench.errors import UsageError
from esrbench.launcher import now
from esrbench.likeness import Aspect, Difference, differences
from esrbench.plan import Plan
from esrbench.prepare import Prepared
from esrbench.provision import Say
from esrbench.record import Resumption
from esrbench.store import Run, RunWriter
from esrbench.target import Target


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a run, ready to be measured."""

    run: Run
    plan: Plan
    writer: RunWriter


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Hold what the command line allows beside the folder.

    A record is data: it is no reason to run a program or set a variable.
    """

    environment: Mapping[str, str] = {}  # variables of launches; ``LD_PRELOAD`` runs whatever it names
    commands: tuple[Command, ...] = ()
    recorded_commands: bool = False  # run those of the record too


def resume(folder: Path, allowed: Collection[Aspect], say: Say, asked: Asked) -> Resumed:
    """Prepare the rest of the run in ``folder``; record that.

    Of the record, its pictures are not opened: the pixels that it keeps are, by their digest. Its model is, where that
    is a checkpoint's path: a checkpoint is read as data, and has to have the weights recorded.

    Raises:
        RecordError: no run lies there, or it asks for settings that a runner does not name.
        UsageError: it holds no plan, or the machine, the weights, a target or a version is not as it was; or commands
            or variables that were not asked for again.
    """
    run = store.read_run(folder)
    settings = run.record.settings
    if settings is None:
        raise UsageError(f"{folder} was recorded without its settings, by an older esrbench; start a new run")
    _check_environment(run, settings.environment, asked.environment)
    _check_commands(run, settings.commands, asked)
    prepared = prepare.prepare(settings, run.record.workloads[0].threads, say, recorded=run)
    for tuned in run.tunings:
        if tuned.target in prepared.artifacts:
            plugins.check_settings(tuned.target, tuned.chosen, run.name)
    changes = _changes(run, prepared, allowed)
    writer = RunWriter(folder)
    writer.resumed(
        Resumption(
            resumed_at=now(),
            sequence=max((launch.sequence for launch in run.launches), default=-1) + 1,
            esrbench_version=__version__,
            environment=prepared.record.environment,
            changes=changes,
        )
    )
    # The recorded cases: what was refused then is recorded as such, and stays so.
    plan = prepare.plan_of(msgspec.structs.replace(prepared, record=run.record), writer)
    return Resumed(run=run, plan=plan, writer=writer)


def _check_environment(run: Run, recorded: Mapping[str, str], asked: Mapping[str, str]) -> None:
    """Refuse to set variables that were not asked for again.

    Raises:
        UsageError: say what to ask for.
    """
    if recorded != asked:
        again = " ".join(f"--env {shlex.quote(f'{name}={value}')}" for name, value in recorded.items())
        found = f"ran with {again}" if again else "ran without --env"
        raise UsageError(
            f"{run.name} {found}, this command asks for other variables, and none is set from a record alone: "
            f"{'give the same --env again' if again else 'leave --env out'}, or start a new run"
        )


def _check_commands(run: Run, recorded: Sequence[Command], asked: Asked) -> None:
    """Refuse recorded programs that the command line does not name.

    Raises:
        UsageError: say how to name it.
    """
    # Its border decides what is compared, and runs nothing: the record's counts.
    unknown = [each for each in recorded if msgspec.structs.replace(each, border_px=BORDER_PX) not in asked.commands]
    added = {each.target for each in asked.commands} - {each.target for each in recorded}
    if added:
        raise UsageError(f"{run.name} began without the command {', '.join(sorted(added))}; start a new run with it")
    if unknown and not asked.recorded_commands:
        raise UsageError(
            f"{run.name} measures programs that this command line does not name; a record is no reason to run one:\n"
            + "\n".join(f"  {_spelt(each)}" for each in unknown)
            + "\nif you trust them, give each option again, or --allow commands for all"
        )


def _spelt(command: Command) -> str:
    """Write a command as the option that names it."""
    software = SOFTWARE if command.software else ""
    variables = "".join(f" {shlex.quote(f'{name}={value}')}" for name, value in command.environment.items())
    again = f"--command {shlex.quote(f'{command.target}{software}={command.command}')}"
    return f"{again}, run with{variables}, which needs --allow commands" if variables else again


def _changes(run: Run, prepared: Prepared, allowed: Collection[Aspect]) -> tuple[str, ...]:
    """What is not as it was, in words.

    Raises:
        UsageError: some of it is not allowed; each is named.
    """
    # Without launches and tunings: what was said and chosen then is compared with nothing that there is by now.
    then = msgspec.structs.replace(run, launches=(), tunings=())
    today = Run(folder=run.folder, record=prepared.record, launches=(), end=None)
    found = [*differences(then, today), *_other_targets(run, prepared)]
    refused = [difference for difference in found if difference.aspect not in allowed]
    if refused:
        options = " ".join(f"--allow {aspect}" for aspect in dict.fromkeys(each.aspect for each in refused))
        raise UsageError(
            f"{run.name} cannot go on as it began, as its launches would not compare:\n"
            + "\n".join(f"  {_said(each)}" for each in refused)
            + f"\nstart a new run, or go on all the same with {options}; the change is then recorded"
        )
    return tuple(_said(difference) for difference in found)


def _other_targets(run: Run, prepared: Prepared) -> list[Difference]:
    """Targets that could be launched then and cannot be now."""
    launched = {launch.case.target for launch in run.launches if launch.wall_ns is not None}
    asked = {case.target for case in prepared.record.cases}
    return [
        Difference(aspect=Aspect.MACHINE, what=str(target), base="was launched", head=_why(prepared, target))
        for target in sorted(launched)
        if target in prepared.refused or target not in asked
    ]


def _why(prepared: Prepared, target: Target) -> str:
    refusal = prepared.refused.get(target)
    return f"cannot run now: {refusal.reason}" if refusal else "its runtime no longer names it"


def _said(difference: Difference) -> str:
    return f"{difference.aspect}: {difference.what}: {difference.base}, now {difference.head}"
