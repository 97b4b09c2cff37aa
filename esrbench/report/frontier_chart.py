"""Speed against memory: what nothing beats in both over all targets, then each target's tiles and batches."""

import math
from collections.abc import Container, Mapping, Sequence
from itertools import pairwise

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from esrbench.frontier import Spot, frontier, groups, has_sizes, out_of_memory, spots
from esrbench.report.charts import DPI, WIDTH_IN, styled, written
from esrbench.report.labels import Point, label_points
from esrbench.report.palette import Theme, runtime_colours
from esrbench.report.panels import MARKERS
from esrbench.store import Run
from esrbench.target import Target

TITLE = "Speed against memory"
CAPTION = (
    "Left: less memory. Up: faster, in megapixels a second of a picture much larger than a tile. First what no tile "
    "and batch of any target beats in both, joined by the dashed line, and the fastest targets. Then the tiles "
    "of each target, ×2 in batches of two: filled where one beats the others, hollow where another needs less and is "
    "as fast. Circles are fp32, squares bf16, triangles fp16, pluses tf32, diamonds int8."
)

COLUMNS = 3
OVERVIEW_IN = 3.6
PANEL_IN = 2.3
LINE_STEPS = 24
MOST_NAMES = 14
"""In the panel of every target: more lie over each other; each target has a panel of its own below."""
KINDS = {False: "peak resident memory of the process, GB", True: "device memory in use, GB"}


class _Panel(msgspec.Struct, frozen=True, kw_only=True):
    """A panel whose points are drawn and not yet named."""

    axis: Axes
    named: list[Point]
    unnamed: list[Point]


class _Canvas(msgspec.Struct, frozen=True, kw_only=True):
    """What the panels of a run are drawn on and with."""

    figure: Figure
    grid: GridSpec
    lost: Mapping[Target, Sequence[str]]  # sizes at which memory ran out
    colours: Mapping[str, str]
    theme: Theme

    def panel(self, row: int, column: int | slice, title: str) -> Axes:
        axis: Axes = self.figure.add_subplot(self.grid[row, column])
        styled(axis, self.theme, title)
        return axis


def frontier_png(run: Run, theme: Theme) -> bytes | None:
    """The chart of a run of several tiles or batches; None for any other, and where there is nothing to compare."""
    found = [group for group in groups(spots(run)) if len(group) > 1] if has_sizes(run) else []
    if not found:
        return None
    lost = out_of_memory(run)
    rows = [1 + math.ceil(len(_worth_a_panel(group, lost)) / COLUMNS) for group in found]
    heights = [height for count in rows for height in (OVERVIEW_IN, *[PANEL_IN] * (count - 1))]
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9}):
        size_in = (WIDTH_IN, sum(heights) + 0.4)
        figure = Figure(figsize=size_in, dpi=DPI, layout="constrained", facecolor=theme.background)
        figure.suptitle(TITLE, x=0.012, ha="left", fontsize=12, fontweight="bold", color=theme.text)
        canvas = _Canvas(
            figure=figure,
            grid=GridSpec(sum(rows), COLUMNS, figure=figure, height_ratios=heights),
            lost=lost,
            colours=runtime_colours(spot.target.runtime for group in found for spot in group),
            theme=theme,
        )
        starts = [sum(rows[:index]) for index in range(len(rows))]
        panels = [each for row, group in zip(starts, found, strict=True) for each in _draw_group(canvas, row, group)]
        for panel in panels:  # once the layout is settled: names are placed in pixels
            label_points(panel.axis, panel.named, theme, panel.unnamed)
        return written(figure)


