"""A launch of another program: a call that is watched, a short one, calls that are timed, and the picture's check.

A program that draws one picture a call has no session: no tile goes in and comes out of it. So of the three boundaries
it has one, ``image``: a call on the whole picture, from the start of its process to its end, decoding and encoding
included. The same call on a picture of next to no pixels says how much of that is start: process, device, model.
"""

import gc
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from esrbench import clocks, images, passes, picture_fidelity, repeats, workload
from esrbench.command_calls import Calls
from esrbench.command_pictures import Pictures
from esrbench.command_target import LocatedCommand
from esrbench.errors import CommandError, OutputError
from esrbench.exhaustion import MemoryWatch
from esrbench.images import Picture, Pixels
from esrbench.job import Job, Outcome
from esrbench.measure import LoopPlan
from esrbench.meters.thread_times import children_cpu_s
from esrbench.passes import Clock
from esrbench.record import Repeats, Samples, Status, ThreadsAtWork
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
    """Measure the calls; return also the workload's upscaled picture."""
    memory = TreeMemory(job.metered)
    pictures = Pictures(prepared.pixels, calls.folder, job.seed)
    pictures.new()
    watched_ns, _ = calls.draw(pictures.file, pictures.shape, memory.watch)  # fills caches of system and driver, too
    start_ns, start_side_px = _start(calls, pictures.new_corner(START_SIDE_PX))
    before_s = children_cpu_s()
    image_ns, drawn = _timed(calls, pictures, job.loop, watched_ns)
    at_work = _at_work(before_s, image_ns)
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
            repeats=(_repeated(calls, pictures, image_ns),),
        ),
        memory=memory.memory(),
        threads_at_work=at_work,
    )
    return outcome, drawn


def _at_work(before_s: float | None, image_ns: tuple[int, ...]) -> ThreadsAtWork | None:
    """Return the CPU time of the timed calls, now ended."""
    after_s = children_cpu_s()
    if before_s is None or after_s is None:
        return None
    return ThreadsAtWork(cpu_s=after_s - before_s, wall_s=sum(image_ns) / 1e9)


def _start(calls: Calls, corner: Pixels) -> tuple[int, int]:
    """Nanoseconds of a call on a corner of the picture, and the corner's side."""
    side = len(corner)
    file = calls.folder / "corner.png"
    images.write(file, Picture(rgb=corner))
    took_ns, _ = calls.draw(file, (side, side))
    return took_ns, side


def _timed(calls: Calls, pictures: Pictures, plan: LoopPlan, watched_ns: int) -> tuple[tuple[int, ...], Pixels]:
    """Time calls on new pixels until the loop's time ends.

    One call has the workload's own: what it drew is returned. ``watched_ns``: about how long a call takes.
    """
    gc.collect()
    image_ns: list[int] = []
    drawn: dict[bool, Pixels] = {}  # of the workload's own picture: True
    chosen = pictures.chosen(passes.expected(plan.measure_ns, plan.max_passes, watched_ns))
    for takes_original in passes.until(plan.measure_ns, plan.max_passes, calls.clock, chosen):
        pictures.original() if takes_original else pictures.new()
        took_ns, drawn[takes_original] = calls.draw(pictures.file, pictures.shape)
        image_ns.append(took_ns)
    return tuple(image_ns), drawn[True]


def _repeated(calls: Calls, pictures: Pictures, image_ns: Sequence[int]) -> Repeats:
    """Call again on the last picture to detect remembered answers."""
    return repeats.check(
        lambda: calls.draw(pictures.file, pictures.shape)[0],
        pictures.new,
        pictures.again,
        tiles=None,
        new_ns=min(image_ns),
    )


def _judged(job: Job, prepared: PreparedWorkload, outcome: Outcome, drawn: Pixels) -> Outcome:
    """Keep the picture and compare it with the reference's, both in 8 bits."""
    assert job.command is not None
    images.write(Path(job.picture), Picture(rgb=drawn))
    reference = np.load(job.reference, allow_pickle=False)
    scale, border_px = job.artifact.artifact.spec.scale, job.command.command.border_px
    found = picture_fidelity.measure(drawn, reference, prepared.plan, scale, border_px)
    return outcome.judged(found, picture_fidelity.verdict(found, job.target.precision))


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
