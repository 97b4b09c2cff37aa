"""The columns of the table that people read: the same in the terminal, on the page and in the summary."""

from collections.abc import Callable, Sequence

import msgspec

from esrbench.case_summary import CaseSummary
from esrbench.wording import (
    NOT_MEASURED,
    decibel,
    interval,
    megabytes,
    seconds,
    share,
    significant,
    similarity,
    times,
)


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column: its head, what it means, a case's cell, and the number to sort by."""

    head: str
    meaning: str
    text: Callable[[CaseSummary], str]
    value: Callable[[CaseSummary], float | int | str | None]
    always: bool = False  # shown even where no case has a value
    brief: bool = False  # shown where there is little room: the terminal and the summary
    summary: bool = False  # shown in the summary, but not in a terminal of 80 columns


def _speedup(row: CaseSummary) -> str:
    if row.is_reference and row.speedup is not None:
        return "reference"
    found = interval(row.speedup_low, row.speedup_high)
    if row.speedup is None and found:
        return f"not known ({found})"
    return f"{times(row.speedup)} ({found})" if found else times(row.speedup)


def _new_shape(row: CaseSummary) -> str:
    if row.new_shape_again_s is None:
        return seconds(row.new_shape_s)
    return f"{seconds(row.new_shape_s)} ({seconds(row.new_shape_again_s)})"


COLUMNS = (
    Column(
        head="target",
        meaning="runtime@device:precision",
        text=lambda row: row.label,
        value=lambda row: str(row.target),
        always=True,
        brief=True,
    ),
    Column(
        head="tile",
        meaning="side of the window that the network sees, halo included, in px; × batch",
        text=lambda row: f"{row.tile_px}×{row.batch}" if row.batch > 1 else str(row.tile_px),
        value=lambda row: row.tile_px * 1000 + row.batch,
        brief=True,
    ),
    Column(
        head="status",
        meaning="how its launches ended; only ok is ranked",
        text=lambda row: row.status_word,
        value=lambda row: row.status_word,
        always=True,
    ),
    Column(
        head="speed-up",
        meaning="throughput over the reference's, paired within rounds, with its 95 % interval",
        text=_speedup,
        value=lambda row: row.speedup,
        brief=True,
    ),
    Column(
        head="Mpix/s",
        meaning="megapixels of the finished picture a second, whole tile plan",
        text=lambda row: significant(row.throughput_mpix_s),
        value=lambda row: row.throughput_mpix_s,
        brief=True,
    ),
    Column(
        head="latency ms",
        meaning="one tile, host to host, centre of the same rounds",
        text=lambda row: significant(row.latency_ms),
        value=lambda row: row.latency_ms,
        brief=True,
    ),
    Column(
        head="PSNR dB",
        meaning="against the reference's, in floats, of a command in 8 bits; worst launch; exact: no value differs",
        text=lambda row: decibel(row.psnr_db),
        value=lambda row: row.psnr_db,
        brief=True,
    ),
    Column(
        head="RAM MB",
        meaning="peak resident memory of the process",
        text=lambda row: megabytes(row.peak_ram_mb),
        value=lambda row: row.peak_ram_mb,
        brief=True,
    ),
    Column(
        head="device MB",
        meaning="device memory in use",
        text=lambda row: megabytes(row.device_memory_mb),
        value=lambda row: row.device_memory_mb,
        brief=True,
    ),
    Column(
        head="GFLOP/s",
        meaning="arithmetic of the network's convolutions, halos included, over the time of a pass",
        text=lambda row: significant(row.gflops_s),
        value=lambda row: row.gflops_s,
        summary=True,
    ),
    Column(
        head="% attainable",
        meaning="of what the device was found to reach at this precision with the network's convolutions",
        text=lambda row: significant(row.attainable_percent),
        value=lambda row: row.attainable_percent,
        summary=True,
    ),
    Column(
        head="bound by",
        meaning="compute or memory, by arithmetic and traffic; fusion: by memory where operations are not fused",
        text=lambda row: row.bound_by or NOT_MEASURED,
        value=lambda row: row.bound_by,
        summary=True,
    ),
    Column(
        head="J/Mpix",
        meaning="energy of the whole device per megapixel of the finished picture",
        text=lambda row: significant(row.joules_per_mpix),
        value=lambda row: row.joules_per_mpix,
        summary=True,
    ),
    Column(
        head="p90 ms",
        meaning="nine tiles in ten took at most this; blank below 64 tiles",
        text=lambda row: significant(row.latency_p90_ms),
        value=lambda row: row.latency_p90_ms,
    ),
    Column(
        head="p99 ms",
        meaning="99 tiles in 100 took at most this; blank below 662 tiles",
        text=lambda row: significant(row.latency_p99_ms),
        value=lambda row: row.latency_p99_ms,
    ),
    Column(
        head="SSIM",
        meaning="structural similarity to the reference, worst launch",
        text=lambda row: similarity(row.ssim),
        value=lambda row: row.ssim,
    ),
    Column(
        head="worst /255",
        meaning="largest difference of any value, in steps of an 8-bit picture",
        text=lambda row: significant(None if row.worst_abs is None else row.worst_abs * 255, 2),
        value=lambda row: row.worst_abs,
    ),
    Column(
        head="within 1/255",
        meaning="values at most one step of an 8-bit picture from the reference's, worst launch",
        text=lambda row: share(row.close_share),
        value=lambda row: row.close_share,
    ),
    Column(
        head="cores",
        meaning="CPU time over wall time of the timed loop, measured: cores in use, waiting in a loop included",
        text=lambda row: significant(row.cores, 2),
        value=lambda row: row.cores,
    ),
    Column(
        head="load s",
        meaning="artifact on disk to session ready",
        text=lambda row: seconds(row.load_s),
        value=lambda row: row.load_s,
    ),
    Column(
        head="first tile s",
        meaning="first tile through the fresh session",
        text=lambda row: seconds(row.first_tile_s),
        value=lambda row: row.first_tile_s,
    ),
    Column(
        head="cold s",
        meaning="process start to first tile back",
        text=lambda row: seconds(row.cold_s),
        value=lambda row: row.cold_s,
        brief=True,
    ),
    Column(
        head="start s",
        meaning="of a command, and in its Mpix/s: the same call on a picture of next to no pixels",
        text=lambda row: seconds(row.start_s),
        value=lambda row: row.start_s,
        brief=True,
    ),
    Column(
        head="new shape s",
        meaning="first tile of half the side through the warm session; in brackets the same tile once more",
        text=_new_shape,
        value=lambda row: row.new_shape_s,
    ),
    Column(
        head="rounds",
        meaning="rounds with a launch that ended ok",
        text=lambda row: str(row.rounds),
        value=lambda row: row.rounds,
    ),
)


def shown(rows: Sequence[CaseSummary]) -> list[Column]:
    """The columns that have something to say about these rows; the tile only where there are several."""
    return [column for column in COLUMNS if _says_something(column, {column.value(row) for row in rows})]


def shown_briefly(rows: Sequence[CaseSummary]) -> list[Column]:
    """The few of them for where there is little room and every row is ranked."""
    return [column for column in shown(rows) if column.brief]


def shown_in_summary(rows: Sequence[CaseSummary]) -> list[Column]:
    """Those few, and what a terminal has no room for."""
    return [column for column in shown(rows) if column.brief or column.summary]


def _says_something(column: Column, values: set[float | int | str | None]) -> bool:
    if column.head == "tile":
        return len(values) > 1
    return column.always or values != {None}
