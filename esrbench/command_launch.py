"""A launch of another program: a call that is watched, a short one, calls that are timed, and the picture's check.

A program that draws one picture a call has no session: no tile goes in and comes out of it. So of the three boundaries
it has one, ``image``: a call on the whole picture, from the start of its process to its end, decoding and encoding
included. The same call on a picture of next to no pixels says how much of that is start: process, device, model.
"""

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np

from esrbench import clocks, images, picture_fidelity, workload
from esrbench.command_calls import Calls
from esrbench.command_target import LocatedCommand
from esrbench.errors import CommandError, OutputError
from esrbench.exhaustion import MemoryWatch
from esrbench.images import Picture, Pixels
from esrbench.job import Job, Outcome
from esrbench.measure import Clock, LoopPlan
from esrbench.record import Samples, Status
from esrbench.runner import Placement
from esrbench.tree_memory import TreeMemory
from esrbench.workload import PreparedWorkload

START_SIDE_PX = 16
"""Side of the picture of next to no pixels: some programs refuse smaller ones. What it still costs to draw is in the
start."""

CLAIMED = "claimed by the command"

FULL_BYTES = 1 << 20
"""With less room than this, a call's failure is put down to the disk."""


def launch(job: Job, located: LocatedCommand, clock: Clock) -> Outcome:
    """Measure the command, keep its picture and compare it.

    Raises:
        OutOfMemoryError: it failed for want of memory.
        OutputError: a file of esrbench's own cannot be written.
    """
    memory_watch = MemoryWatch(job.metered, job.workload)
    multiple = job.artifact.artifact.spec.unshuffle
    prepared = workload.load(job.workload, Path(job.input_picture), multiple=multiple)
    with _scratch(Path(job.picture).parent) as folder:
        calls = Calls.of(job, located, folder, clock)
        try:
            outcome, drawn = _measured(job, calls, prepared)
        except CommandError as failed:
            _check_disk(folder, failed)
            return memory_watch.killed(failed.exit_code) or _failed(failed)
    return _judged(job, prepared, outcome, drawn)


def _failed(failed: CommandError) -> Outcome:
    """What a launch ends with whose command drew nothing."""
    status = Status.CRASHED if failed.exit_code < 0 else Status.ERROR
    return Outcome(status=status, reason=str(failed), remedy="its output is in the run's logs; call it by hand")


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder for the command's pictures, gone afterwards."""
    try:
        made = tempfile.TemporaryDirectory(prefix="command-", dir=parent)
    except OSError as error:
        raise OutputError(f"{parent}: no folder can be made there: {error.strerror}; set TMPDIR to another") from error
    with made as folder:
        yield Path(folder)


def _check_disk(folder: Path, failed: CommandError) -> None:
    """A command that finds no room for its picture is not to blame."""
    if shutil.disk_usage(folder).free < FULL_BYTES:
        raise OutputError(f"{folder} cannot be written: its disk is full ({failed})") from failed


def _measured(job: Job, calls: Calls, prepared: PreparedWorkload) -> tuple[Outcome, Pixels]:
    """What was measured, and the picture that the last timed call drew."""
    picture, (height, width, _) = Path(job.input_picture), prepared.pixels.shape
    memory = TreeMemory(job.metered)
    calls.draw(picture, (height, width), memory.watch)  # fills the caches of system and driver, too
    start_ns, start_side_px = _start(calls, prepared.pixels)
    image_ns, drawn = _timed(calls, picture, (height, width), job.loop)
    outcome = Outcome(
        status=Status.OK,
        clocks=clocks.read(job.metered, job.workload.threads),
        placement=_placement(job, calls),
        samples=Samples(
            load_ns=None,
            first_tile_ns=None,
            cold_ns=None,
            warmups=(),
            tile_ns=(),
            image_ns=image_ns,
            start_ns=start_ns,
            start_side_px=start_side_px,
        ),
        memory=memory.memory(),
    )
    return outcome, drawn


def _start(calls: Calls, pixels: Pixels) -> tuple[int, int]:
    """Nanoseconds of a call on a corner of the picture, and the corner's side."""
    side = min(START_SIDE_PX, *pixels.shape[:2])
    corner = calls.folder / "corner.png"
    images.write(corner, Picture(rgb=np.ascontiguousarray(pixels[:side, :side])))
    took_ns, _ = calls.draw(corner, (side, side))
    return took_ns, side


def _timed(calls: Calls, picture: Path, shape: tuple[int, int], plan: LoopPlan) -> tuple[tuple[int, ...], Pixels]:
    """Call again and again until the loop's time is over, at least once; the picture is the last call's."""
    gc.collect()
    begin_ns, limit_ns = calls.clock(), round(plan.measure_s * 1e9)
    took_ns, drawn = calls.draw(picture, shape)
    image_ns = [took_ns]
    while len(image_ns) < plan.max_passes and calls.clock() - begin_ns < limit_ns:
        took_ns, drawn = calls.draw(picture, shape)
        image_ns.append(took_ns)
    return tuple(image_ns), drawn


def _judged(job: Job, prepared: PreparedWorkload, outcome: Outcome, drawn: Pixels) -> Outcome:
    """Keep the picture and compare it with the reference's, both in 8 bits."""
    assert job.command is not None
    images.write(Path(job.picture), Picture(rgb=drawn))
    reference = np.load(job.reference, allow_pickle=False)
    scale, border_px = job.artifact.artifact.spec.scale, job.command.command.border_px
    found = picture_fidelity.measure(drawn, reference, prepared.plan, scale, border_px)
    reason = picture_fidelity.verdict(found, job.target.precision)
    status = Status.OK if reason is None else Status.WRONG
    return msgspec.structs.replace(outcome, status=status, reason=reason, fidelity=found)


def _placement(job: Job, calls: Calls) -> Placement:
    """No proof: what the command claims, and which files it was, by their digests."""
    located = calls.located
    return Placement(
        device_name=located.device_name,
        device_type=located.device_type,
        provider=CLAIMED,
        precision=job.target.precision,
        nodes={},
        options={**located.command.environment, "command": located.command.command, "program": located.program},
        versions=calls.digests(),
    )
