"""One side of a comparison: what a run found of a case, in the unit of what is compared."""

from collections.abc import Callable

from esrbench.case_summary import CaseSummary, summarise
from esrbench.codec import Value
from esrbench.record import Case, Status
from esrbench.rounds import Boundary, level, seconds_by_round
from esrbench.run_cases import judged_launches, launches_of, throughput_by_round
from esrbench.store import Run

UNITS = {Boundary.IMAGE: "Mpix/s", Boundary.TILE: "ms", Boundary.COLD: "s"}


class Side(Value, frozen=True, kw_only=True):
    """One case as one run found it; None is "not measured"."""

    status: Status | None
    reason: str | None = None
    is_measured: bool = False  # every launch ended ok, with a time; its speed may still not be known
    level: float | None = None  # in the comparison's unit; None where it is not known
    rounds: int = 0
    peak_ram_mb: float | None = None
    device_memory_mb: float | None = None
    artifact_bytes: int | None = None
    nodes: dict[str, int] | None = None
    is_software: bool = False

    @property
    def status_word(self) -> str:
        """The status in words; ``not in the run`` where there is none."""
        return self.status.value.replace("_", " ") if self.status else "not in the run"


def speeds_by_round(run: Run, case: Case, boundary: Boundary) -> dict[int, float]:
    """Round → speed: output pixels a second, so that unlike tiles compare too; else how often a second."""
    if boundary is Boundary.IMAGE:
        return throughput_by_round(run, case)
    return {round_: 1 / seconds for round_, seconds in seconds_by_round(run.launches, case, boundary).items()}


def sides_of(run: Run, boundary: Boundary) -> Callable[[Case | None], Side]:
    """What the run found of a case."""
    rows = {Case(target=row.target, workload=row.workload): row for row in summarise(run)}

    def side(case: Case | None) -> Side:
        row = None if case is None else rows.get(case)
        return Side(status=None) if case is None or row is None else _side(run, case, row, boundary)

    return side


def _side(run: Run, case: Case, row: CaseSummary, boundary: Boundary) -> Side:
    launches = launches_of(run, case)
    artifact = next((launch.artifact for launch in launches if launch.artifact), None)
    placement = next((launch.placement for launch in launches if launch.placement), None)
    return Side(
        status=row.status,
        reason=row.reason,
        is_measured=row.ranked or row.speed_unknown,
        level=_level(run, case, row, boundary) if row.ranked else None,
        rounds=row.rounds,
        peak_ram_mb=row.peak_ram_mb,
        device_memory_mb=row.device_memory_mb,
        artifact_bytes=sum(file.size_bytes for file in artifact.files) if artifact else None,
        nodes=dict(placement.nodes) or None if placement else None,
        is_software=row.is_software,
    )


def _level(run: Run, case: Case, row: CaseSummary, boundary: Boundary) -> float | None:
    if boundary is Boundary.IMAGE:
        return row.throughput_mpix_s
    found = level(judged_launches(run, case), case, boundary)
    if found is None:
        return None
    return found.value * 1e3 if boundary is Boundary.TILE else found.value
