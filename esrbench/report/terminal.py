"""The table for a terminal; printing it is the command line's."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esrbench.case_summary import CaseSummary, ranking, summarise
from esrbench.record import Status
from esrbench.report.columns import Column, shown
from esrbench.report.findings import gaps
from esrbench.store import Run


def terminal_table(run: Run) -> RenderableType:
    """The run's cases, fastest first, and below them what was not measured and why."""
    rows = ranking(summarise(run))
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = shown(rows, brief=True)
    for column in columns:
        is_word = column.head in {"target", "status"}
        table.add_column(column.head, justify="left" if is_word else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(column, row) for column in columns), style=None if row.ranked else "dim")
    missing = [_reason(gap.status, gap.labels, gap.reason, gap.remedy) for gap in gaps(rows)]
    return Group(table, *missing)


def _cell(column: Column, row: CaseSummary) -> Text:
    bad = column.head == "status" and row.status is not Status.OK
    return Text(column.text(row), style="red" if bad else "")


def _reason(status: str, labels: tuple[str, ...], reason: str, remedy: str | None) -> Text:
    text = Text.assemble("\n", (f"{status}: ", "bold"), ", ".join(labels), "\n  ", reason)
    return text.append(f"\n  → {remedy}") if remedy else text
