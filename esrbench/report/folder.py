"""A report's folder: made whole beside its place, then swapped in; it can be deleted and made again."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from esrbench.errors import OutputError
from esrbench.history import histories
from esrbench.report.charts import CHARTS, png
from esrbench.report.frontier_chart import frontier_png
from esrbench.report.frontier_text import budget_rows
from esrbench.report.history_chart import history_png
from esrbench.report.page import GENERATOR, DrawnChart, DrawnFrontier, DrawnHistory, page
from esrbench.report.palette import DARK, LIGHT
from esrbench.report.summary import summary_csv, summary_md
from esrbench.store import Run

INDEX = "index.html"

_NAMES = [*(chart.name for chart in CHARTS), "history", "frontier"]
_OURS = re.compile(rf"index\.html|summary\.(md|csv)|({'|'.join(_NAMES)})(-dark)?(\.\d+)?\.png")
_HEAD_BYTES = 1024


def render(runs: Sequence[Run], out: Path) -> Path:
    """Write the report of ``runs`` to the folder ``out`` and return its ``index.html``.

    The same runs give the same bytes. An earlier report there is replaced, in one step; anything else is left alone.

    Raises:
        OutputError: something else lies there, or it cannot be written.
        ImageError: a run's picture cannot be read.
    """
    check_place(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as scratch:
            made = Path(scratch) / "new"
            made.mkdir()
            _write(runs, made)
            _swap(made, out, Path(scratch) / "old")
    except OSError as error:
        raise OutputError(f"the report cannot be written to {out}: {error.strerror}; choose another --out") from error
    return out / INDEX


def check_place(out: Path) -> None:
    """Refuse a place that holds anything but a report.

    Raises:
        OutputError: say what is there.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{out} is a file; a report is a folder: choose another --out")
    others = sorted(path.name for path in out.iterdir() if not _OURS.fullmatch(path.name))
    if others:
        raise OutputError(f"{out} holds what is not a report's, such as {others[0]!r}; choose another --out")
    if any(out.iterdir()) and not _is_report(out):
        raise OutputError(f"{out} holds files, but no report that esrbench made; choose another --out")


def _is_report(folder: Path) -> bool:
    try:
        with (folder / INDEX).open("rb") as file:
            return f'content="{GENERATOR}"'.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


def _write(runs: Sequence[Run], folder: Path) -> None:
    charts = [_draw(run) for run in runs]
    for number, drawn in enumerate(charts, start=1):
        for each in drawn:
            _write_chart(folder, each.chart.name, number, each.light, each.dark)
    over_time = _draw_histories(runs)
    for number, history in enumerate(over_time, start=1):
        _write_chart(folder, "history", number, history.light, history.dark)
    frontiers = [_draw_frontier(run) for run in runs]
    for number, drawn_frontier in enumerate(frontiers, start=1):
        if drawn_frontier is not None:
            _write_chart(folder, "frontier", number, drawn_frontier.light, drawn_frontier.dark)
    _write_text(folder / INDEX, page(runs, charts, over_time, frontiers))
    _write_text(folder / "summary.md", summary_md(runs))
    _write_text(folder / "summary.csv", summary_csv(runs))


def _write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, other bytes as escapes."""
    path.write_text(text, encoding="utf-8", errors="replace", newline="\n")


def _write_chart(folder: Path, name: str, number: int, light: bytes, dark: bytes) -> None:
    suffix = f".{number}.png" if number > 1 else ".png"
    (folder / f"{name}{LIGHT.suffix}{suffix}").write_bytes(light)
    (folder / f"{name}{DARK.suffix}{suffix}").write_bytes(dark)


def _draw_histories(runs: Sequence[Run]) -> list[DrawnHistory]:
    drawn = []
    for history in histories(runs):
        light, dark = history_png(history, LIGHT), history_png(history, DARK)
        if light is not None and dark is not None:
            drawn.append(DrawnHistory(history=history, light=light, dark=dark))
    return drawn


def _draw_frontier(run: Run) -> DrawnFrontier | None:
    light, dark = frontier_png(run, LIGHT), frontier_png(run, DARK)
    return None if light is None or dark is None else DrawnFrontier(light=light, dark=dark, rows=budget_rows(run))


def _draw(run: Run) -> list[DrawnChart]:
    drawn = []
    for chart in CHARTS:
        light, dark = png(chart, run, LIGHT), png(chart, run, DARK)
        if light is not None and dark is not None:
            drawn.append(DrawnChart(chart=chart, light=light, dark=dark))
    return drawn


def _swap(made: Path, out: Path, old: Path) -> None:
    """Put ``made`` in the place of ``out``; if that fails, what was there is put back."""
    if out.exists():
        out.rename(old)
    try:
        made.rename(out)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
