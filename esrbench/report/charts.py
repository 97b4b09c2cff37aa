"""The charts, as PNG bytes: drawn with matplotlib's object interface, so that no global figure is left behind."""

import io
from collections.abc import Callable, Sequence

import matplotlib as mpl
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from esrbench.case_summary import CaseSummary, ranking, summarise
from esrbench.report.palette import Theme
from esrbench.report.panels import (
    draw_efficiency,
    draw_fidelity,
    draw_latency,
    draw_memory,
    draw_throughput,
    draw_warmup,
    has_efficiency,
)
from esrbench.run_cases import main_workloads
from esrbench.store import Run
from esrbench.wording import clipped

Draw = Callable[[Axes, Run, Sequence[CaseSummary], Theme], None]

WIDTH_IN = 8.6
DPI = 144


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A chart: one panel a workload, stacked."""

    name: str  # file name without suffix
    title: str
    caption: str
    draw: Draw
    base_in: float  # height of a panel: this, and so much a row
    row_in: float
    has: Callable[[CaseSummary], bool] = lambda row: True  # whether a row has anything to show


CHARTS = (
    Chart(
        name="throughput",
        title="Throughput, output megapixels a second",
        caption="Centre of the launches; the line is its 95 % interval over rounds: none after one round, an "
        "arrow where it goes on. Longer is faster. Megapixels are those of the finished picture.",
        draw=draw_throughput,
        base_in=0.95,
        row_in=0.36,
    ),
    Chart(
        name="latency",
        title="Latency of one tile, milliseconds",
        caption="Every timed tile of the launches that the numbers are of is a dot, the box holds their middle half. "
        "The bar and the number are the centre of the launches' medians.",
        draw=draw_latency,
        base_in=0.95,
        row_in=0.36,
    ),
    Chart(
        name="warmup",
        title="Warm-up, tile by tile",
        caption="The first tile through the fresh session, then the tiles of the warm-up: each over the launch's "
        "median in the timed loop, medians of the launches. 1.00 is as fast as it gets. At most twelve are shown.",
        draw=draw_warmup,
        base_in=0.95,
        row_in=0.36,
    ),
    Chart(
        name="memory",
        title="Peak memory, MB",
        caption="Filled: peak resident memory of the launch's process. Hatched: device memory, where it was measured.",
        draw=draw_memory,
        base_in=0.95,
        row_in=0.36,
    ),
    Chart(
        name="efficiency",
        title="Of what the device can reach, GFLOP/s",
        caption="Filled: arithmetic of the network's convolutions, halos included, over the time of a pass. Outlined: "
        "what the device was found to reach with the same convolutions one by one, at the same precision.",
        draw=draw_efficiency,
        base_in=0.95,
        row_in=0.36,
        has=has_efficiency,
    ),
    Chart(
        name="fidelity",
        title="Speed against fidelity",
        caption="Up: closer to the reference's picture (PSNR on float output). Right: faster. "
        "Circles are fp32, squares bf16, triangles fp16, diamonds int8.",
        draw=draw_fidelity,
        base_in=4.2,
        row_in=0.0,
    ),
)


def png(chart: Chart, run: Run, theme: Theme) -> bytes | None:
    """The chart of a run; None where no case has what it shows."""
    panels = _panels(run, chart)
    if not panels:
        return None
    heights = [chart.base_in + chart.row_in * len(rows) for rows in panels.values()]
    with mpl.rc_context({"font.family": "DejaVu Sans", "font.size": 9.5, "hatch.linewidth": 0.8}):
        figure = Figure(
            figsize=(WIDTH_IN, sum(heights) + 0.35), dpi=DPI, layout="constrained", facecolor=theme.background
        )
        figure.suptitle(chart.title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=theme.text)
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (name, rows) in zip(axes, panels.items(), strict=True):
            styled(axis, theme, name if len(panels) > 1 else "")
            chart.draw(axis, run, rows, theme)
        return written(figure)


def _panels(run: Run, chart: Chart) -> dict[str, list[CaseSummary]]:
    """Panel title → its ranked rows that have what the chart shows, fastest first; no workload without any."""
    ranked = [row for row in ranking(summarise(run)) if row.ranked and chart.has(row)]
    panels = {}
    for workload in main_workloads(run):
        rows = [row for row in ranked if row.workload == workload.id]
        if rows:
            panels[f"{workload.image}, {workload.tile_px} px tiles, batch {workload.batch} ({workload.id})"] = rows
    return panels


def styled(axis: Axes, theme: Theme, title: str) -> None:
    """Give an empty panel its title and the looks of every panel here."""
    axis.set_facecolor(theme.background)
    axis.set_title(clipped(title).replace("$", r"\$"), loc="left", fontsize=10, color=theme.faint)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(theme.grid)
    axis.tick_params(colors=theme.faint, length=0, pad=6)
    axis.grid(axis="x", color=theme.grid, linewidth=0.8)
    axis.set_axisbelow(True)


def written(figure: Figure) -> bytes:
    """The figure as PNG bytes."""
    file = io.BytesIO()
    # No Software entry: the same run gives the same bytes whichever release of matplotlib drew the same pixels.
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
