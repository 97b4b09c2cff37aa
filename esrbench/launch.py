"""One launch inside its process: load, first tile, warm-up, timed loop, proof, comparison, a new shape."""

import sys
import textwrap
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench import clocks, command_launch, fidelity, images, memory, plugins, reference_check, tiling, workload
from esrbench.device_memory import DeviceMemoryMeter
from esrbench.errors import EsrbenchError, OutOfMemoryError, OutputError, PlacementError
from esrbench.job import Job, Outcome
from esrbench.measure import timed_loop, warm_up
from esrbench.meters.thread_times import ThreadMeter
from esrbench.new_shape import REASON_LENGTH, meet_new_shape
from esrbench.passes import Clock
from esrbench.power import EnergyMeter
from esrbench.record import Memory, Samples, Status
from esrbench.runner import DeviceType, LoadOptions, Placement, Session, Tiles
from esrbench.target import Target
from esrbench.variants import Variants
from esrbench.workload import PreparedWorkload

Keep = Callable[[Outcome], None]


def launch(job: Job, clock: Clock, keep: Keep) -> Outcome:
    """Measure ``job``, draw its picture and compare it; raises what the runner raises.

    ``keep`` is given the outcome before the session meets a new shape, as not every runtime survives one. A session
    that cannot be closed costs no number either: what it says stands beside them.

    Raises:
        OutputError: the picture or the reference cannot be written.
    """
    if job.command is not None:
        return command_launch.launch(job, job.command, clock)
    multiple = job.artifact.artifact.spec.unshuffle
    prepared = workload.load(job.workload, Path(job.input_picture), multiple=multiple)
    tiles = Variants(prepared.batches(), job.seed)
    runner = plugins.runner(job.target.runtime)
    options = LoadOptions(threads=job.workload.threads, tile_shape=_shape(tiles.batches[0]), settings=job.settings)
    memory.reset_peak_rss()
    meter = DeviceMemoryMeter(job.metered)
    begin_ns = clock()
    outcome: Outcome | None = None
    try:
        with runner.load(job.artifact, job.target, options) as session:
            measured, output = _measured(job, session, tiles, clock, begin_ns=begin_ns, meter=meter)
            try:
                judged = _judged(job, prepared, measured, output)
                if job.checks_reference:
                    judged = _checked(job, session, tiles.batches[0][:1], judged)
            except MemoryError as error:
                raise OutOfMemoryError(f"the target drew the picture; none was left to compare it: {error}") from error
            outcome = _met_new_shape(job, session, tiles, judged, clock=clock, keep=keep)
    except Exception as error:
        if outcome is None:
            raise
        with suppress(OSError):  # the log's disk may be full
            traceback.print_exception(error, file=sys.stderr)
        return outcome.with_late_failure(f"closing the session failed: {_named(error)}")
    return outcome


def _met_new_shape(
    job: Job, session: Session, tiles: Variants, outcome: Outcome, *, clock: Clock, keep: Keep
) -> Outcome:
    """``outcome`` with what became of the new shape; it is kept before. None is tried where the reference is made."""
    if job.makes_reference or outcome.samples is None:
        return outcome
    keep(outcome)
    multiple, tile_ns = job.artifact.artifact.spec.unshuffle, outcome.samples.tile_ns
    return outcome.with_new_shape(meet_new_shape(session, tiles, job.loop, clock, multiple=multiple, tile_ns=tile_ns))


def _measured(
    job: Job, session: Session, tiles: Variants, clock: Clock, *, begin_ns: int, meter: DeviceMemoryMeter
) -> tuple[Outcome, npt.NDArray[np.float32]]:
    """Measure; return also the float32 output of the original tiles.

    ``begin_ns``: before loading.
    """
    tile = tiles.new_batch(0, 1)
    loaded_ns = clock()
    session.run(tile)
    first_ns = clock()
    warmups = warm_up(session, tiles, job.loop, clock, first_tile_ns=first_ns - loaded_ns)
    energy = EnergyMeter(job.metered, clock)
    energy.start()
    threads = ThreadMeter()
    loop = timed_loop(session, tiles, job.loop, clock, warmups=warmups, after_passes=energy.stop)
    at_work = threads.found()
    found = clocks.read(job.metered, job.workload.threads)
    used = _memory(session, meter)
    placement = session.placement()
    _check_placement(placement, job.target)
    outcome = Outcome(
        status=Status.OK,
        placement=placement,
        clocks=found,
        energy=energy.used(),
        threads_at_work=at_work,
        samples=Samples(
            load_ns=loaded_ns - begin_ns,
            first_tile_ns=first_ns - loaded_ns,
            cold_ns=first_ns - job.spawned_ns,
            warmups=warmups,
            tile_ns=loop.tile_ns,
            image_ns=loop.image_ns,
            repeats=loop.repeats,
        ),
        memory=used,
    )
    return outcome, np.concatenate(loop.output).astype(np.float32, copy=False)


