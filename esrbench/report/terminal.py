"""The table for a terminal; printing it is the command line's."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from esrbench.case_summary import CaseSummary, in_brief, ranking, summarise
from esrbench.report.columns import shown_briefly
from esrbench.report.findings import Gap, gaps, trust
from esrbench.report.frontier_text import budget_rows
from esrbench.store import Run


def terminal_table(run: Run) -> RenderableType:
    """The ranked cases, fastest first, how far to trust them, and what was not measured and why. Fits 80 columns."""
    rows = ranking(summarise(run))
    missing = [_reason(gap) for gap in gaps(rows)]
    ranked = in_brief([row for row in rows if row.ranked])
    if not ranked:
        return Group(*missing)
    return Group(_table(ranked), *(Text(f"\n{note}") for note in trust(run)), *_budgets(run), *missing)


def _budgets(run: Run) -> list[Text]:
    """List the fastest case within each memory budget.

    Without a speed: on a large picture a case has another one than in the table, where it is of the run's own.
    """
    rows = [
        f"  {budget}: {target}, tile {tile}, batch {batch}, needs {peak}, PSNR dB {picture}"
        for budget, target, tile, batch, _, peak, picture in budget_rows(run)
    ]
    return (
        [Text("\nfastest on a picture much larger than a tile, within a memory budget of"), *map(Text, rows)]
        if rows
        else []
    )


def _table(rows: Sequence[CaseSummary]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    columns = shown_briefly(rows)
    for column in columns:
        # Only the target may wrap, before "(software)": a number that is cut is worse than a tall row.
        if column.head == "target":
            table.add_column(column.head, overflow="fold")
        else:
            table.add_column(column.head.replace(" ", "\n"), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    return table


def _reason(gap: Gap) -> Text:
    text = Text.assemble("\n", (f"{gap.status}: ", "bold"), ", ".join(gap.labels), "\n  ", gap.reason)
    return text.append(f"\n  → {gap.remedy}") if gap.remedy else text
