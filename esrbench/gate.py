"""What makes a comparison fail, as a pipeline asks for it: ``slower:3%``, ``memory:5%``, ``vanished`` …"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from esrbench.codec import Value
from esrbench.comparison import Comparison, Presence, Row
from esrbench.errors import UnknownNameError, UsageError
from esrbench.side import Side
from esrbench.verdict import Bar, Verdict, verdict_of
from esrbench.wording import change


class Kind(StrEnum):
    """What a gate looks at."""

    SLOWER = "slower"
    UNCLEAR = "unclear"
    VANISHED = "vanished"
    WRONG = "wrong"
    MEMORY = "memory"
    SIZE = "size"
    NODES = "nodes"
    ROUNDS = "rounds"


TOLERANCE = {Kind.MEMORY: 0.05, Kind.SIZE: 0.01}
"""How much more is let pass unless a gate says. Memory: a runtime's peak varies between launches. Size: an ONNX file
holds the paths of the sources that made it."""

IMPLIED = {Kind.SLOWER: (Kind.VANISHED, Kind.WRONG)}
"""What has vanished cannot be shown not to be slower; a gate that skips it lets a broken runner pass."""


class Gate(Value, frozen=True, kw_only=True):
    """One thing that must not be."""

    kind: Kind
    limit: float | None = None  # as a factor less one


class Failure(Value, frozen=True, kw_only=True):
    """Why a gate does not hold, in a sentence."""

    kind: Kind
    name: str  # the row's
    reason: str


def parse(text: str) -> Gate:
    """``slower``, ``slower:3%``, ``memory:5%`` …

    Raises:
        UsageError: no gate of that name, or its limit is no percentage.
    """
    name, _, limit = text.partition(":")
    if name not in {kind.value for kind in Kind}:
        raise UnknownNameError("gate", name, [kind.value for kind in Kind])
    kind = Kind(name)
    if not limit:
        return Gate(kind=kind, limit=TOLERANCE.get(kind))
    if kind not in {Kind.SLOWER, *TOLERANCE}:
        raise UsageError(f"--fail-on {text}: {name} takes no limit; write {name}")
    return Gate(kind=kind, limit=percentage(limit, f"--fail-on {text}"))


def percentage(text: str, origin: str) -> float:
    """``3%`` as 0.03.

    Raises:
        UsageError: it is no percentage, or negative.
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*%\s*", text)
    if match is None:
        raise UsageError(f"{origin}: {text!r} is not a percentage; write for example 3% or 2.5%")
    return float(match[1]) / 100


def failures(comparison: Comparison, gates: Sequence[Gate]) -> tuple[Failure, ...]:
    """Every row that a gate does not let pass, gate by gate; what several gates say of a row is said once."""
    implied = [Gate(kind=kind) for gate in gates for kind in IMPLIED.get(gate.kind, ())]
    found = [
        Failure(kind=gate.kind, name=row.label, reason=reason)
        for gate in [*gates, *implied]
        for row in comparison.rows
        for reason in _reasons(gate, row, comparison.bar)
    ]
    return tuple(dict.fromkeys(found))


def _reasons(gate: Gate, row: Row, bar: Bar) -> Iterator[str]:
    match gate.kind:
        case Kind.SLOWER:
            yield from _slower(row, bar if gate.limit is None else msgspec.structs.replace(bar, worth=gate.limit))
        case Kind.UNCLEAR:
            yield from _unclear(row)
        case Kind.VANISHED if row.presence is Presence.VANISHED:
            yield f"it was measured in the base; in the head it is {_why(row.head)}"
        case Kind.WRONG if row.presence is Presence.WRONG:
            yield f"its picture was right in the base; in the head it is {_why(row.head)}"
        case Kind.MEMORY:
            yield from _grown("peak memory", "MB", row.base.peak_ram_mb, row.head.peak_ram_mb, gate.limit)
            yield from _grown("device memory", "MB", row.base.device_memory_mb, row.head.device_memory_mb, gate.limit)
        case Kind.SIZE:
            yield from _grown("the artifact", "bytes", row.base.artifact_bytes, row.head.artifact_bytes, gate.limit)
        case Kind.NODES:
            yield from _other_nodes(row)
        case Kind.ROUNDS if row.head.rounds < row.base.rounds:
            yield f"{row.head.rounds} of its rounds ended ok in the head, {row.base.rounds} in the base"


def _slower(row: Row, bar: Bar) -> Iterator[str]:
    judgement = row.judgement
    if judgement is None or judgement.ratio is None:
        return
    if verdict_of(judgement.ratio, bar, judgement.p_value) is Verdict.SLOWER:
        found = change(judgement.ratio.value, judgement.ratio.low, judgement.ratio.high)
        yield f"its speed changed by {found}; up to {bar.claim:.1%} more time was allowed"


def _unclear(row: Row) -> Iterator[str]:
    judgement = row.judgement
    if judgement is None or judgement.verdict is not Verdict.UNCLEAR:
        return
    settled = f"about {judgement.more_rounds} more rounds" if judgement.more_rounds else "no sensible number of rounds"
    if judgement.changed_as_others_did:
        yield "it changed as the other cases did, by the machine or by what they share; runs that take turns would tell"
    elif judgement.changed_against_others:
        yield "it changed against the other cases, not by itself; runs that take turns would tell"
    else:
        yield f"the launches cannot tell; {settled} would"


def _grown(what: str, unit: str, base: float | None, head: float | None, limit: float | None) -> Iterator[str]:
    if base is None or limit is None:
        return
    if head is None:
        yield f"{what} was {base:.0f} {unit} in the base and was not measured in the head"
    elif head > base * (1 + limit):
        share = f" ({head / base - 1:+.1%})" if base else ""
        grown = f"{what} grew from {base:.0f} to {head:.0f} {unit}{share}"
        yield f"{grown}; up to {limit:+.1%} was allowed"


def _other_nodes(row: Row) -> Iterator[str]:
    if row.base.nodes and row.base.nodes != row.head.nodes:
        yield f"its nodes were {_counted(row.base.nodes)} in the base and are {_counted(row.head.nodes)} in the head"


def _counted(nodes: dict[str, int] | None) -> str:
    return ", ".join(f"{count} {place}" for place, count in sorted(nodes.items())) if nodes else "not counted"


def _why(side: Side) -> str:
    return f"{side.status_word}: {side.reason}" if side.reason else side.status_word
