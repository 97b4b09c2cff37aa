"""Entry points → runners and exporters. A broken or duplicate plug-in is reported and harms nobody.

Where two distributions bring the same name, the built-in one keeps it, else the distribution that comes first in the
alphabet; the other one is reported as broken. Nothing is cached: what is installed is what is found.
"""

from collections.abc import Collection, Set
from contextlib import suppress
from importlib import metadata
from typing import Generic, TypeVar

import msgspec

from esrbench.artifact import Format
from esrbench.codec import Value
from esrbench.containment import contained
from esrbench.errors import EsrbenchError, RecordError, UnavailableError, UnknownNameError
from esrbench.exporter import Exporter
from esrbench.runner import Runner
from esrbench.settings import DEFAULT, Settings
from esrbench.system.child_environment import withdraw_steering
from esrbench.target import NAME, Precision, Target

P = TypeVar("P", Runner, Exporter)

BUILT_IN = "esrbench"
"""The distribution whose plug-ins keep their names."""


class BrokenPlugin(Value, frozen=True, kw_only=True):
    """An entry point that cannot be used, and why."""

    group: str  # esrbench.runners or esrbench.exporters
    name: str
    distribution: str
    reason: str


class _Kind(msgspec.Struct, Generic[P], frozen=True, kw_only=True):
    """What tells runners and exporters apart."""

    group: str
    base: type[P]
    noun: str  # in errors
    bears: str  # class attribute that must be the entry point's name


_RUNNERS = _Kind[Runner](group="esrbench.runners", base=Runner, noun="runtime", bears="name")  # type: ignore[type-abstract]  # a base to compare with
_EXPORTERS = _Kind[Exporter](group="esrbench.exporters", base=Exporter, noun="format", bears="format")  # type: ignore[type-abstract]  # likewise


_DECLARED: dict[str, tuple[type[Collection[object]], type]] = {
    "accepts": (Set, str),
    "precisions": (Set, Precision),
    "takes": (Set, str),
    "proved_by": (tuple, str),
}
"""Class attributes of runners and exporters that the core reads: their type and that of their members."""


def runner(name: str) -> Runner:
    """Return the runner of a runtime; import no other plug-in.

    Variables that steer runtimes (``OMP_THREAD_LIMIT``, ``ONEDNN_DEFAULT_FPMATH_MODE`` …) are first taken out of
    ``os.environ``, so that no library which is loaded from here on reads them; one that was loaded before keeps what
    it read. ``ESRBENCH_KEPT_VARIABLES=NAME,NAME`` keeps some.

    Raises:
        UnknownNameError: no plug-in bears this name; says the nearest.
        UnavailableError: the plug-in is broken.
    """
    withdraw_steering()
    return _one(_RUNNERS, name)


def exporter(format_: str) -> Exporter:
    """The exporter of a format; no other plug-in is imported.

    Raises:
        UnknownNameError: no plug-in bears this name; says the nearest.
        UnavailableError: the plug-in is broken.
    """
    return _one(_EXPORTERS, format_)


def runners() -> dict[str, Runner]:
    """Map each runtime to its runner, sorted by name.

    Broken ones are left out, see :func:`broken`. Steering variables leave ``os.environ``, as for :func:`runner`.
    """
    withdraw_steering()
    return _all(_RUNNERS)[0]


def exporters() -> dict[str, Exporter]:
    """Format → exporter, in the alphabet's order; broken ones are left out, see :func:`broken`."""
    return _all(_EXPORTERS)[0]


def format_for(runner: Runner) -> Format:
    """The format to export for a runner: of those that it accepts, the first by name that has an exporter.

    Raises:
        UnavailableError: none has.
    """
    for format_ in sorted(runner.accepts):
        with suppress(UnavailableError, UnknownNameError):
            return exporter(format_).format
    raise UnavailableError(
        f"{runner.name} loads {', '.join(sorted(runner.accepts))}; no installed exporter writes that"
    )


def artifact_for(target: Target) -> tuple[Format, Precision]:
    """Ask a target's runner which artifact to export for it.

    Raises:
        UnavailableError: nothing writes one, or the runner is broken.
        EsrbenchError: the runner raised something.
    """
    asked = runner(target.runtime)
    with contained():
        return format_for(asked), Precision(asked.artifact_precision(target))


def candidates(target: Target) -> tuple[Settings, ...]:
    """Ask a target's runner which settings to try.

    A runner that fails has none.
    """
    with suppress(EsrbenchError), contained():  # a plug-in's mistake must not end the run of the others
        found = tuple(runner(target.runtime).candidates(target))
        return found if all(isinstance(each, Settings) for each in found) else ()
    return ()


