"""Warm-up, the timed loop and a new shape: what is timed, with an injected clock, and nothing else."""

import gc
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from esrbench import passes, repeats
from esrbench.codec import Value
from esrbench.passes import Clock, timed
from esrbench.record import Repeats, Warmup
from esrbench.runner import Session, Tiles
from esrbench.variants import Variants

STEADY_VARIATION = 0.02
STEADY_TILES = 10
"""A shape is warm when the last tiles' coefficient of variation is at most 2 %: Georges, Buytaert & Eeckhout,
"Statistically rigorous Java performance evaluation", OOPSLA 2007, doi:10.1145/1297027.1297033, who name 1 or 2 % over
ten iterations. Like theirs the rule has an end: a shape that never settles is measured all the same, and its record
says so."""

STEADY_WINDOW_NS = 1_000_000_000
MIN_STEADY_TILES = 3
"""Tiles of seconds cannot wait for ten: fewer do where they span a second, as a tuner or compiler at work lasts two
runs at most in the runtimes here (TorchScript's profiling executor: 1.0, 0.8, then 0.52 s a tile, measured)."""

MAX_WARMUP_RUNS = 200

STREAMED_BATCHES = 4
"""That a stream of a session's own is warmed up with: one more than torch's has under way."""


class LoopPlan(Value, frozen=True, kw_only=True):
    """How long a launch warms up and measures."""

    warmup_s: float  # of each shape: no further run is begun after this
    measure_s: float  # no further pass is begun after this; the first pass is always finished
    max_passes: int = 1000
    repeats: bool = True  # look for answers from memory at the end

    @property
    def measure_ns(self) -> int:
        """Return the time of the timed loop."""
        return round(self.measure_s * 1e9)


