"""What speed costs in memory: over a run's tiles and batches, the cases that nothing beats in both."""

from collections.abc import Iterable, Sequence

from esrbench.case_summary import CaseSummary, summarise
from esrbench.codec import Value
from esrbench.record import Status, Workload
from esrbench.settings import DEFAULT, Settings
from esrbench.store import Run
from esrbench.target import Target

BUDGETS_GB = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 40.0, 80.0, 160.0)
"""What people have: parts of a machine's memory, then of a GPU's."""


class Spot(Value, frozen=True, kw_only=True):
    """A target with a tile and a batch: how fast on a picture much larger than the tile, with how much memory."""

    target: Target
    tile_px: int
    halo_px: int
    batch: int
    throughput_mpix_s: float
    memory_mb: float
    on_device: bool  # the device's memory, else the peak resident memory of the process
    psnr_db: float | None = None
    settings: Settings = DEFAULT  # that it was measured with

    @property
    def size(self) -> str:
        """``192``; ``192×2`` in batches of two."""
        return f"{self.tile_px}×{self.batch}" if self.batch > 1 else str(self.tile_px)


class Choice(Value, frozen=True, kw_only=True):
    """The fastest spot within a memory budget."""

    budget_gb: float
    spot: Spot


def has_sizes(run: Run) -> bool:
    """Whether the run has more than one tile or batch."""
    return len({(workload.tile_px, workload.batch) for workload in run.record.workloads}) > 1


def spots(run: Run) -> tuple[Spot, ...]:
    """Every ranked case whose memory was measured; software devices are no choice, a command has tiles of its own."""
    workloads = {workload.id: workload for workload in run.record.workloads}
    rows = [row for row in summarise(run) if row.ranked and not row.is_software and row.start_s is None]
    chosen = {(tuned.target, tuned.workload): tuned.chosen for tuned in run.tunings}
    found = (_spot(row, workloads[row.workload], chosen.get((row.target, row.workload), DEFAULT)) for row in rows)
    return tuple(spot for spot in found if spot is not None)


def out_of_memory(run: Run) -> dict[Target, tuple[str, ...]]:
    """Target → the sizes at which it ran out of memory, launched or not, small to large."""
    rows = sorted(summarise(run), key=lambda row: (row.tile_px, row.batch))
    found: dict[Target, tuple[str, ...]] = {}
    for row in rows:
        if row.status is Status.OOM:
            size = f"{row.tile_px}×{row.batch}" if row.batch > 1 else str(row.tile_px)
            found[row.target] = (*found.get(row.target, ()), size)
    return found


def frontier(every: Iterable[Spot]) -> tuple[Spot, ...]:
    """Those that no other one beats: by memory, each faster than all that need less (Pareto)."""
    kept: list[Spot] = []
    for spot in sorted(every, key=lambda spot: (spot.memory_mb, -spot.throughput_mpix_s)):
        if not kept or spot.throughput_mpix_s > kept[-1].throughput_mpix_s:
            kept.append(spot)
    return tuple(kept)


def choices(every: Iterable[Spot]) -> tuple[Choice, ...]:
    """The fastest within each budget; a budget that changes nothing is left out."""
    best: list[Choice] = []
    for budget_gb, spot in ((budget, fastest_within(every, budget)) for budget in BUDGETS_GB):
        if spot is not None and (not best or best[-1].spot != spot):
            best.append(Choice(budget_gb=budget_gb, spot=spot))
    return tuple(best)


def fastest_within(every: Iterable[Spot], budget_gb: float) -> Spot | None:
    """The fastest spot with at most so much memory (10⁹ bytes); None where none is."""
    fitting = [spot for spot in every if spot.memory_mb <= budget_gb * 1000]
    return max(fitting, key=lambda spot: (spot.throughput_mpix_s, -spot.memory_mb), default=None)


def groups(every: Sequence[Spot]) -> tuple[tuple[Spot, ...], ...]:
    """The spots by whose memory they need, the process's or the device's: the two are never set against each other."""
    by_kind = (tuple(spot for spot in every if spot.on_device is on_device) for on_device in (False, True))
    return tuple(group for group in by_kind if group)


def large_picture_mpix_s(throughput_mpix_s: float, workload: Workload) -> float:
    """What a picture much larger than a tile gets: each tile adds its core, whatever the picture's edges did."""
    core_px = workload.tiles * max(workload.tile_px - 2 * workload.halo_px, 0) ** 2
    return throughput_mpix_s * core_px / (workload.width_px * workload.height_px)


def _spot(row: CaseSummary, workload: Workload, settings: Settings) -> Spot | None:
    """None where there is no memory to set the speed against: on a device, the device's."""
    on_device = row.target.device_kind != "cpu"
    memory_mb = row.device_memory_mb if on_device else row.peak_ram_mb
    if memory_mb is None or row.throughput_mpix_s is None:
        return None
    return Spot(
        target=row.target,
        tile_px=row.tile_px,
        halo_px=workload.halo_px,
        batch=row.batch,
        throughput_mpix_s=large_picture_mpix_s(row.throughput_mpix_s, workload),
        memory_mb=memory_mb,
        on_device=on_device,
        psnr_db=row.psnr_db,
        settings=settings,
    )
