"""One launch inside its process: load, first tile, warm-up, timed loop, proof, comparison with the reference."""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench import fidelity, images, memory, plugins, tiling, workload
from esrbench.device_memory import DeviceMemoryMeter
from esrbench.errors import EsrbenchError, PlacementError
from esrbench.job import Job, Outcome
from esrbench.measure import Clock, meet_shapes, timed_loop, warm_up
from esrbench.record import Memory, Samples, Status
from esrbench.runner import DeviceType, LoadOptions, Placement, Tiles
from esrbench.target import Target
from esrbench.workload import PreparedWorkload


def launch(job: Job, clock: Clock) -> Outcome:
    """Measure ``job``, draw its picture and compare it; raises what the runner raises."""
    spec = job.artifact.artifact.spec
    prepared = workload.load(job.workload, Path(job.input_picture), multiple=spec.unshuffle)
    batches = tuple(prepared.batches())
    outcome, output = _measured(job, batches, clock)
    _check_shape(output, batches, spec.scale)
    _draw(job, prepared, output, spec.scale)
    if job.makes_reference:
        np.save(job.reference, output, allow_pickle=False)
        return outcome
    reference: npt.NDArray[np.float32] = np.load(job.reference, allow_pickle=False)
    found = fidelity.measure(output, reference, prepared.plan, spec.scale)
    reason = fidelity.verdict(found, job.target.precision)
    status = Status.OK if reason is None else Status.WRONG
    return msgspec.structs.replace(outcome, status=status, reason=reason, fidelity=found)


def _measured(job: Job, batches: tuple[Tiles, ...], clock: Clock) -> tuple[Outcome, npt.NDArray[np.float32]]:
    """What was measured, and the float32 output tiles of the timed loop's last pass."""
    runner = plugins.runner(job.target.runtime)
    tile = batches[0][:1]
    count, height, width, _ = batches[0].shape
    options = LoadOptions(threads=job.workload.threads, tile_shape=(count, height, width))
    memory.reset_peak_rss()
    meter = DeviceMemoryMeter(job.target)
    start = clock()
    with runner.load(job.artifact, job.target, options) as session:
        loaded = clock()
        session.run(tile)
        first = clock()
        warmup_ns = warm_up(session, tile, first - loaded, job.loop, clock) + meet_shapes(session, batches, clock)
        loop = timed_loop(session, batches, job.loop, clock)
        peak_rss_bytes, peak_rss_method = memory.peak_rss_bytes()
        device_bytes, device_method = meter.used_bytes()
        placement = session.placement()
    _check_placement(placement, job.target)
    outcome = Outcome(
        status=Status.OK,
        placement=placement,
        samples=Samples(
            load_ns=loaded - start,
            first_tile_ns=first - loaded,
            cold_ns=first - job.spawned_ns,
            warmup_ns=warmup_ns,
            tile_ns=loop.tile_ns,
            image_ns=loop.image_ns,
        ),
        memory=Memory(
            peak_rss_bytes=peak_rss_bytes,
            peak_rss_method=peak_rss_method,
            device_bytes=device_bytes,
            device_method=device_method,
        ),
    )
    return outcome, np.concatenate(loop.output).astype(np.float32, copy=False)


def _check_placement(placement: Placement, target: Target) -> None:
    """Hold a runner to its target, even one that reports a fallback instead of refusing it."""
    if placement.precision is not target.precision:
        raise PlacementError(f"{target}: {target.precision.value} was asked for, it ran {placement.precision.value}")
    if placement.device_type is DeviceType.CPU and target.device_kind in {"cuda", "vulkan"}:
        raise PlacementError(f"{target}: {target.device_kind} was asked for, it ran on the CPU")


def _check_shape(output: npt.NDArray[np.float32], batches: tuple[Tiles, ...], scale: int) -> None:
    _, height, width, channels = batches[0].shape
    expected = (sum(len(batch) for batch in batches), height * scale, width * scale, channels)
    if output.shape != expected:
        raise EsrbenchError(f"the session returned tiles of shape {output.shape}; the plan needs {expected}")


def _draw(job: Job, prepared: PreparedWorkload, output: npt.NDArray[np.float32], scale: int) -> None:
    """Write the stitched output as an 8-bit picture; what is no number is drawn black."""
    stitched = np.nan_to_num(tiling.stitch(output, prepared.plan, scale), nan=0.0, posinf=1.0, neginf=0.0)
    pixels = np.rint(np.clip(stitched, 0, 1) * 255).astype(np.uint8)
    images.write(Path(job.picture), images.Picture(rgb=pixels))
