"""Warm-up and the timed loop on a scripted clock: no real time passes."""

import gc
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from esrbench import measure
from esrbench.measure import LoopPlan, timed_loop
from esrbench.new_shape import meet_new_shape
from esrbench.record import Warmup
from esrbench.runner import Placement, Session, Tiles
from esrbench.variants import Variants

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


def warmed(session, plan=LONG, first_tile_ns=0, batches=()):
    return measure.warm_up(session, Variants(batches or [tiles()]), plan, session.clock, first_tile_ns=first_tile_ns)


def ms(warmup):
    return [ns // MS for ns in warmup.times_ns]


def test_warm_up_ends_when_three_tiles_that_span_a_second_vary_by_two_per_cent():
    session = Scripted(900, 520, 500, 400, 405, 400)
    (warmup,) = warmed(session)
    assert (ms(warmup), warmup.steady, warmup.tiles) == ([900, 520, 500, 400, 405, 400], True, 1)


def test_short_tiles_take_ten_alike():
    (warmup,) = warmed(Scripted(50, 20, 10))
    assert ms(warmup) == [50, 20, *[10] * 10]


def test_warm_up_ends_with_its_time_and_says_that_nothing_settled():
    (warmup,) = warmed(Scripted(900, 400, 100), plan=LoopPlan(warmup_s=1.0, measure_s=1))
    assert (ms(warmup), warmup.steady) == ([900, 400], False)


@pytest.mark.parametrize(("warmup_s", "times_ms"), [(1.0, [7000]), (0, [])])
def test_a_first_tile_longer_than_the_warm_up_is_followed_by_one_alone(warmup_s, times_ms):
    plan = LoopPlan(warmup_s=warmup_s, measure_s=1)
    (warmup,) = warmed(Scripted(7000), plan, first_tile_ns=20_000 * MS)
    assert (ms(warmup), warmup.steady) == (times_ms, False)


def test_a_target_that_never_settles_ends_its_warm_up_all_the_same():
    (warmup,) = warmed(Scripted(*[100, 300] * 200))
    assert (len(warmup.times_ns), warmup.steady) == (measure.MAX_WARMUP_RUNS, False)


def test_every_size_of_batch_is_warmed_up_on_its_own():
    session = Scripted(*[400] * 3, *[900, 700, 700, 700], *[500] * 3)
    single, four, three = warmed(session, batches=[tiles(4), tiles(4), tiles(3)])
    assert [warmup.tiles for warmup in (single, four, three)] == [1, 4, 3]
    assert (ms(single), ms(four), ms(three)) == ([400] * 3, [900, 700, 700, 700], [500] * 3)
    assert len(warmed(Scripted(400), batches=[tiles(), tiles()])) == 1


def test_a_batch_that_outlasts_the_warm_up_runs_once_before_the_clock_counts():
    plan = LoopPlan(warmup_s=1.0, measure_s=1)
    _, four = warmed(Scripted(5000), plan, first_tile_ns=5000 * MS, batches=[tiles(4)])
    assert (ms(four), four.steady) == ([5000], False)


class Fixed(Scripted):
    """Refuses every shape but that of `tiles`."""

    def run(self, tiles: Tiles) -> Tiles:
        if tiles.shape[1] != 4:
            raise ValueError("the graph\nwas built for 4 px")
        return super().run(tiles)


def new_shape(session, multiple=1, tile_ms=100, plan=LONG):
    return meet_new_shape(session, Variants([tiles()]), plan, session.clock, multiple=multiple, tile_ns=[tile_ms * MS])


def test_a_new_shape_is_timed_twice_at_half_the_side():
    found = new_shape(Scripted(80, 30))
    assert (found.side_px, found.first_ns, found.again_ns, found.reason) == (2, 80 * MS, 30 * MS, None)


def test_a_new_shape_that_the_runtime_refuses_has_a_reason_instead_of_a_time():
    found = new_shape(Fixed(80))
    assert (found.first_ns, found.again_ns, found.reason) == (None, None, "refused: the graph")


def test_a_new_shape_honours_the_multiple_of_the_network():
    assert new_shape(Scripted(80), multiple=2).side_px == 2
    assert new_shape(Scripted(80), multiple=4).reason == "the model takes no smaller tile than 4 px"


def test_a_new_shape_that_would_take_longer_than_the_warm_up_is_not_tried():
    session = Scripted(80)
    found = new_shape(session, tile_ms=20_000, plan=LoopPlan(warmup_s=3, measure_s=1))
    assert found.reason == "a tile of 2 px would take longer than the 3 s of the warm-up"
    assert session.calls == 0


def test_a_pass_goes_through_every_batch_and_steps_are_tile_latencies():
    session = Scripted(10, 20, 30)
    loop = timed_loop(
        session, Variants([tiles(), tiles()]), LoopPlan(warmup_s=0, measure_s=1e9, max_passes=2), session.clock
    )
    assert loop.tile_ns == (10 * MS, 20 * MS, 30 * MS, 30 * MS)
    assert loop.image_ns == (30 * MS, 60 * MS)


class Seeing(Scripted):
    """Keeps what it was given."""

    def __init__(self, *durations_ms: int) -> None:
        super().__init__(*durations_ms)
        self.seen: list[Tiles] = []

    def run(self, tiles: Tiles) -> Tiles:
        self.seen.append(tiles.copy())
        super().run(tiles)
        return tiles  # its caller's own memory


def photo(count: int = 1) -> Tiles:
    return np.random.default_rng(count).random((count, 4, 4, 3), np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_one_pass_has_the_original_tiles_and_its_output_is_kept(seed):
    originals, session = [photo(1), photo(2)], Seeing(10)
    plan = LoopPlan(warmup_s=0, measure_s=0.1, repeats=False)
    warmups = [Warmup(tiles=1, times_ns=(6 * MS,), steady=True)]
    loop = timed_loop(session, Variants(originals, seed), plan, session.clock, warmups=warmups)
    passes = list(zip(session.seen[0:10:2], session.seen[1:10:2], strict=True))
    assert [all(map(np.array_equal, each, originals)) for each in passes].count(True) == 1
    for drawn, original in zip(loop.output, originals, strict=True):
        np.testing.assert_array_equal(drawn, original)


def test_the_pass_with_the_original_tiles_is_another_one_for_another_seed():
    places = set()
    for seed in range(8):
        session, warmups = Seeing(10), [Warmup(tiles=1, times_ns=(10 * MS,), steady=True)]
        plan = LoopPlan(warmup_s=0, measure_s=0.05, repeats=False)
        timed_loop(session, Variants([photo()], seed), plan, session.clock, warmups=warmups)
        places.add([np.array_equal(each, photo()) for each in session.seen].index(True))
    assert len(places) > 2


@pytest.mark.parametrize("batch", [1, 3])
def test_whatever_a_session_runs_before_the_repeats_it_has_not_run_before(batch):
    session = Seeing(10)
    tiles, plan = Variants([photo(batch)] * 2), LoopPlan(warmup_s=0.2, measure_s=0.2, repeats=False)
    warmups = measure.warm_up(session, tiles, plan, session.clock, first_tile_ns=0)
    timed_loop(session, tiles, plan, session.clock, warmups=warmups)
    meet_new_shape(session, tiles, plan, session.clock, multiple=1, tile_ns=[MS])
    seen = [tile.tobytes() for each in session.seen for tile in each]
    assert len(seen) > 20
    assert len(seen) - len(set(seen)) == batch  # the second batch is the first once more in the pass of the originals


def test_what_a_stream_does_after_its_last_batch_is_timed():
    class Late(Scripted):
        def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
            yield from batches
            self.now_ns += 70 * MS

    session = Late(10)
    plan = LoopPlan(warmup_s=0, measure_s=0, repeats=False)
    assert timed_loop(session, Variants([tiles(), tiles()]), plan, session.clock).image_ns == (70 * MS,)


def test_the_first_pass_is_finished_whatever_it_costs():
    session = Scripted(60_000)
    loop = timed_loop(session, Variants([tiles(), tiles()]), LoopPlan(warmup_s=0, measure_s=0.001), session.clock)
    assert loop.image_ns == (120_000 * MS,)


def test_no_pass_begins_after_the_time_is_over():
    session = Scripted(400)
    loop = timed_loop(session, Variants([tiles()]), LoopPlan(warmup_s=0, measure_s=1.0), session.clock)
    assert len(loop.image_ns) == 3  # begun at 0, 0.4 and 0.8 s


@pytest.mark.parametrize("session", [Scripted(10), Overlapping(10)])
def test_batches_and_streams_of_their_own_get_single_tiles_beside_the_passes(session):
    batches = [tiles(4), tiles(2)]
    loop = timed_loop(session, Variants(batches), LoopPlan(warmup_s=0, measure_s=1e9, max_passes=1), session.clock)
    assert loop.tile_ns == (10 * MS, 10 * MS)
    assert len(loop.image_ns) == 1


def test_single_tiles_follow_the_last_pass_after_one_that_is_not_timed():
    session = Scripted(*[100] * 3, 70, 10, 20, 30)
    plan = LoopPlan(warmup_s=0, measure_s=1e9, max_passes=3, repeats=False)
    loop = timed_loop(session, Variants([tiles(4)]), plan, session.clock)
    assert loop.image_ns == (100 * MS,) * 3
    assert loop.tile_ns == (10 * MS, 20 * MS, 30 * MS)


def test_what_follows_the_passes_is_called_before_the_single_tiles():
    session = Scripted(10)
    seen: list[int] = []
    plan = LoopPlan(warmup_s=0, measure_s=1e9, max_passes=2, repeats=False)
    timed_loop(session, Variants([tiles(4)]), plan, session.clock, after_passes=lambda: seen.append(session.now_ns))
    assert seen == [20 * MS]
    assert session.now_ns == 50 * MS  # one untimed tile, then as many as there were passes


def test_a_stream_of_its_own_is_warmed_up_until_steady_too():
    session = Overlapping(100)
    single, stream = warmed(session, batches=[tiles()] * 9)
    assert (single.streamed, stream.streamed, stream.tiles) == (False, True, measure.STREAMED_BATCHES)
    assert (ms(stream), stream.steady) == ([measure.STREAMED_BATCHES] * measure.STEADY_TILES, True)


def test_garbage_collection_is_off_in_the_loop_and_on_again_after_it():
    session = Scripted(10)
    session.gc_may_run = False
    timed_loop(session, Variants([tiles()]), LONG, session.clock)
    assert gc.isenabled()


def test_garbage_collection_comes_back_when_the_session_raises():
    class Broken(Scripted):
        def run(self, tiles: Tiles) -> Tiles:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        timed_loop(Broken(1), Variants([tiles()]), LONG, lambda: 0)
    assert gc.isenabled()
