"""Which targets a suite asks for, which of them run here, and why the others do not."""

from collections.abc import Mapping

import msgspec

from esrbench import command_target, plugins, probe
from esrbench.errors import UnavailableError
from esrbench.plan import Refusal
from esrbench.record import Status
from esrbench.runner import Availability, DeviceType
from esrbench.suite import Suite
from esrbench.target import REFERENCE, Target, is_named


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of each target that a suite asks for."""

    asked: tuple[Availability, ...]
    usable: tuple[Availability, ...]  # of those, what is to be launched
    refused: Mapping[Target, Refusal]  # the others

    @property
    def software(self) -> frozenset[Target]:
        """Those whose device is the CPU by another name."""
        return frozenset(entry.target for entry in self.asked if entry.device_type is DeviceType.SOFTWARE)


def ask(suite: Suite) -> Roster:
    """Ask every runtime of ``suite`` what it can run here.

    Raises:
        UnknownNameError: it names a runtime that there is not.
        UnavailableError: none of the targets can run here.
    """
    asked = _asked(suite)
    usable = tuple(entry for entry in asked if _runs(entry, suite))
    refused = {entry.target: _refusal(entry, suite) for entry in asked if entry not in usable}
    if not usable or (suite.is_for_devices and [entry.target for entry in usable] == [REFERENCE]):
        raise UnavailableError(f"none of the targets can run here: {_reasons(refused)}", "see esrbench doctor")
    return Roster(asked=asked, usable=usable, refused=refused)


def _asked(suite: Suite) -> tuple[Availability, ...]:
    commands = {command.target for command in suite.commands}
    targets = [target for text in suite.targets if (target := Target(text)) not in commands]
    for target in targets:
        plugins.runner(target.runtime)
    named = sorted({target.runtime for target in targets})
    names = named if suite.targets else plugins.runner_names(on_request=suite.on_request)
    probed = probe.ask(names, environment=suite.environment)
    if suite.targets:
        found = tuple(probed.of(target) for target in dict.fromkeys(targets))
    else:
        wanted = (entry for entry in probed.targets if entry.target == REFERENCE or _is_wanted(entry.target, suite))
        found = tuple(wanted)
    return (*found, *(command_target.availability(command, probed.targets) for command in suite.commands))


def _is_wanted(target: Target, suite: Suite) -> bool:
    on_device = not suite.devices or target.device_kind in suite.devices
    return on_device and is_named(target, suite.only)


def _runs(entry: Availability, suite: Suite) -> bool:
    """Whether to launch it: a suite for kinds of devices does not wait for software that pretends to be one."""
    by_name = entry.target in {command.target for command in suite.commands}
    return entry.usable and (by_name or not (suite.is_for_devices and entry.device_type is DeviceType.SOFTWARE))


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
