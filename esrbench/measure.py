"""Warm-up, the timed loop and a new shape: what is timed, with an injected clock, and nothing else."""

import gc
import statistics
import textwrap
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import msgspec

from esrbench.codec import Value
from esrbench.record import NewShape, Warmup
from esrbench.runner import Session, Tiles

Clock = Callable[[], int]
"""Nanoseconds from an arbitrary start, never backwards: ``time.perf_counter_ns``, or a scripted one in tests."""

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

REASON_LENGTH = 120


class LoopPlan(Value, frozen=True, kw_only=True):
    """How long a launch warms up and measures."""

    warmup_s: float  # of each shape: no further run is begun after this
    measure_s: float  # no further pass is begun after this; the first pass is always finished
    max_passes: int = 1000


class TimedLoop(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop measured, and the pixels of its last pass."""

    tile_ns: tuple[int, ...]
    image_ns: tuple[int, ...]
    output: tuple[Tiles, ...]  # one array a batch


def warm_up(
    session: Session, tile: Tiles, batches: Sequence[Tiles], plan: LoopPlan, clock: Clock, *, first_tile_ns: int
) -> tuple[Warmup, ...]:
    """Run each shape that the timed loop will run until its time is steady: the single tile, then larger batches.

    ``tile`` is ``(1, H, W, 3)``. Where the first tile alone outlasts the warm-up time one more follows, as TorchScript
    still specialises in its second run; with a warm-up of 0 s none does. Every size of batch runs at least once, as a
    runtime that tunes or compiles for a shape would otherwise do so in the timed loop. So does a stream of the
    session's own: what it keeps for batches under way is made at its first use.
    """
    limit_ns = round(plan.warmup_s * 1e9)

    def until_steady(run: Callable[[], object], *, spent_ns: int = 0, at_least: int = 1) -> tuple[int, ...]:
        times: list[int] = []
        while len(times) < at_least or (spent_ns < limit_ns and len(times) < MAX_WARMUP_RUNS and not is_steady(times)):
            times.append(_timed(run, clock))
            spent_ns += times[-1]
        return tuple(times)

    single_ns = until_steady(partial(session.run, tile), spent_ns=first_tile_ns, at_least=min(limit_ns, 1))
    warmups = [_warmup(1, single_ns)]
    for batch in {len(batch): batch for batch in batches if len(batch) > 1}.values():
        warmups.append(_warmup(len(batch), until_steady(partial(session.run, batch))))
    if type(session).stream is not Session.stream:
        under_way = batches[:STREAMED_BATCHES]
        times_ns = until_steady(lambda: deque(session.stream(under_way), maxlen=0))
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
    batches: Sequence[Tiles],
    plan: LoopPlan,
    clock: Clock,
    after_passes: Callable[[], None] = lambda: None,
) -> TimedLoop:
    """Pass the whole plan through ``session.stream`` again and again, garbage collection off as in ``timeit``.

    Where the session streams by running batch after batch and a batch is one tile, the steps of a pass are tile
    latencies already; otherwise as many single tiles follow the last pass and ``after_passes``. They never stand
    between two passes: a runtime that plans anew whenever the shape changes, as ONNX Runtime's CUDA convolutions do
    (microsoft/onnxruntime#23006), would be timed at that.
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
            tile_ns += steps
        after_passes()
        if not steps_are_tiles:
            tile_ns = _single_tiles(session, batches, clock, limit_ns, at_most=len(image_ns))
    return TimedLoop(tile_ns=tuple(tile_ns), image_ns=tuple(image_ns), output=output)


def meet_new_shape(
    session: Session, tile: Tiles, plan: LoopPlan, clock: Clock, *, multiple: int, tile_ns: Sequence[int]
) -> NewShape:
    """Run a tile of half the side twice: the first time that the session meets it, and once more.

    For the end of a launch: a runtime that compiles for it, or refuses it, disturbs nothing then. ``multiple`` is
    the network's ``unshuffle``, ``tile_ns`` the times of ``tile``, from which it is told what the new shape will take.
    """
    smaller = _half(tile, multiple)
    side_px = smaller.shape[1]
    if side_px == tile.shape[1]:
        return NewShape(reason=f"the model takes no smaller tile than {side_px} px")
    expected_s = min(tile_ns) / 1e9 * smaller.size / tile.size
    if expected_s > plan.warmup_s:
        reason = f"a tile of {side_px} px would take longer than the {plan.warmup_s:g} s of the warm-up"
        return NewShape(side_px=side_px, reason=reason)
    try:
        first_ns, again_ns = (_timed(partial(session.run, smaller), clock) for _ in range(2))
    except Exception as error:  # whatever a runtime raises at a shape that it was not loaded for
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return NewShape(
            side_px=side_px, reason=f"refused: {textwrap.shorten(lines[0], REASON_LENGTH, placeholder=' …')}"
        )
    return NewShape(side_px=side_px, first_ns=first_ns, again_ns=again_ns)


def _half(tile: Tiles, multiple: int) -> Tiles:
    side = -(-tile.shape[1] // (2 * multiple)) * multiple
    return tile[:, :side, :side].copy()


def _timed(run: Callable[[], object], clock: Clock) -> int:
    start = clock()
    run()
    return clock() - start


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


def _single_tiles(session: Session, batches: Sequence[Tiles], clock: Clock, limit_ns: int, at_most: int) -> list[int]:
    """The first tile of each batch, again and again; once untimed before, as the last shape was another."""
    session.run(batches[0][:1])
    times: list[int] = []
    begin = clock()
    for _ in range(at_most):
        times += [_timed(partial(session.run, batch[:1]), clock) for batch in batches]
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
