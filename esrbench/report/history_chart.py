"""Throughput over time as small multiples: a panel a target, all of one machine's runs along each."""

import math
from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from esrbench.history import History, Point, Series
from esrbench.report.charts import DPI, WIDTH_IN, styled, written
from esrbench.report.palette import Theme, runtime_colours
from esrbench.wording import clipped, significant

COLUMNS = 3
PANEL_IN = 1.75

MIN_REACH = 0.15
"""A panel reaches at least this far above and below the middle: a per cent of noise must not look like a mountain."""

MAX_REACH = 0.6
"""An interval is drawn up to this far beyond the points: one run of two rounds must not squeeze the others."""

MAX_DATES = 5


def history_png(history: History, theme: Theme) -> bytes | None:
    """The chart of a machine; None where nothing was measured."""
    if not history.series:
        return None
    rows = math.ceil(len(history.series) / COLUMNS)
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 8.5}):
        figure = Figure(
            figsize=(WIDTH_IN, rows * PANEL_IN + 0.4), dpi=DPI, layout="constrained", facecolor=theme.background
        )
        title = f"Output megapixels a second, run by run: {history.machine}"
        figure.suptitle(
            clipped(title, 100).replace("$", r"\$"),
            x=0.012,
            ha="left",
            fontsize=11,
            fontweight="bold",
            color=theme.text,
        )
        axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
        colours = runtime_colours(series.target.runtime for series in history.series)
        for axis, series in zip(axes, history.series, strict=False):
            styled(axis, theme, panel_title(series, history.series))
            _draw(axis, series, history, colours[series.target.runtime], theme)
        for axis in axes[len(history.series) :]:
            axis.set_axis_off()
        return written(figure)


def panel_title(series: Series, others: Sequence[Series]) -> str:
    """The target, a software device named as such; its tile, batch and model only where they tell panels apart."""
    parts = [f"{series.target} (software)" if series.is_software else str(series.target)]
    if len({(other.tile_px, other.batch) for other in others}) > 1:
        parts.append(f"{series.tile_px} px{f' ×{series.batch}' if series.batch > 1 else ''}")
    if len({other.model for other in others}) > 1:
        parts.append(series.model)
    return " · ".join(parts)


def change_numbers(history: History) -> dict[int, int]:
    """Place of a run → the number under which its changes are told."""
    changed = [at for at, visit in enumerate(history.visits) if visit.changes]
    return {at: number for number, at in enumerate(changed, start=1)}


def _draw(axis: Axes, series: Series, history: History, colour: str, theme: Theme) -> None:
    measured = [point for point in series.points if point.throughput_mpix_s is not None]
    low, high = _limits(measured)
    axis.set_ylim(low, high)
    axis.set_xlim(-0.5, len(history.visits) - 0.5)
    axis.grid(axis="y", color=theme.grid, linewidth=0.6)
    axis.grid(visible=False, axis="x")
    for at, number in change_numbers(history).items():
        axis.axvline(at - 0.5, color=theme.faint, linewidth=0.8, linestyle=":")
        axis.annotate(
            str(number), (at - 0.5, high), xytext=(2, -8), textcoords="offset points", fontsize=7, color=theme.faint
        )
    _lines(axis, series.points, colour)
    for point in measured:
        _dot(axis, point, colour)
    lost = [point.at for point in series.points if point.throughput_mpix_s is None]
    axis.scatter(lost, [low] * len(lost), marker="x", s=22, color=theme.text, clip_on=False, zorder=4)
    last = measured[-1]
    axis.annotate(
        significant(last.throughput_mpix_s),
        (last.at, min(last.high or last.throughput_mpix_s or 0.0, high)),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        color=theme.text,
    )
    axis.set_xticks(*_dates(history))


def _lines(axis: Axes, points: Sequence[Point], colour: str) -> None:
    """From point to point, where they measured the same."""
    for before, after in pairwise(points):
        if after.continues and before.throughput_mpix_s is not None and after.throughput_mpix_s is not None:
            axis.plot([before.at, after.at], [before.throughput_mpix_s, after.throughput_mpix_s], color=colour, lw=1.4)


def _dot(axis: Axes, point: Point, colour: str) -> None:
    axis.plot(point.at, point.throughput_mpix_s or 0.0, marker="o", markersize=4.5, color=colour)
    if point.low is not None and point.high is not None:
        axis.plot([point.at, point.at], [point.low, point.high], color=colour, linewidth=1.2, alpha=0.75)


def _limits(measured: Sequence[Point]) -> tuple[float, float]:
    speeds = [point.throughput_mpix_s for point in measured if point.throughput_mpix_s is not None]
    ends = [*speeds, *(end for point in measured for end in (point.low, point.high) if end is not None)]
    middle = (min(speeds) + max(speeds)) / 2
    low = max(min(*ends, middle * (1 - MIN_REACH)), min(speeds) * (1 - MAX_REACH))
    high = min(max(*ends, middle * (1 + MIN_REACH)), max(speeds) * (1 + MAX_REACH))
    return low, high + (high - low) * 0.12


def _dates(history: History) -> tuple[list[int], list[str]]:
    """Month and day under as many runs as there is room for, the last one always."""
    count = len(history.visits)
    step = math.ceil(count / MAX_DATES)
    places = sorted(range(count - 1, -1, -step))
    return places, [history.visits[place].made_at[5:10] for place in places]
