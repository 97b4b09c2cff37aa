"""From a command that a suite names to one that a launch can call: its program, its device, the export it wants."""

import difflib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from esrbench import plugins
from esrbench.artifact import Format
from esrbench.codec import Value
from esrbench.command import Command
from esrbench.errors import UsageError
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision

UNTOLD = "not told by the command"


class LocatedCommand(Value, frozen=True, kw_only=True):
    """A command that can be called here."""

    command: Command
    program: str  # absolute path
    device_name: str
    device_type: DeviceType


def check(command: Command) -> None:
    """Refuse a name that a runtime bears, and a format that nothing writes.

    Raises:
        UsageError: say which.
    """
    if command.name in plugins.runner_names():
        raise UsageError(f"command {command.target}: the runtime {command.name!r} is installed; choose another name")
    if command.format is not None:
        plugins.exporter(command.format)


def availability(command: Command, beside: Iterable[Availability]) -> Availability:
    """Whether its program is found. ``beside``: what runtimes said of the devices here."""
    if _found(command) is None:
        return Availability(
            target=command.target,
            usable=False,
            reason=f"no program {command.program!r} is found",
            remedy=f"{_nearest(command.program)}install it, or write its whole path",
        )
    name, type_ = _device(command, beside)
    return Availability(target=command.target, usable=True, device_name=name, device_type=type_)


def locate(command: Command, known: Availability) -> LocatedCommand:
    """The command, once it is known to be usable."""
    return LocatedCommand(
        command=command,
        program=str(Path(_found(command) or command.program).absolute()),
        device_name=known.device_name or UNTOLD,
        device_type=known.device_type or DeviceType.GPU,
    )


def artifact_of(command: Command) -> tuple[Format, Precision] | None:
    """The export that it wants: in its own precision where the format is written in that, else in fp32."""
    if command.format is None:
        return None
    written = plugins.exporter(command.format).precisions
    return Format(command.format), command.precision if command.precision in written else Precision.FP32


def _device(command: Command, beside: Iterable[Availability]) -> tuple[str, DeviceType]:
    """What it claims; a device that a runtime here knows to be software is not believed to be anything else."""
    if command.target.device_kind == "cpu":
        return cpu_name(), DeviceType.CPU
    for entry in beside:
        if entry.target.device == command.target.device and entry.device_type is DeviceType.SOFTWARE:
            return f"{entry.device_name}, as {entry.target.runtime} names it", DeviceType.SOFTWARE
    return UNTOLD, DeviceType.SOFTWARE if command.software else DeviceType.GPU


def _found(command: Command) -> str | None:
    return shutil.which(command.program, path=command.environment.get("PATH"))


def _nearest(program: str) -> str:
    """``did you mean …? `` where a program that can be called has nearly this name."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    names = {path.name for folder in folders if folder.is_dir() for path in folder.iterdir()}
    near = difflib.get_close_matches(Path(program).name, names, n=1, cutoff=0.8)
    return f"did you mean {near[0]!r}? " if near else ""
