"""Runs over time in words and tables, for the summary."""

from collections.abc import Iterator, Sequence

from esrbench.among import caveat
from esrbench.history import History, Point, Series, Visit
from esrbench.report.escape import code, escaped
from esrbench.report.history_chart import change_numbers, panel_title
from esrbench.wording import NOT_MEASURED, change, significant

BREAK = "¦"
BREAK_MEANING = f"{BREAK}: other weights or pixels than in the run before, or not measured there"

SHOWN_RUNS = 6
"""A table of more columns is not read; the chart has them all."""


def history_md(history: History) -> list[str]:
    """A machine's newest runs, a row a target, and what changed between them: lines of Markdown."""
    first = max(len(history.visits) - SHOWN_RUNS, 0)
    places = range(first, len(history.visits))
    heads = ["Mpix/s", *(_head(history, place) for place in places), "last change"]
    lines = [_line(heads), _line([":--", *["--:"] * (len(heads) - 1)])]
    for series in history.series:
        points = {point.at: point for point in series.points}
        cells = [_cell(points.get(place)) for place in places]
        lines.append(_line([code(panel_title(series, history.series)), *cells, last_change(series)]))
    breaks = [BREAK_MEANING] if any(BREAK in line for line in lines) else []
    return [*lines, "", *(f"- {escaped(note)}" for note in [*notes(history), *breaks])]


def notes(history: History) -> Iterator[str]:
    """What changed between the runs, and how far the last change can be trusted."""
    yield from changes(history)
    ratios = [series.change.ratio for series in history.series if series.change and series.change.ratio]
    if any(ratio.paired for ratio in ratios):
        yield "The last two runs took turns: launches of the same round are compared."
    elif ratios:
        yield f"The last change is of two runs, one after the other. {caveat(len(ratios))}"


def changes(history: History) -> Iterator[str]:
    """What changed before each numbered run: ``(1) 2026-11-23 quiet: torch: 2.13.0 → 2.14.0``."""
    for at, number in change_numbers(history).items():
        visit = history.visits[at]
        yield f"({number}) {visit.made_at[:10]} {visit.run}: {_told(visit)}"


def last_change(series: Series) -> str:
    """What the newest run makes of the one before, where they measured the same: ``slower, -6.5% (-7.1 to -5.9)``."""
    judgement = series.change
    if judgement is None or judgement.ratio is None:
        return NOT_MEASURED
    ratio = judgement.ratio
    said = f"{judgement.verdict}, {change(ratio.value, ratio.low, ratio.high)}"
    if ratio.among and (judgement.changed_as_others_did or judgement.changed_against_others):
        return f"{said}; {change(ratio.among.value, ratio.among.low, ratio.among.high)} against the others"
    return said


def _told(visit: Visit) -> str:
    return "; ".join(f"{each.what}: {each.base} → {each.head}" for each in visit.changes)


def _head(history: History, place: int) -> str:
    number = change_numbers(history).get(place)
    return f"{escaped(history.visits[place].made_at[:10])}{f' ({number})' if number else ''}"


def _cell(point: Point | None) -> str:
    """The speed, or what became of it; behind a bar where it does not continue the run before."""
    if point is None:
        return NOT_MEASURED
    if point.throughput_mpix_s is None:
        return point.status
    speed = significant(point.throughput_mpix_s)
    return speed if point.continues or point.at == 0 else f"{BREAK} {speed}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
