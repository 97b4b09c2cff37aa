"""Warm-up and the timed loop: what is timed, with an injected clock, and nothing else."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from esrbench.codec import Value
from esrbench.runner import Session, Tiles

Clock = Callable[[], int]
"""Nanoseconds from an arbitrary start, never backwards: ``time.perf_counter_ns``, or a scripted one in tests."""

STEADY_SPREAD = 0.05
"""Warm-up ends when two tiles in a row differ by less than this: launches of one case on a quiet machine spread by
1–2 % (measured), a tuner or a compiler at work by tens of per cent."""

MIN_WARMUP_TILES = 2
MAX_WARMUP_TILES = 50


class LoopPlan(Value, frozen=True, kw_only=True):
    """How long a launch warms up and measures."""

    warmup_s: float  # no further warm-up tile is begun after this; none at all where the first tile took longer
    measure_s: float  # no further pass is begun after this; the first pass is always finished
    max_passes: int = 1000


class TimedLoop(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop measured, and the pixels of its last pass."""

    tile_ns: tuple[int, ...]
    image_ns: tuple[int, ...]
    output: tuple[Tiles, ...]  # one array a batch


def warm_up(session: Session, tile: Tiles, first_tile_ns: int, plan: LoopPlan, clock: Clock) -> tuple[int, ...]:
    """Run ``tile`` until its time is steady; returns each time in ns.

    ``tile`` is ``(1, H, W, 3)``. A target whose first tile alone outlasts the warm-up budget is not warmed up
    further: it pays for work that a warm-up cannot take away.
    """
    limit_ns = round(plan.warmup_s * 1e9)
    times: list[int] = []
    spent_ns = first_tile_ns
    while spent_ns < limit_ns and len(times) < MAX_WARMUP_TILES and not _steady(times):
        start = clock()
        session.run(tile)
        times.append(clock() - start)
        spent_ns += times[-1]
    return tuple(times)


def meet_shapes(session: Session, batches: Sequence[Tiles], clock: Clock) -> tuple[int, ...]:
    """Run one batch of each size above one tile; returns each time in ns.

    A runtime that tunes or compiles for a shape would do so in the timed loop, after a warm-up on single tiles.
    """
    times: list[int] = []
    for batch in {len(batch): batch for batch in batches if len(batch) > 1}.values():
        start = clock()
        session.run(batch)
        times.append(clock() - start)
    return tuple(times)


def timed_loop(session: Session, batches: Sequence[Tiles], plan: LoopPlan, clock: Clock) -> TimedLoop:
    """Pass the whole plan through ``session.stream`` again and again, garbage collection off as in ``timeit``.

    Where the session streams by running batch after batch and a batch is one tile, the steps of a pass are tile
    latencies already; otherwise each pass is followed by single tiles.
    """
    steps_are_tiles = type(session).stream is Session.stream and len(batches[0]) == 1
    limit_ns = round(plan.measure_s * 1e9)
    tile_ns: list[int] = []
    image_ns: list[int] = []
    output: tuple[Tiles, ...] = ()
    with _no_garbage_collection():
        begin = clock()
        while not image_ns or (len(image_ns) < plan.max_passes and clock() - begin < limit_ns):
            steps, output = _pass(session, batches, clock)
            image_ns.append(sum(steps))
            tile_ns += steps if steps_are_tiles else _single_tiles(session, batches, clock)
    return TimedLoop(tile_ns=tuple(tile_ns), image_ns=tuple(image_ns), output=output)


def _pass(session: Session, batches: Sequence[Tiles], clock: Clock) -> tuple[list[int], tuple[Tiles, ...]]:
    steps: list[int] = []
    output: list[Tiles] = []
    before = clock()
    for upscaled in session.stream(batches):
        now = clock()
        steps.append(now - before)
        before = now
        output.append(upscaled)
    return steps, tuple(output)


def _single_tiles(session: Session, batches: Sequence[Tiles], clock: Clock) -> list[int]:
    times: list[int] = []
    for batch in batches:
        start = clock()
        session.run(batch[:1])
        times.append(clock() - start)
    return times


def _steady(times: Sequence[int]) -> bool:
    if len(times) < MIN_WARMUP_TILES:
        return False
    low, high = sorted(times[-2:])
    return high - low <= STEADY_SPREAD * high


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
