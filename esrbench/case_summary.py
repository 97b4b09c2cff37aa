"""Summarise the launches of each case in one row.

A speed belongs to a case whose launches all ended ``ok`` and agree well enough to tell one
(:attr:`esrbench.stats.Estimate.is_known`); any other case has its status, its reason and, where its picture was
compared, its fidelity, but no rank and no speed. What was not measured, or is not known, is None, never 0.

Speeds, times and energy of a row are all of the same launches (:func:`esrbench.run_cases.judged_launches`); memory is
the largest and fidelity the worst of all its launches.
"""

from collections.abc import Iterable, Sequence

import msgspec

from esrbench.codec import Value
from esrbench.efficiency import efficiency, joules_per_mpix, output_mpix
from esrbench.fidelity import psnr_db
from esrbench.record import Case, LaunchRecord, Samples, Status, Workload, is_software
from esrbench.roofline import Bound
from esrbench.rounds import Boundary, level, seconds_by_round, speed_ratio
from esrbench.run_cases import judged_launches, launches_of, reference_case, workload_of
from esrbench.runner import DeviceType
from esrbench.stats import Estimate, median, percentile
from esrbench.store import Run
from esrbench.target import Target
from esrbench.wording import counted, significant

SEVERITY = (
    Status.OK,
    Status.UNAVAILABLE,
    Status.TIMEOUT,
    Status.OOM,
    Status.ERROR,
    Status.CRASHED,
    Status.FELL_BACK,
    Status.WRONG,
)
"""From harmless to misleading: a case whose launches ended differently shows the last of its statuses in this order."""


class CaseSummary(Value, frozen=True, kw_only=True):
    """One row: what a case's launches say together. None is "not measured".

    MB are 10⁶ bytes. Megapixels are those of the finished picture, ``scale`` times the input's sides.
    """

    target: Target
    workload: str
    tile_px: int
    batch: int
    status: Status | None  # None: the run ended before the case's first launch
    reason: str | None = None
    remedy: str | None = None
    device_name: str | None = None
    device_type: DeviceType | None = None
    rounds: int = 0  # rounds with a launch that ended ok
    is_reference: bool = False
    sweep: bool = False  # its workload is one of a sweep's
    latency_ms: float | None = None  # one tile, host to host, whatever the batch: centre of the rounds
    latency_p90_ms: float | None = None  # over all launches' tiles; None where they are too few
    latency_p99_ms: float | None = None
    throughput_mpix_s: float | None = None  # output pixels / time of a pass through the plan: centre of the rounds
    throughput_low: float | None = None
    throughput_high: float | None = None
    speedup: float | None = None  # throughput over the reference's, paired within rounds; None: not known
    speedup_low: float | None = None
    speedup_high: float | None = None
    peak_ram_mb: float | None = None  # largest of the launches
    device_memory_mb: float | None = None
    load_s: float | None = None  # medians of the same launches
    first_tile_s: float | None = None
    cold_s: float | None = None
    start_s: float | None = None  # of a command, and in its throughput: a call on a picture of next to no pixels
    new_shape_s: float | None = None  # first tile of a shape that the warm session had not seen
    new_shape_again_s: float | None = None  # the same tile once more
    cores: float | None = None  # in use over the timed loop: median of the launches
    mse: float | None = None  # worst of the launches; 0 is identical
    psnr_db: float | None = None  # of that mse; infinite where identical
    ssim: float | None = None
    worst_abs: float | None = None  # largest difference of any value, of the [0, 1] scale
    close_share: float | None = None  # least share of values within 1/255 of the reference's

    gflops_s: float | None = None  # arithmetic of a pass, halos included, over its time: centre of the rounds
    attainable_percent: float | None = None  # of what the device reaches at this precision with such convolutions
    bound_by: Bound | None = None  # what arithmetic and traffic say its speed is bounded by
    joules_per_mpix: float | None = None  # energy of the device per megapixel of the finished picture: median

    @property
    def ranked(self) -> bool:
        """Whether it has a speed to compare."""
        return self.status is Status.OK and self.throughput_mpix_s is not None

    @property
    def is_software(self) -> bool:
        """Whether the device that it names is really the CPU."""
        return self.device_type is DeviceType.SOFTWARE

    @property
    def label(self) -> str:
        """The target, a software device named as such."""
        return f"{self.target} (software)" if self.is_software else str(self.target)

    @property
    def speed_unknown(self) -> bool:
        """Tell whether the launches ended ok but disagree too far."""
        return self.throughput_mpix_s is None and self.throughput_low is not None

    @property
    def status_word(self) -> str:
        """The status in words; ``not run`` where there was no launch."""
        if self.speed_unknown:
            return "speed not known"
        return self.status.value.replace("_", " ") if self.status else "not run"


