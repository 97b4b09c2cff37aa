"""A comparison for people: a sentence, a table for the terminal, a comment for a pull request."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from esrbench.comparison import Comparison, Presence, Row
from esrbench.gate import Failure
from esrbench.ratio import Ratio
from esrbench.report.escape import code, escaped
from esrbench.rounds import Boundary
from esrbench.verdict import Verdict
from esrbench.wording import NOT_MEASURED, change, counted, interval, megabytes, significant, times

ORDER = (Verdict.SLOWER, Verdict.FASTER, Verdict.UNCLEAR, Verdict.SAME)
LOST = (Presence.WRONG, Presence.VANISHED)

BOUNDARIES = {
    Boundary.IMAGE: "throughput of the whole plan",
    Boundary.TILE: "latency of one tile",
    Boundary.COLD: "start to first tile",
}
SPEED = "speed"
HEADS = ("case", "base", "head", SPEED, "verdict", "RAM MB")


def headline(found: Comparison) -> str:
    """What was compared with what, and how many of which verdict; the bad and the lost by name."""
    subject = f"{found.head} by {found.axis}" if found.axis else f"{found.head} against {found.base}"
    how = "paired within rounds" if found.paired else "not paired"
    return f"{subject}, {BOUNDARIES[found.boundary]}, {how}: {_counts(found)}."


def comparison_table(found: Comparison) -> RenderableType:
    """The rows, worst first, and below them what else there is to know. Fits 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for head in (HEADS[0], f"base {found.unit}", f"head {found.unit}", *HEADS[3:]):
        justify: JustifyMethod = "left" if head == HEADS[0] else "right"
        # Where there is too little room it is the speed, which has spaces, that takes two lines.
        table.add_column(head.replace(" ", "\n", 1), justify=justify, no_wrap=head != SPEED)
    for row in _ordered(found.rows):
        table.add_row(*map(Text, _cells(row, found)))
    below = [*_legend(found), *_lost(found), *_changed(found), *_unlike(found), *found.notes]
    return Group(table, *(Text(f"\n{line}" if place == 0 else line) for place, line in enumerate(below)))


def comparison_md(found: Comparison, failures: Sequence[Failure]) -> str:
    """The comparison as GitHub's Markdown: what fails first."""
    lines = [f"### {escaped(headline(found))}", ""]
    if failures:
        told = (f"- {code(each.name)} {each.kind}: {escaped(each.reason)}" for each in failures)
        lines += ["**Fails:**", "", *told, ""]
    heads = (HEADS[0], f"base, {found.unit}", f"head, {found.unit}", *HEADS[3:])
    lines += [_line(heads), _line([":--", "--:", "--:", "--:", ":--", "--:"])]
    lines += [
        _line([code(cells[0]), *map(escaped, cells[1:])])
        for row in _ordered(found.rows)
        for cells in [_cells(row, found)]
    ]
    for line in (*_lost(found), *_changed(found)):
        lines += ["", escaped(line)]
    fine = [*_legend(found), *_unlike(found), *found.notes]
    return "\n".join([*lines, "", f"<sub>{' · '.join(map(escaped, fine))}</sub>"]) + "\n"


def _counts(found: Comparison) -> str:
    verdicts = Counter(row.judgement.verdict for row in found.rows if row.judgement)
    parts = [_counted_verdict(found, verdict, verdicts[verdict]) for verdict in ORDER if verdicts[verdict]]
    presences = Counter(row.presence for row in found.rows)
    words = {Presence.WRONG: "wrong", Presence.VANISHED: "measured in the base only", Presence.APPEARED: "new"}
    parts += [f"{presences[presence]} {word}" for presence, word in words.items() if presences[presence]]
    return ", ".join(parts) or "nothing was measured on both sides"


def _counted_verdict(found: Comparison, verdict: Verdict, count: int) -> str:
    if verdict is not Verdict.SLOWER:
        return f"{count} {verdict}"
    names = ", ".join(
        f"{row.label} {_speed(_without_interval(row.judgement.ratio), found)}"
        for row in found.rows
        if row.judgement and row.judgement.ratio and row.judgement.verdict is Verdict.SLOWER
    )
    return f"{count} slower ({names})"


def _without_interval(ratio: Ratio) -> Ratio:
    return Ratio(value=ratio.value)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """What was lost first, then by verdict; the rest keeps its order."""
    return sorted(rows, key=_rank)