class TimedLoop(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the loop's times and the original tiles' output."""

    tile_ns: tuple[int, ...]
    image_ns: tuple[int, ...]
    output: tuple[Tiles, ...]  # one array a batch
    repeats: tuple[Repeats, ...] | None  # None: not looked for


def warm_up(
    session: Session, tiles: Variants, plan: LoopPlan, clock: Clock, *, first_tile_ns: int
) -> tuple[Warmup, ...]:
    """Run each shape of the timed loop until steady.

    Each run has new tiles. Where the first tile alone outlasts the warm-up time one more follows, as TorchScript
    still specialises in its second run; with a warm-up of 0 s none does. Every size of batch runs at least once, as a
    runtime that tunes or compiles for a shape would otherwise do so in the timed loop. So does a stream of the
    session's own: what it keeps for batches under way is made at its first use.
    """
    limit_ns = round(plan.warmup_s * 1e9)

    def until_steady(
        run: Callable[[], object], renew: Callable[[], object], *, spent_ns: int = 0, at_least: int = 1
    ) -> tuple[int, ...]:
        times: list[int] = []
        while len(times) < at_least or (spent_ns < limit_ns and len(times) < MAX_WARMUP_RUNS and not is_steady(times)):
            renew()
            times.append(timed(run, clock))
            spent_ns += times[-1]
        return tuple(times)

    run_tile, new_tile = partial(session.run, tiles.batches[0][:1]), partial(tiles.new_batch, 0, 1)
    single_ns = until_steady(run_tile, new_tile, spent_ns=first_tile_ns, at_least=min(limit_ns, 1))
    warmups = [_warmup(1, single_ns)]
    for index in {len(batch): index for index, batch in enumerate(tiles.batches) if len(batch) > 1}.values():
        batch = tiles.batches[index]
        times_ns = until_steady(partial(session.run, batch), partial(tiles.new_batch, index))
        warmups.append(_warmup(len(batch), times_ns))
    if type(session).stream is not Session.stream:
        under_way = tiles.batches[:STREAMED_BATCHES]
        times_ns = until_steady(lambda: deque(session.stream(under_way), maxlen=0), tiles.new)
        warmups.append(_warmup(sum(map(len, under_way)), times_ns, streamed=True))
    return tuple(warmups)


def _warmup(tiles: int, times_ns: tuple[int, ...], *, streamed: bool = False) -> Warmup:
    return Warmup(tiles=tiles, times_ns=times_ns, steady=is_steady(times_ns), streamed=streamed)


def is_steady(times_ns: Sequence[int]) -> bool:
    """Whether the last of these times vary so little that the warm-up is over."""
    for count in range(MIN_STEADY_TILES, STEADY_TILES + 1):
        last = times_ns[-count:]
        if len(last) == count and (count == STEADY_TILES or sum(last) >= STEADY_WINDOW_NS):
            return statistics.stdev(last) <= STEADY_VARIATION * statistics.fmean(last)
    return False


def timed_loop(
    session: Session,
    tiles: Variants,
    plan: LoopPlan,
    clock: Clock,
    *,
    warmups: Sequence[Warmup] = (),
    after_passes: Callable[[], None] = lambda: None,
) -> TimedLoop:
    """Time passes of the whole plan through ``session.stream``.

    Garbage collection is off, as in ``timeit``. Each pass has new tiles, made while no clock runs, so that none can be
    answered from memory. One pass has the original ones: its output is what is judged. ``warmups`` tell about how many
    passes there will be.

    Where the session streams by running batch after batch and a batch is one tile, the steps of a pass are tile
    latencies already; otherwise as many single tiles follow the last pass and ``after_passes``. They never stand
    between two passes: a runtime that plans anew whenever the shape changes, as ONNX Runtime's CUDA convolutions do
    (microsoft/onnxruntime#23006), would be timed at that.
    """
    steps_are_tiles = type(session).stream is Session.stream and len(tiles.batches[0]) == 1
    found: list[Repeats] = []
    with _no_garbage_collection():
        tile_ns, image_ns, output = _passes(session, tiles, plan, clock, _expected_passes(plan, warmups, tiles.tiles))
        after_passes()
        if plan.repeats:
            found.append(repeats.of_pass(session, tiles, clock, image_ns, plan.measure_ns))
        if not steps_are_tiles:
            tile_ns = _single_tiles(session, tiles, clock, plan.measure_ns, at_most=len(image_ns))
            if plan.repeats:
                found.append(repeats.of_tile(session, tiles, clock, tile_ns))
    return TimedLoop(
        tile_ns=tuple(tile_ns), image_ns=tuple(image_ns), output=output, repeats=tuple(found) if plan.repeats else None
    )


def _passes(
    session: Session, tiles: Variants, plan: LoopPlan, clock: Clock, expected: int
) -> tuple[list[int], list[int], tuple[Tiles, ...]]:
    """Return step times, pass times and the original tiles' output."""
    tile_ns: list[int] = []
    image_ns: list[int] = []
    output: tuple[Tiles, ...] = ()
    for takes_originals in passes.until(plan.measure_ns, plan.max_passes, clock, tiles.chosen(expected)):
        steps, drawn = _pass(session, tiles.originals() if takes_originals else tiles.new(), clock)
        image_ns.append(sum(steps))
        tile_ns += steps
        if takes_originals:
            output = _owned(drawn)
        del drawn  # no third pass's pixels in memory during the next one
    return tile_ns, image_ns, output


def _expected_passes(plan: LoopPlan, warmups: Sequence[Warmup], tiles: int) -> int:
    """Estimate the number of passes from the last warm-up.

    That one ran most like a pass.
    """
    last = warmups[-1] if warmups else None
    if last is None or not last.times_ns or not last.tiles:
        return 1
    return passes.expected(plan.measure_ns, plan.max_passes, statistics.median(last.times_ns) / last.tiles * tiles)


def _owned(drawn: list[Tiles]) -> tuple[Tiles, ...]:
    """Copy the output, which may be memory of the session."""
    drawn.reverse()
    return tuple(drawn.pop().copy() for _ in range(len(drawn)))


def _pass(session: Session, batches: Sequence[Tiles], clock: Clock) -> tuple[list[int], list[Tiles]]:
    steps: list[int] = []
    output: list[Tiles] = []
    before = clock()
    for upscaled in session.stream(batches):
        now = clock()
        steps.append(now - before)
        before = now
        output.append(upscaled)
    if steps:  # a stream has its end in the last step too, lest work be put there
        steps[-1] += clock() - before
    return steps, output


def _single_tiles(session: Session, tiles: Variants, clock: Clock, limit_ns: int, at_most: int) -> list[int]:
    """Time the first tile of each batch, new each time.

    One untimed run precedes, as the last shape was another.
    """
    session.run(tiles.new_batch(0, 1))
    times: list[int] = []
    begin = clock()
    for _ in range(at_most):
        for index in range(len(tiles.batches)):
            times.append(timed(partial(session.run, tiles.new_batch(index, 1)), clock))
        if clock() - begin >= limit_ns:
            break
    return times


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