def summarise(run: Run) -> tuple[CaseSummary, ...]:
    """One row a case, in the run's order; the control case is no row, it is :func:`esrbench.run_cases.noise_floor`."""
    rows = tuple(_summary(run, case) for case in run.record.cases if not case.control)
    return tuple(_with_fitting_size(row, rows) if row.status is Status.OOM else row for row in rows)


def in_brief(ranked: Sequence[CaseSummary]) -> list[CaseSummary]:
    """The rows for where there is little room: none of a sweep's; where there are no others, each target's first."""
    own = [row for row in ranked if not row.sweep]
    firsts: dict[Target, CaseSummary] = {}
    for row in ranked:
        firsts.setdefault(row.target, row)
    return own or list(firsts.values())


def ranking(rows: Iterable[CaseSummary]) -> list[CaseSummary]:
    """Sort rows by speed; those without a speed follow.

    Of these, unknown speeds come first, then the statuses from ``wrong`` down, and cases that never ran last.
    """
    return sorted(rows, key=_rank)


def _rank(row: CaseSummary) -> tuple[bool, bool, float, int, str, str]:
    severity = SEVERITY.index(row.status) if row.status else -1
    return (not row.ranked, not row.speed_unknown, -(row.throughput_mpix_s or 0), -severity, row.target, row.workload)


def _summary(run: Run, case: Case) -> CaseSummary:
    launches = launches_of(run, case)
    status, reason, remedy = _outcome(launches)
    workload = workload_of(run, case)
    row = CaseSummary(
        target=case.target,
        workload=case.workload,
        tile_px=workload.tile_px,
        batch=workload.batch,
        sweep=workload.sweep,
        status=status,
        reason=reason,
        remedy=remedy,
        is_reference=case.target == run.record.reference,
        rounds=len({launch.round for launch in launches if launch.status is Status.OK}),
    )
    row = _with_fidelity(_with_device(row, launches), launches)
    if status is not Status.OK:
        return row
    judged = judged_launches(run, case)
    row = _with_costs(_with_speed(row, run, case, judged), launches, judged)
    if row.start_s is not None:  # a command: its windows, and so its arithmetic, are its own
        return row
    return _with_efficiency(row, run, workload, judged)


def _with_fitting_size(row: CaseSummary, rows: Sequence[CaseSummary]) -> CaseSummary:
    """Out of memory: what to do is what this very target did have the memory for."""
    fitted = [each for each in rows if each.target == row.target and each.ranked]
    largest = max(fitted, key=lambda each: (each.tile_px**2 * each.batch, each.tile_px), default=None)
    if largest is None:
        return row
    remedy = f"use --tile {largest.tile_px} --batch {largest.batch}, the most pixels at once that fitted in this run"
    return msgspec.structs.replace(row, remedy=remedy)


def _outcome(launches: Sequence[LaunchRecord]) -> tuple[Status | None, str | None, str | None]:
    """Status, reason and remedy of a case: the worst launch's, and how many launches ended so where not all did."""
    if not launches:
        return None, "the run was cut short before its first launch", "run it again"
    worst = max(launches, key=lambda launch: SEVERITY.index(launch.status))
    same = sum(launch.status is worst.status for launch in launches)
    if same == len(launches):
        return worst.status, worst.reason, worst.remedy
    reason = f"{same} of {len(launches)} launches: {worst.reason or worst.status.value}"
    return worst.status, reason, worst.remedy


def _with_device(row: CaseSummary, launches: Sequence[LaunchRecord]) -> CaseSummary:
    placement = next((launch.placement for launch in launches if launch.placement), None)
    if placement is None:
        return msgspec.structs.replace(row, device_type=DeviceType.SOFTWARE) if any(map(is_software, launches)) else row
    return msgspec.structs.replace(row, device_name=placement.device_name, device_type=placement.device_type)


def _with_fidelity(row: CaseSummary, launches: Sequence[LaunchRecord]) -> CaseSummary:
    found = [launch.fidelity for launch in launches if launch.fidelity]
    if not found:
        return row
    mse = max(fidelity.mse for fidelity in found)
    return msgspec.structs.replace(
        row,
        mse=mse,
        psnr_db=psnr_db(mse),
        ssim=min(fidelity.ssim for fidelity in found),
        worst_abs=max(fidelity.worst_abs for fidelity in found),
        close_share=min((share for each in found if (share := each.close_share) is not None), default=None),
    )