def _draw_group(canvas: _Canvas, row: int, group: Sequence[Spot]) -> list[_Panel]:
    """All spots of one kind of memory, from grid row ``row`` on."""
    panels = [_draw_overview(canvas.panel(row, slice(None), "every target"), group, canvas)]
    for number, (target, own) in enumerate(_worth_a_panel(group, canvas.lost).items()):
        axis = canvas.panel(row + 1 + number // COLUMNS, number % COLUMNS, str(target))
        panels.append(_draw_target(axis, own, canvas))
    for panel in panels:
        _scale(panel.axis, [spot.memory_mb / 1000 for spot in group], canvas.theme)
    return panels


def _draw_overview(axis: Axes, group: Sequence[Spot], canvas: _Canvas) -> _Panel:
    """Every spot faint, the frontier of all, and by its name each target's fastest, as far as there is room."""
    best = frontier(group)
    for spot in group:
        _mark(axis, spot, canvas.colours[spot.target.runtime], filled=True, alpha=1.0 if spot in best else 0.3)
    axis.plot(*_line(best), color=canvas.theme.text, linewidth=1, linestyle="--", zorder=2)
    axis.set_ylim(0, max(spot.throughput_mpix_s for spot in group) * 1.15)
    axis.set_xlabel(KINDS[group[0].on_device], color=canvas.theme.faint)
    axis.set_ylabel("output megapixels a second", color=canvas.theme.faint)
    fastest = [own[0] for own in _by_target(group).values()]
    others = sorted((spot for spot in fastest if spot not in best), key=lambda spot: -spot.throughput_mpix_s)
    named = [*best, *others[: max(MOST_NAMES - len(best), 0)]]
    return _Panel(
        axis=axis,
        named=[_point(spot, f"{spot.target} {spot.size}") for spot in named],
        unnamed=[*(_point(spot) for spot in group if spot not in named), *_along(best)],
    )


def _draw_target(axis: Axes, own: Sequence[Spot], canvas: _Canvas) -> _Panel:
    """The target's spots, its own frontier, and the sizes at which it ran out of memory."""
    best, target = frontier(own), own[0].target
    colour = canvas.colours[target.runtime]
    axis.plot(*_line(best), color=colour, linewidth=1.2, alpha=0.7, zorder=2)
    for spot in own:
        _mark(axis, spot, colour, filled=spot in best, alpha=1.0)
    axis.set_ylim(0, max(spot.throughput_mpix_s for spot in own) * 1.35)
    if target in canvas.lost:
        text = f"✕ out of memory: {', '.join(canvas.lost[target])}"
        at = (0.98, 0.03)
        axis.annotate(text, at, xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=canvas.theme.text)
    return _Panel(axis=axis, named=[_point(spot, spot.size) for spot in own], unnamed=_along(best))


def _mark(axis: Axes, spot: Spot, colour: str, *, filled: bool, alpha: float) -> None:
    marker = MARKERS[spot.target.precision]
    face = colour if filled else "none"
    x, y = spot.memory_mb / 1000, spot.throughput_mpix_s
    axis.scatter(x, y, s=36, marker=marker, facecolor=face, edgecolor=colour, linewidth=1.1, alpha=alpha, zorder=3)


def _line(best: Sequence[Spot]) -> tuple[list[float], list[float]]:
    return [spot.memory_mb / 1000 for spot in best], [spot.throughput_mpix_s for spot in best]


def _point(spot: Spot, text: str = "") -> Point:
    return Point(x=spot.memory_mb / 1000, y=spot.throughput_mpix_s, text=text)


def _along(best: Sequence[Spot]) -> list[Point]:
    """Points of the line through these spots, on whose logarithmic axis it is straight: no name is to lie on it."""
    steps = [step / LINE_STEPS for step in range(1, LINE_STEPS)]
    return [
        Point(
            x=start.memory_mb / 1000 * (end.memory_mb / start.memory_mb) ** step,
            y=start.throughput_mpix_s + (end.throughput_mpix_s - start.throughput_mpix_s) * step,
            text="",
        )
        for start, end in pairwise(best)
        for step in steps
    ]


def _scale(axis: Axes, memory_gb: Sequence[float], theme: Theme) -> None:
    """The same logarithmic axis for all panels of a group."""
    axis.set_xscale("log")
    axis.set_xlim(min(memory_gb) / 1.4, max(memory_gb) * 1.4)
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.grid(axis="y", color=theme.grid, linewidth=0.6)


def _worth_a_panel(group: Sequence[Spot], lost: Container[Target]) -> dict[Target, list[Spot]]:
    """The targets of several sizes, measured or out of memory; the others have their name in the overview."""
    return {target: own for target, own in _by_target(group).items() if len(own) > 1 or target in lost}


def _by_target(group: Sequence[Spot]) -> dict[Target, list[Spot]]:
    """Target → its spots, the fastest target first."""
    found: dict[Target, list[Spot]] = {}
    for spot in sorted(group, key=lambda spot: -spot.throughput_mpix_s):
        found.setdefault(spot.target, []).append(spot)
    return found