def _memory(session: Session, meter: DeviceMemoryMeter) -> Memory:
    peak_rss_bytes, peak_rss_method = memory.peak_rss_bytes()
    device_bytes, device_method = meter.used_bytes(session.device_memory_bytes)
    return Memory(
        peak_rss_bytes=peak_rss_bytes,
        peak_rss_method=peak_rss_method,
        device_bytes=device_bytes,
        device_method=device_method,
    )


def _judged(job: Job, prepared: PreparedWorkload, outcome: Outcome, output: npt.NDArray[np.float32]) -> Outcome:
    """Draw the picture and compare it with the reference's, or keep it as the reference."""
    scale = job.artifact.artifact.spec.scale
    _check_shape(output, prepared, scale)
    copies = output.reshape(job.workload.copies, -1, *output.shape[1:])
    _draw(job, prepared, copies[0], scale)
    if job.makes_reference:
        _save(Path(job.reference), output)
        return outcome
    reference: npt.NDArray[np.float32] = np.load(job.reference, allow_pickle=False)
    found = fidelity.measure(fidelity.worst(copies, reference), reference, prepared.plan, scale)
    return outcome.judged(found, fidelity.verdict(found, job.target.precision))


def _checked(job: Job, session: Session, tile: Tiles, outcome: Outcome) -> Outcome:
    """Compare the reference with float64; fail below fp32 precision."""
    found = reference_check.check(session, job.artifact, tile)
    checked = msgspec.structs.replace(outcome, reference_check=found)
    if (reason := reference_check.failure(found)) is None:
        return checked
    return msgspec.structs.replace(checked, status=Status.WRONG, reason=reason, remedy=reference_check.REMEDY)


def _check_placement(placement: Placement, target: Target) -> None:
    """Hold a runner to its target, even one that reports a fallback instead of refusing it."""
    if placement.precision is not target.precision:
        raise PlacementError(f"{target}: {target.precision.value} was asked for, it ran {placement.precision.value}")
    if placement.device_type is DeviceType.CPU and target.device_kind in {"cuda", "vulkan"}:
        raise PlacementError(f"{target}: {target.device_kind} was asked for, it ran on the CPU")


def _named(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return textwrap.shorten(f"{type(error).__name__}: {first}", REASON_LENGTH, placeholder=" …")


def _shape(batch: Tiles) -> tuple[int, int, int]:
    count, height, width, _ = batch.shape
    return count, height, width


def _check_shape(output: npt.NDArray[np.float32], prepared: PreparedWorkload, scale: int) -> None:
    side = prepared.plan.tile * scale
    expected = (len(prepared.plan.windows) * prepared.record.copies, side, side, 3)
    if output.shape != expected:
        raise EsrbenchError(f"the session returned tiles of shape {output.shape}; the plan needs {expected}")


def _draw(job: Job, prepared: PreparedWorkload, output: npt.NDArray[np.float32], scale: int) -> None:
    """Write the stitched output as an 8-bit picture; what is no number is drawn black."""
    stitched = np.nan_to_num(tiling.stitch(output, prepared.plan, scale), nan=0.0, posinf=1.0, neginf=0.0)
    pixels = np.rint(np.clip(stitched, 0, 1) * 255).astype(np.uint8)
    images.write(Path(job.picture), images.Picture(rgb=pixels))


def _save(path: Path, output: npt.NDArray[np.float32]) -> None:
    try:
        np.save(path, output, allow_pickle=False)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