def _with_speed(row: CaseSummary, run: Run, case: Case, launches: Sequence[LaunchRecord]) -> CaseSummary:
    """Add the speed over ``launches``, where these agree well enough."""
    seconds = level(launches, case)
    if seconds is None:
        return row
    throughput = _inverse(seconds, output_mpix(run.record, workload_of(run, case)))
    speedup = None if row.is_reference else _speedup(run, case, seconds)
    row = msgspec.structs.replace(row, **_interval("throughput", throughput), **_interval("speedup", speedup))
    if not throughput.is_known and not (speedup is not None and speedup.is_known and speedup.rounds > 1):
        return msgspec.structs.replace(row, **_disagreement(launches, case))
    latency = level(launches, case, Boundary.TILE)
    tiles_ns = [ns for sample in _samples(launches) for ns in sample.tile_ns]
    return msgspec.structs.replace(
        row,
        throughput_mpix_s=throughput.value,
        speedup=1.0 if row.is_reference else speedup.value if speedup and speedup.is_known else None,
        latency_ms=_scaled(latency.value if latency else None, 1e3),
        latency_p90_ms=_scaled(percentile(tiles_ns, 90), 1e-6),
        latency_p99_ms=_scaled(percentile(tiles_ns, 99), 1e-6),
    )


def _speedup(run: Run, case: Case, seconds: Estimate) -> Estimate | None:
    """Return the case's speed over the reference's.

    It is paired within rounds. Where the reference was launched once, or in other rounds, it is the ratio of the two
    levels, without an interval.
    """
    reference = reference_case(run, case.workload)
    paired = speed_ratio(run.launches, reference, case)
    if paired is not None and paired.rounds == seconds.rounds:
        return paired
    other = level(run.launches, reference)
    return Estimate(value=other.value / seconds.value, rounds=1) if other and other.is_known else None


def _inverse(seconds: Estimate, mpix: float) -> Estimate:
    """Convert a time and its interval to a throughput."""
    low, high = (None if end is None else mpix / end for end in (seconds.high, seconds.low))
    return Estimate(value=mpix / seconds.value, low=low, high=high, rounds=seconds.rounds)


def _disagreement(launches: Sequence[LaunchRecord], case: Case) -> dict[str, str]:
    """Explain why no speed is known, and what to do."""
    seconds = seconds_by_round(launches, case).values()
    found = f"a pass took {significant(min(seconds) * 1e3)} to {significant(max(seconds) * 1e3)} ms"
    return {
        "reason": f"{found} in {counted(len(seconds), 'round')}, which disagree too far to tell a speed",
        "remedy": "measure again on a quiet machine, with more rounds",
    }


def _with_costs(row: CaseSummary, launches: Sequence[LaunchRecord], judged: Sequence[LaunchRecord]) -> CaseSummary:
    """Add peaks of all launches and times of ``judged``."""
    samples = _samples(judged)
    shapes = [sample.new_shape for sample in samples if sample.new_shape]
    memories = [launch.memory for launch in launches if launch.memory]
    return msgspec.structs.replace(
        row,
        cores=median([launch.threads_at_work.cores for launch in launches if launch.threads_at_work]),
        peak_ram_mb=_scaled(_largest([memory.peak_rss_bytes for memory in memories]), 1e-6),
        device_memory_mb=_scaled(_largest([memory.device_bytes for memory in memories]), 1e-6),
        load_s=_scaled(median(_known(sample.load_ns for sample in samples)), 1e-9),
        first_tile_s=_scaled(median(_known(sample.first_tile_ns for sample in samples)), 1e-9),
        cold_s=_scaled(median(_known(sample.cold_ns for sample in samples)), 1e-9),
        start_s=_scaled(median(_known(sample.start_ns for sample in samples)), 1e-9),
        new_shape_s=_scaled(median([shape.first_ns for shape in shapes if shape.first_ns]), 1e-9),
        new_shape_again_s=_scaled(median([shape.again_ns for shape in shapes if shape.again_ns]), 1e-9),
    )


def _with_efficiency(row: CaseSummary, run: Run, workload: Workload, launches: Sequence[LaunchRecord]) -> CaseSummary:
    if row.throughput_mpix_s is None:
        return row
    found = efficiency(run.record, workload, row.target, row.throughput_mpix_s)
    return msgspec.structs.replace(
        row,
        gflops_s=found.gflops_s,
        attainable_percent=found.attainable_percent,
        bound_by=found.bound_by,
        joules_per_mpix=joules_per_mpix(run.record, workload, launches),
    )


def _samples(launches: Sequence[LaunchRecord]) -> list[Samples]:
    return [launch.samples for launch in launches if launch.samples]


def _interval(stem: str, estimate: Estimate | None) -> dict[str, float | None]:
    """Return the fields with the ends of an interval."""
    return {} if estimate is None else {f"{stem}_low": estimate.low, f"{stem}_high": estimate.high}


def _known(values: Iterable[int | None]) -> list[int]:
    return [value for value in values if value is not None]


def _largest(values: Sequence[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