def _rank(row: Row) -> int:
    if row.presence in LOST:
        return LOST.index(row.presence)
    return len(LOST) + (ORDER.index(row.judgement.verdict) if row.judgement else len(ORDER))


def _cells(row: Row, found: Comparison) -> tuple[str, ...]:
    ratio = row.judgement.ratio if row.judgement else None
    return (
        row.label,
        significant(row.base.level),
        significant(row.head.level),
        _speed(ratio, found),
        _verdict(row),
        _memory(row),
    )


def _speed(ratio: Ratio | None, found: Comparison) -> str:
    """``-5.6% (-6.9 to -4.3)`` between runs, where differences are small; ``1.58× (1.55–1.59)`` within one."""
    if ratio is None:
        return NOT_MEASURED
    if found.axis is None:
        return change(ratio.value, ratio.low, ratio.high)
    ends = interval(ratio.low, ratio.high)
    return f"{times(ratio.value)}{f' ({ends})' if ends else ''}"


def _verdict(row: Row) -> str:
    if row.judgement is None:
        return row.presence.value if row.presence is not Presence.NEITHER else row.head.status_word
    more = row.judgement.more_rounds
    return f"{row.judgement.verdict}{f' (+{more})' if more else ''}"


def _memory(row: Row) -> str:
    base, head = row.base.peak_ram_mb, row.head.peak_ram_mb
    if base is None and head is None:
        return NOT_MEASURED
    return megabytes(head) if megabytes(base) == megabytes(head) else f"{megabytes(base)} → {megabytes(head)}"


def _legend(found: Comparison) -> Iterator[str]:
    yield (
        f"speed: of the head over the base's, with its 95 % interval; {found.bar.worth:.1%} are worth reporting; "
        f"{counted(max(_rounds(found), default=0), 'round')} at most"
    )
    if found.bar.noise > found.bar.worth:
        yield f"the same case measured twice differed by {found.bar.noise:.1%}: no smaller difference is claimed"
    shared = [_among(row, found) for row in found.rows if row.judgement and row.judgement.changed_as_others_did]
    if shared:
        why = "by the machine or by what they share"
        yield f"changed as the others did, {why}; against the others: {', '.join(shared)}"
    hidden = [_among(row, found) for row in found.rows if row.judgement and row.judgement.changed_against_others]
    if hidden:
        yield f"changed against the others, which the machine may hide: {', '.join(hidden)}"
    if any(row.judgement and row.judgement.more_rounds for row in found.rows):
        yield "unclear (+n): about n more rounds would settle it"


def _among(row: Row, found: Comparison) -> str:
    """``torch@cpu:fp32 -0.2% (-0.9 to +0.5)``: the change among the other cases."""
    ratio = row.judgement.ratio if row.judgement else None
    return f"{row.label} {_speed(ratio.among if ratio else None, found)}"


def _rounds(found: Comparison) -> Iterator[int]:
    return (row.judgement.ratio.rounds for row in found.rows if row.judgement and row.judgement.ratio)


def _lost(found: Comparison) -> Iterator[str]:
    """What became of each case that lost its speed or whose status is another."""
    for row in found.rows:
        if row.base.status is row.head.status:
            continue
        if row.presence in LOST or (row.presence is Presence.NEITHER and found.axis is None):
            reason = f": {row.head.reason}" if row.head.reason else ""
            yield f"{row.label}: {row.base.status_word} → {row.head.status_word}{reason}"


def _changed(found: Comparison) -> Iterator[str]:
    """Figures that do not vary by themselves, where two runs differ in them."""
    if found.axis is not None:
        return
    for row in found.rows:
        sizes = row.base.artifact_bytes, row.head.artifact_bytes
        if None not in sizes and sizes[0] != sizes[1]:
            yield f"{row.label}: its artifact has {sizes[1]} bytes instead of {sizes[0]}"
        if row.base.nodes and row.head.nodes and row.base.nodes != row.head.nodes:
            yield f"{row.label}: nodes {_nodes(row.head.nodes)} instead of {_nodes(row.base.nodes)}"


def _nodes(nodes: dict[str, int]) -> str:
    return ", ".join(f"{place} {count}" for place, count in sorted(nodes.items()))


def _unlike(found: Comparison) -> Iterator[str]:
    for each in found.allowed:
        yield f"unlike by leave: {each.aspect}: {each.what}: {each.base} | {each.head}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
