"""Small pieces for runners: say which targets there are, refuse the ones that cannot be."""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from esrbench.errors import UnavailableError
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision, Target


def library(name: str, install: str) -> Any:
    """Import an optional library, whose types may be absent too; ``install`` is what pip installs to get it.

    Raises:
        UnavailableError: it is not installed, or cannot be imported.
    """
    remedy = f"pip install '{install}'"
    top = name.partition(".")[0]
    if importlib.util.find_spec(top) is None:
        raise UnavailableError(f"{top} is not installed", remedy)
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise UnavailableError(
            f"{name} is installed but cannot be imported: {error}", f"reinstall it: {remedy}"
        ) from error


def each(runtime: str, device: str, precisions: Iterable[Precision]) -> tuple[Target, ...]:
    """A runtime's targets on one device."""
    return tuple(Target.of(runtime, device, precision) for precision in precisions)


def usable(targets: Iterable[Target], device_name: str, device_type: DeviceType) -> tuple[Availability, ...]:
    """Targets that can run on this device."""
    return tuple(
        Availability(target=target, usable=True, device_name=device_name, device_type=device_type) for target in targets
    )


def refused(targets: Iterable[Target], reason: str, remedy: str | None = None) -> tuple[Availability, ...]:
    """Targets that cannot run, all for one reason."""
    return tuple(Availability(target=target, usable=False, reason=reason, remedy=remedy) for target in targets)


def unless_refused(targets: Sequence[Target], find: Callable[[], Sequence[Availability]]) -> Sequence[Availability]:
    """What ``find`` finds; all of ``targets`` refused where it raises :class:`UnavailableError`."""
    try:
        return find()
    except UnavailableError as error:
        return refused(targets, error.reason, error.remedy)


def require(target: Target, found: Sequence[Availability]) -> Availability:
    """The entry of ``target``, which is usable.

    Raises:
        UnavailableError: it is not, or there is no such target.
    """
    for entry in found:
        if entry.target == target:
            if not entry.usable:
                raise UnavailableError(entry.reason or f"{target} is not usable here", entry.remedy)
            return entry
    known = ", ".join(entry.target for entry in found)
    raise UnavailableError(f"{target.runtime} has no target {target} on this machine", f"choose one of {known}")
