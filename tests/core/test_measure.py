"""Warm-up and the timed loop on a scripted clock: no real time passes."""

import gc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from esrbench.measure import MAX_WARMUP_TILES, LoopPlan, meet_shapes, timed_loop, warm_up
from esrbench.runner import Placement, Session, Tiles

MS = 1_000_000
LONG = LoopPlan(warmup_s=1e9, measure_s=1e9, max_passes=3)


class Scripted(Session):
    """A session whose every call takes the next scripted time; the last one repeats."""

    def __init__(self, *durations_ms: int) -> None:
        self.now_ns = 0
        self.calls = 0
        self._durations_ms = durations_ms

    def clock(self) -> int:
        return self.now_ns

    def run(self, tiles: Tiles) -> Tiles:
        assert not gc.isenabled() or self.gc_may_run
        self.now_ns += self._durations_ms[min(self.calls, len(self._durations_ms) - 1)] * MS
        self.calls += 1
        return tiles + self.calls

    gc_may_run = True

    def placement(self) -> Placement:
        raise NotImplementedError


class Overlapping(Scripted):
    """Streams in a way of its own, 1 ms a batch."""

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        for batch in batches:
            self.now_ns += MS
            yield batch


def tiles(count: int = 1) -> Tiles:
    return np.zeros((count, 4, 4, 3), np.float32)


def test_warm_up_ends_when_two_tiles_in_a_row_agree():
    session = Scripted(900, 300, 104, 100, 100)
    assert warm_up(session, tiles(), 0, LONG, session.clock) == (900 * MS, 300 * MS, 104 * MS, 100 * MS)


def test_warm_up_ends_with_its_budget():
    session = Scripted(900, 400, 100, 50)
    plan = LoopPlan(warmup_s=1.0, measure_s=1)
    assert warm_up(session, tiles(), 0, plan, session.clock) == (900 * MS, 400 * MS)


def test_a_first_tile_longer_than_the_budget_is_not_followed_by_warm_up():
    session = Scripted(1)
    plan = LoopPlan(warmup_s=1.0, measure_s=1)
    assert warm_up(session, tiles(), 20_000 * MS, plan, session.clock) == ()


def test_a_target_that_never_settles_ends_its_warm_up_all_the_same():
    session = Scripted(*[100, 300] * 100)
    assert len(warm_up(session, tiles(), 0, LONG, session.clock)) == MAX_WARMUP_TILES


def test_every_size_of_batch_is_met_once_before_the_clock_counts():
    session = Scripted(10, 20)
    assert meet_shapes(session, [tiles(4), tiles(4), tiles(3)], session.clock) == (10 * MS, 20 * MS)
    assert meet_shapes(session, [tiles(), tiles()], session.clock) == ()


def test_a_pass_goes_through_every_batch_and_steps_are_tile_latencies():
    session = Scripted(10, 20, 30)
    loop = timed_loop(session, [tiles(), tiles()], LoopPlan(warmup_s=0, measure_s=1e9, max_passes=2), session.clock)
    assert loop.tile_ns == (10 * MS, 20 * MS, 30 * MS, 30 * MS)
    assert loop.image_ns == (30 * MS, 60 * MS)


def test_the_output_is_that_of_the_last_pass():
    session = Scripted(10)
    loop = timed_loop(session, [tiles(), tiles()], LONG, session.clock)
    assert [batch.max() for batch in loop.output] == [5, 6]


def test_the_first_pass_is_finished_whatever_it_costs():
    session = Scripted(60_000)
    loop = timed_loop(session, [tiles(), tiles()], LoopPlan(warmup_s=0, measure_s=0.001), session.clock)
    assert loop.image_ns == (120_000 * MS,)


def test_no_pass_begins_after_the_time_is_over():
    session = Scripted(400)
    loop = timed_loop(session, [tiles()], LoopPlan(warmup_s=0, measure_s=1.0), session.clock)
    assert len(loop.image_ns) == 3  # begun at 0, 0.4 and 0.8 s


@pytest.mark.parametrize("session", [Scripted(10), Overlapping(10)])
def test_batches_and_streams_of_their_own_get_single_tiles_beside_the_passes(session):
    batches = [tiles(4), tiles(2)]
    loop = timed_loop(session, batches, LoopPlan(warmup_s=0, measure_s=1e9, max_passes=1), session.clock)
    assert loop.tile_ns == (10 * MS, 10 * MS)
    assert len(loop.image_ns) == 1


def test_garbage_collection_is_off_in_the_loop_and_on_again_after_it():
    session = Scripted(10)
    session.gc_may_run = False
    timed_loop(session, [tiles()], LONG, session.clock)
    assert gc.isenabled()


def test_garbage_collection_comes_back_when_the_session_raises():
    class Broken(Scripted):
        def run(self, tiles: Tiles) -> Tiles:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        timed_loop(Broken(1), [tiles()], LONG, lambda: 0)
    assert gc.isenabled()
