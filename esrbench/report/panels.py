"""What each chart draws into a panel: the ranked rows of one workload, fastest first."""

import math
import statistics
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from esrbench.case_summary import CaseSummary
from esrbench.record import Case
from esrbench.report.labels import Point, label_points
from esrbench.report.palette import Theme, runtime_colours
from esrbench.run_cases import judged_launches
from esrbench.store import Run
from esrbench.target import Precision
from esrbench.wording import clipped, megabytes, significant, times

MARKERS = {Precision.FP32: "o", Precision.TF32: "P", Precision.FP16: "^", Precision.BF16: "s", Precision.INT8: "D"}

MAX_INTERVAL = 1.5
"""An interval is drawn up to this multiple of the fastest: two rounds that disagree must not squeeze every bar."""

MAX_CELLS = 12
"""Tiles of the warm-up that are shown: what a tuner or compiler does is over by then."""

FULL_STRENGTH = 4.0
"""A tile that takes this many times the steady ones is drawn in full colour."""

LOG_SPREAD = 4.0
"""Above this ratio of the slowest to the fastest, a linear axis squeezes the fast half into a corner."""


def draw_throughput(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """Bars with interval lines; one that leaves the axis ends in an arrow there."""
    edge = max(row.throughput_mpix_s or 0.0 for row in rows) * MAX_INTERVAL
    ends = [min(max(row.throughput_mpix_s or 0.0, row.throughput_high or 0.0), edge) for row in rows]
    axis.barh(range(len(rows)), [row.throughput_mpix_s or 0.0 for row in rows], height=0.62, color=_colours(rows))
    for y, (row, end) in enumerate(zip(rows, ends, strict=True)):
        if row.throughput_low is not None and row.throughput_high is not None:
            axis.plot([row.throughput_low, end], [y, y], color=theme.text, linewidth=1.6)
            if row.throughput_high > edge:
                axis.plot(end, y, marker=">", markersize=6, color=theme.text)
        note = "reference" if row.is_reference else times(row.speedup)
        _label(axis, end, y, f"{significant(row.throughput_mpix_s)}  ·  {note}", theme)
    axis.set_xlim(0, max(ends) * 1.3)
    _name_rows(axis, rows, theme)


def draw_latency(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """A dot a tile, a box over the middle half."""
    drawn = [row for row in rows if _tile_ms(run, row)]
    for y, (row, colour) in enumerate(zip(drawn, _colours(drawn), strict=True)):
        times_ms = _tile_ms(run, row)
        axis.scatter(times_ms, [y + _jitter(i) for i in range(len(times_ms))], s=7, color=colour, alpha=0.55, lw=0)
        _box(axis, y, times_ms, row.latency_ms or statistics.median(times_ms), theme)
        _label(axis, max(times_ms), y, f"{significant(row.latency_ms)} ms", theme)
    every = [ms for row in drawn for ms in _tile_ms(run, row)]
    if every and max(every) > LOG_SPREAD * min(every):
        _log_axis(axis)
        axis.set_xlim(min(every) / 1.1, max(every) * (max(every) / min(every)) ** 0.18)
    elif every:
        axis.set_xlim(0, max(every) * 1.18)
    _name_rows(axis, drawn, theme)


def draw_warmup(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """A cell a tile, as strong as the tile is slow: the first tile, then the warm-up."""
    drawn = [row for row in rows if _settling(run, row)]
    for y, (row, colour) in enumerate(zip(drawn, _colours(drawn), strict=True)):
        for x, ratio in enumerate(_settling(run, row)):
            strength = 0.1 + 0.7 * min(1.0, math.log(max(ratio, 1.0)) / math.log(FULL_STRENGTH))
            axis.barh(y, 0.94, left=x - 0.47, height=0.62, color=colour, alpha=strength)
            axis.annotate(times(ratio), (x, y), ha="center", va="center", color=theme.text, fontsize=9)
    widest = max((len(_settling(run, row)) for row in drawn), default=1)
    axis.set_xticks(range(widest), ["first", *(str(index) for index in range(1, widest))])
    axis.set_xlim(-0.5, max(widest, 6) - 0.5)
    axis.grid(visible=False)
    _name_rows(axis, drawn, theme)


def draw_memory(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """A bar for the process, a hatched one for the device where it was measured."""
    by_memory = sorted(rows, key=lambda row: (row.peak_ram_mb is None, row.peak_ram_mb or 0.0))
    largest = max((max(row.peak_ram_mb or 0.0, row.device_memory_mb or 0.0) for row in rows), default=0.0)
    for y, (row, colour) in enumerate(zip(by_memory, _colours(by_memory), strict=True)):
        device_mb = row.device_memory_mb
        top, height = (y, 0.62) if device_mb is None else (y - 0.17, 0.32)
        axis.barh(top, row.peak_ram_mb or 0.0, height=height, color=colour)
        text = megabytes(row.peak_ram_mb) if row.peak_ram_mb is not None else "not measured"
        if device_mb is not None:
            axis.barh(y + 0.17, device_mb, height=height, fc="none", ec=colour, hatch="////", lw=1)
            text = f"{text}  ·  device {megabytes(device_mb)}"
        _label(axis, max(row.peak_ram_mb or 0.0, device_mb or 0.0), y, text, theme)
    axis.set_xlim(0, (largest or 1.0) * 1.3)
    _name_rows(axis, by_memory, theme)


def has_efficiency(row: CaseSummary) -> bool:
    """Whether there is a roof to hold it against."""
    return row.attainable_percent is not None


def draw_efficiency(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """A bar for the rate within an outlined one for the roof; those nearest to theirs first."""
    drawn = sorted(rows, key=lambda row: -(row.attainable_percent or 0.0))
    roofs = [(row.gflops_s or 0.0) / (row.attainable_percent or 1.0) * 100 for row in drawn]
    axis.barh(range(len(drawn)), roofs, height=0.62, fc="none", ec=theme.faint, lw=1)
    axis.barh(range(len(drawn)), [row.gflops_s or 0.0 for row in drawn], height=0.62, color=_colours(drawn))
    for y, (row, roof) in enumerate(zip(drawn, roofs, strict=True)):
        percent = f"{significant(row.attainable_percent)} % of {significant(roof)}"
        _label(axis, max(row.gflops_s or 0.0, roof), y, f"{significant(row.gflops_s)}  ·  {percent}", theme)
    axis.set_xlim(0, max(roofs) * 1.38)
    _name_rows(axis, drawn, theme)


def draw_fidelity(axis: Axes, run: Run, rows: Sequence[CaseSummary], theme: Theme) -> None:
    """A point a target; those that are identical to the reference lie on a line of their own at the top."""
    drawn = [row for row in rows if row.psnr_db is not None or row.is_reference]
    finite = [row.psnr_db for row in drawn if row.psnr_db is not None and row.psnr_db != float("inf")]
    top = max(finite, default=100.0) * 1.12
    points = []
    for row, colour in zip(drawn, _colours(drawn), strict=True):
        y = row.psnr_db if row.psnr_db is not None and row.psnr_db != float("inf") else top
        x = row.throughput_mpix_s or 0.0
        axis.scatter(x, y, s=64, color=colour, marker=MARKERS[row.target.precision], zorder=3, lw=0)
        points.append(Point(x=x, y=y, text=row.label))
    axis.axhline(top, color=theme.grid, linewidth=1, linestyle="--")
    axis.grid(axis="y", color=theme.grid, linewidth=0.8)
    axis.set_xlim(0, max((point.x for point in points), default=1.0) * 1.12)
    axis.set_ylim(min(min(finite, default=40.0) * 0.8, 40.0), top * 1.06)
    axis.set_xlabel("output megapixels a second", color=theme.faint)
    axis.set_ylabel("PSNR to the reference, dB", color=theme.faint)
    ticks = [tick for tick in axis.get_yticks() if axis.get_ylim()[0] <= tick < top * 0.96]
    axis.set_yticks([*ticks, top], [*(f"{tick:.0f}" for tick in ticks), "identical"])
    label_points(axis, points, theme)


def _colours(rows: Sequence[CaseSummary]) -> list[str]:
    colours = runtime_colours(row.target.runtime for row in rows)
    return [colours[row.target.runtime] for row in rows]


def _tile_ms(run: Run, row: CaseSummary) -> list[float]:
    launches = judged_launches(run, Case(target=row.target, workload=row.workload))
    return [ns / 1e6 for launch in launches if launch.samples for ns in launch.samples.tile_ns]


def _settling(run: Run, row: CaseSummary) -> list[float]:
    """The first tile and the warm-up's, over the launch's median tile in the timed loop; medians of the launches."""
    launches = judged_launches(run, Case(target=row.target, workload=row.workload))
    ratios: list[list[float]] = []
    for samples in (launch.samples for launch in launches if launch.samples):
        if samples.first_tile_ns is None or not samples.tile_ns:  # a command: it has no tiles
            continue
        steady_ns = statistics.median(samples.tile_ns)
        warmup_ns = samples.warmups[0].times_ns if samples.warmups else ()
        ratios.append([ns / steady_ns for ns in (samples.first_tile_ns, *warmup_ns)][:MAX_CELLS])
    longest = max(map(len, ratios), default=0)
    return [statistics.median(each[index] for each in ratios if index < len(each)) for index in range(longest)]


def _jitter(index: int) -> float:
    """Spread dots over the row without a random number: steps of the golden ratio never line up."""
    return (index * 0.618034 % 1 - 0.5) * 0.52


def _box(axis: Axes, y: int, values: Sequence[float], bar: float, theme: Theme) -> None:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else (bar,) * 3
    axis.barh(y, high - low, left=low, height=0.62, fc="none", ec=theme.text, lw=0.9, zorder=3)
    axis.plot([bar, bar], [y - 0.31, y + 0.31], color=theme.text, linewidth=1.8, zorder=3)


def _label(axis: Axes, x: float, y: int, text: str, theme: Theme) -> None:
    axis.annotate(text, (x, y), xytext=(6, 0), textcoords="offset points", va="center", color=theme.text, fontsize=9)


def _name_rows(axis: Axes, rows: Sequence[CaseSummary], theme: Theme) -> None:
    axis.set_yticks(range(len(rows)), [clipped(row.label, 60) for row in rows], color=theme.text)
    axis.set_ylim(len(rows) - 0.4, -0.6)


def _log_axis(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
