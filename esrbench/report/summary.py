"""``summary.csv`` for programs and ``summary.md`` for a comment on a change."""

import csv
import io
from collections.abc import Sequence

from esrbench.case_summary import CaseSummary, in_brief, ranking, summarise
from esrbench.compare import answer, machine_name
from esrbench.history import History, histories
from esrbench.report.columns import shown_in_summary
from esrbench.report.escape import cell, code, escaped, marked_up
from esrbench.report.findings import Gap, gaps, trust
from esrbench.report.frontier_text import budget_md
from esrbench.report.history_text import history_md
from esrbench.store import Run
from esrbench.wording import counted, significant

CSV_COLUMNS = (
    "target",
    "status",
    "reason",
    "tile_px",
    "batch",
    "speedup",
    "speedup_low",
    "speedup_high",
    "latency_ms",
    "throughput_mpix_s",
    "peak_ram_mb",
    "device_memory_mb",
    "load_s",
    "first_tile_s",
    "psnr_db",
    "ssim",
    "device_type",
    "gflops_s",
    "attainable_percent",
    "bound_by",
    "joules_per_mpix",
    "cold_s",
    "new_shape_s",
    "latency_p90_ms",
    "latency_p99_ms",
)
"""Stable: programs read them by name. Each is a field of :class:`CaseSummary`; empty is "not measured"."""


def summary_csv(runs: Sequence[Run]) -> str:
    """One row a case, fastest first, run after run. An identical picture has the PSNR ``inf``."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for run in runs:
        writer.writerows([_csv_cell(row, name) for name in CSV_COLUMNS] for row in ranking(summarise(run)))
    return file.getvalue()


def summary_md(runs: Sequence[Run]) -> str:
    """Machines with several runs over time, then each run: the answer, the table, what was not measured."""
    over_time = [_over_time(history) for history in histories(runs)]
    return "\n".join([*over_time, *(_section(run, titled=len(runs) > 1) for run in runs)])


def _over_time(history: History) -> str:
    title = f"### Over time: {escaped(history.machine)}, {counted(len(history.visits), 'run')}"
    return "\n".join([title, "", *history_md(history)]) + "\n"


def _csv_cell(row: CaseSummary, name: str) -> str:
    value = getattr(row, name)
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else cell(value) if isinstance(value, str) else str(value)


def _section(run: Run, *, titled: bool) -> str:
    rows = ranking(summarise(run))
    lines = [f"### {escaped(run.name)}", ""] if titled else []
    lines += [marked_up(answer(run)), ""]
    ranked = in_brief([row for row in rows if row.ranked])
    if ranked:
        lines += [*_table(ranked), "", *(f"- {escaped(note)}" for note in _notes(run)), ""]
    lines += budget_md(run)
    found = gaps(rows)
    if found:
        lines += [
            "<details><summary>Not measured or not known, and why</summary>",
            "",
            *map(_gap, found),
            "",
            "</details>",
            "",
        ]
    record = run.record
    facts = (record.model.name, machine_name(record.environment), record.environment.os, record.created_at)
    lines.append(
        f"<sub>{' · '.join(map(escaped, facts))} · esrbench {escaped(record.esrbench_version)} · "
        "Mpix/s: megapixels of the finished picture a second; speed-up with its 95 % interval over rounds</sub>"
    )
    return "\n".join(lines) + "\n"


def _notes(run: Run) -> list[str]:
    """How far to trust it, and what the percentages are of."""
    roofs = [
        f"{each.device} {each.precision.value} {significant(each.gflops_s)} GFLOP/s"
        for each in run.record.attainable
        if each.gflops_s is not None
    ]
    attainable = [f"Attainable, with the network's own convolutions: {', '.join(roofs)}."] if roofs else []
    return [*trust(run), *attainable]


def _table(rows: Sequence[CaseSummary]) -> list[str]:
    columns = shown_in_summary(rows)
    rule = [":--" if column.head == "target" else "--:" for column in columns]
    cells = [[column.head for column in columns], rule]
    cells += [[escaped(column.text(row)) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in cells]


def _gap(gap: Gap) -> str:
    names = ", ".join(map(code, gap.labels))
    remedy = f" → {escaped(gap.remedy)}" if gap.remedy else ""
    return f"- **{gap.status}** {names}: {escaped(gap.reason)}{remedy}"
