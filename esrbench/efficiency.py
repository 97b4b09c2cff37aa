"""What a case makes of its device: arithmetic against what the device reaches, and energy, from records alone."""

from collections.abc import Iterable

from esrbench.codec import Value
from esrbench.record import LaunchRecord, RunRecord, Workload
from esrbench.roofline import Bound, attainable_of, bound_by, intensity, pass_flop
from esrbench.stats import median
from esrbench.target import Target


class Efficiency(Value, frozen=True, kw_only=True):
    """How much of a device a case uses; None where the device's own rate is not known."""

    gflops_s: float
    attainable_percent: float | None = None
    bound_by: Bound | None = None


def efficiency(record: RunRecord, workload: Workload, target: Target, throughput_mpix_s: float) -> Efficiency:
    """Of a target that finishes so many output megapixels a second."""
    spec = record.model.spec
    gflops_s = throughput_mpix_s * pass_flop(spec, workload) / 1e9 / output_mpix(record, workload)
    roof = attainable_of(target, record.attainable)
    if roof is None or roof.gflops_s is None:
        return Efficiency(gflops_s=gflops_s)
    return Efficiency(
        gflops_s=gflops_s,
        attainable_percent=100 * gflops_s / roof.gflops_s,
        bound_by=bound_by(intensity(spec, workload, target.precision), roof),
    )


def joules_per_mpix(record: RunRecord, workload: Workload, launches: Iterable[LaunchRecord]) -> float | None:
    """Mean power over the passes for the time of one: median of the launches."""
    found = [
        launch.energy.joules / launch.energy.seconds * pass_ns / 1e9 / output_mpix(record, workload)
        for launch in launches
        if launch.energy and launch.energy.joules is not None and launch.energy.seconds
        if launch.samples and (pass_ns := median(launch.samples.image_ns))
    ]
    return median(found)


def output_mpix(record: RunRecord, workload: Workload) -> float:
    """Megapixels of the finished picture, as often as a pass draws it."""
    return workload.copies * workload.width_px * workload.height_px * record.model.spec.scale**2 / 1e6