def check_settings(target: Target, settings: Settings, origin: str) -> None:
    """Refuse recorded settings that the target's runner does not offer.

    Raises:
        RecordError: ``origin`` asks for them; say what the runner knows.
    """
    known = (DEFAULT, *candidates(target))
    if settings not in known:
        raise RecordError(
            f"{origin} asks for {settings.text} on {target}, which are none of the settings that its runner tries here "
            f"({'; '.join(dict.fromkeys(each.text for each in known))}); measure anew with esrbench bench --tune"
        )


def runner_names(*, on_request: bool = True) -> tuple[str, ...]:
    """Every runtime that has a runner, broken or not; without those that only run on request where not asked for."""
    named = tuple(name for name in _by_name(_RUNNERS) if NAME.fullmatch(name))
    if on_request:
        return named
    usable = runners()
    return tuple(name for name in named if name not in usable or not usable[name].on_request)


def broken() -> tuple[BrokenPlugin, ...]:
    """Every runner and exporter that cannot be used."""
    return (*_all(_RUNNERS)[1], *_all(_EXPORTERS)[1])


def _one(kind: _Kind[P], name: str) -> P:
    found = _by_name(kind)
    if name not in found:
        raise UnknownNameError(kind.noun, name, found)
    plugin = _load(kind, found[name][0])
    if isinstance(plugin, BrokenPlugin):
        raise UnavailableError(
            f"the plug-in {name!r} of {plugin.distribution} is broken: {plugin.reason}",
            f"mend or uninstall {plugin.distribution}",
        )
    return plugin


def _all(kind: _Kind[P]) -> tuple[dict[str, P], tuple[BrokenPlugin, ...]]:
    usable: dict[str, P] = {}
    unusable: list[BrokenPlugin] = []
    for name, (first, *others) in _by_name(kind).items():
        plugin = _load(kind, first)
        if isinstance(plugin, BrokenPlugin):
            unusable.append(plugin)
        else:
            usable[name] = plugin
        unusable += [_broken(kind, other, f"the name is taken by {_distribution(first)}") for other in others]
    return usable, tuple(unusable)


def _by_name(kind: _Kind[P]) -> dict[str, list[metadata.EntryPoint]]:
    """Name → its claimants, the one that keeps the name in front."""
    claims: dict[str, list[metadata.EntryPoint]] = {}
    for entry in sorted(metadata.entry_points(group=kind.group), key=_precedence):
        claims.setdefault(entry.name, []).append(entry)
    return claims


def _precedence(entry: metadata.EntryPoint) -> tuple[str, bool, str, str]:
    distribution = _distribution(entry)
    return entry.name, distribution != BUILT_IN, distribution, entry.value


def _load(kind: _Kind[P], entry: metadata.EntryPoint) -> P | BrokenPlugin:
    """An instance of the plug-in's class, or why there is none."""
    try:
        with contained():
            return _instance(kind, entry)
    except Exception as error:  # a plug-in may raise anything; the others go on
        return _broken(kind, entry, str(error))


def _instance(kind: _Kind[P], entry: metadata.EntryPoint) -> P:
    if not NAME.fullmatch(entry.name):
        raise ValueError(f"{entry.name!r} is no name: lower-case letters, digits, - and _ after a letter")
    plugin = entry.load()
    if not (isinstance(plugin, type) and issubclass(plugin, kind.base)):
        raise TypeError(f"{entry.value} is no subclass of esrbench's {kind.base.__name__}")
    born = getattr(plugin, kind.bears, None)
    if born != entry.name:
        raise ValueError(f"{entry.value}.{kind.bears} is {born!r}, its entry point says {entry.name!r}")
    for name in ("on_request", "portable"):
        if not isinstance(getattr(plugin, name, False), bool):
            raise TypeError(f"{entry.value}.{name} is {getattr(plugin, name)!r}; it must be True or False")
    for name, (of, members) in _DECLARED.items():
        found = getattr(plugin, name, None)
        if found is not None and not (isinstance(found, of) and all(isinstance(each, members) for each in found)):
            raise TypeError(f"{entry.value}.{name} is {found!r}; it must be a {of.__name__} of {members.__name__}")
    instance: P = plugin()
    return instance


def _broken(kind: _Kind[P], entry: metadata.EntryPoint, reason: str) -> BrokenPlugin:
    return BrokenPlugin(group=kind.group, name=entry.name, distribution=_distribution(entry), reason=reason)


def _distribution(entry: metadata.EntryPoint) -> str:
    return (entry.dist.name if entry.dist is not None else None) or "an unknown distribution"
