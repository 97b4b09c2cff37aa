"""Answers from memory are told from those that were computed, on a scripted clock."""

import random
from itertools import chain, repeat

import numpy as np
import pytest

from esrbench import repeats
from esrbench.measure import LoopPlan, timed_loop
from esrbench.record import Repeats
from esrbench.runner import Placement, Session
from esrbench.variants import Variants

MS = 1_000_000
TILE_NS = 40 * MS
COPY_NS = 20_000


class Computing(Session):
    """Takes so long a tile."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.memory = {}

    def clock(self):
        return self.now_ns

    def run(self, tiles):
        self.now_ns += len(tiles) * TILE_NS
        return tiles.copy()

    def remembered(self, key, compute):
        """What was computed for this key before, or now."""
        if key not in self.memory:
            self.memory[key] = compute()
        self.now_ns += COPY_NS
        return self.memory[key]

    def placement(self) -> Placement:
        raise NotImplementedError


class Sleepy(Computing):
    """Has threads that fall asleep while tiles are made: the next run waits until they are awake."""

    awake = False

    def asleep(self, make):
        def made(*arguments):
            self.awake = False
            return make(*arguments)

        return made

    def run(self, tiles):
        self.now_ns += 0 if self.awake else 20 * TILE_NS
        self.awake = True
        return super().run(tiles)


class Memo(Computing):
    """Caches whole batches."""

    def run(self, tiles):
        return self.remembered(tiles.tobytes(), lambda: super(Memo, self).run(tiles))


class TileMemo(Computing):
    """Caches each tile of a batch by itself."""

    def run(self, tiles):
        compute = super().run
        made = [self.remembered(tile.tobytes(), lambda tile=tile: compute(tile[None])) for tile in tiles]
        return np.concatenate(made)


class BatchMemo(Memo):
    """Caches batches alone, no single tiles."""

    def run(self, tiles):
        return super().run(tiles) if len(tiles) > 1 else Computing.run(self, tiles)


class StreamMemo(Computing):
    """Caches in its stream alone."""

    def stream(self, batches):
        for batch in batches:
            yield self.remembered(batch.tobytes(), lambda batch=batch: self.run(batch))


class PassMemo(Computing):
    """Caches whole passes."""

    def stream(self, batches):
        batches = tuple(batches)
        key = b"".join(batch.tobytes() for batch in batches)
        yield from self.remembered(key, lambda: [self.run(batch) for batch in batches])


class Streaming(Computing):
    """Streams in a way of its own, twice as fast as single batches, and remembers nothing."""

    def stream(self, batches):
        for batch in batches:
            self.now_ns += len(batch) * TILE_NS // 2
            yield batch.copy()


def looped(session, batch, measure_s=5.0):
    tiles = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    batches = [tiles[start : start + batch] for start in range(0, 4, batch)]
    return timed_loop(session, Variants(batches), LoopPlan(warmup_s=0, measure_s=measure_s), session.clock)


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("kind", [Memo, TileMemo, StreamMemo, PassMemo])
def test_a_session_that_remembers_gains_nothing_in_the_loop_and_is_found_out(kind, batch):
    loop = looped(kind(), batch)
    assert min(loop.image_ns) >= 4 * TILE_NS
    assert min(loop.tile_ns) >= TILE_NS
    assert "answers repeated tiles from memory: " in repeats.reason(loop.repeats)


def test_a_session_that_remembers_larger_batches_alone_is_found_out():
    assert repeats.reason(looped(BatchMemo(), 4).repeats)


@pytest.mark.parametrize("measure_s", [0.0, 0.1, 5.0])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", [Computing, Streaming])
def test_a_session_that_computes_is_cleared_by_its_first_repeats(kind, batch, measure_s):
    found = looped(kind(), batch, measure_s).repeats
    assert repeats.reason(found) is None
    assert {len(each.repeated_ns) for each in found} == {1}


def test_a_slow_tile_is_repeated_once_and_no_more():
    session = Computing()
    loop = looped(session, 1, measure_s=0.1)
    assert session.now_ns == sum(loop.image_ns) + TILE_NS


def test_the_reason_says_both_times():
    assert repeats.reason([Repeats(tiles=1, new_ns=41 * MS, repeated_ns=(COPY_NS, COPY_NS))]) == (
        "answers repeated tiles from memory: 0.02 ms for 1 tile seen before, 41 ms for new pixels"
    )
    assert repeats.reason([Repeats(tiles=1, new_ns=41 * MS, repeated_ns=())]) is None  # a hand-written record
    assert "for a picture seen before" in repeats.reason([Repeats(tiles=None, new_ns=5, repeated_ns=(1,))])


def checked(*times, new_ns):
    """What comes of runs that take these times in turn."""
    taken = chain(times, repeat(times[-1]))
    return repeats.check(lambda: next(taken), lambda: None, lambda: None, tiles=1, new_ns=new_ns)


def test_noise_during_the_only_pass_is_no_memory():
    found = checked(50, 55, new_ns=3384)  # an OpenMP barrier beside a busy core: the next new tile is as fast
    assert repeats.reason([found]) is None
    assert (found.new_ns, found.repeated_ns) == (55, (50, 50 + 5))


def test_memory_is_blamed_after_all_rounds_alone():
    repeated, new = 1, 50
    rounds = [repeated, new] * (repeats.ROUNDS - 1)
    found = checked(*rounds, repeated, new_ns=50)
    assert found.repeated_ns == (1,) * repeats.ROUNDS
    assert repeats.reason([found])
    assert repeats.reason([checked(*rounds, new, new_ns=50)]) is None


@pytest.mark.parametrize("batch", [1, 4])
def test_a_session_that_is_slow_after_any_pause_is_not_blamed(batch, monkeypatch):
    session = Sleepy()
    for make in ("_varied", "_restored"):
        monkeypatch.setattr(Variants, make, session.asleep(getattr(Variants, make)))
    assert repeats.reason(looped(session, batch).repeats) is None


def test_an_honest_session_beside_a_neighbour_that_comes_and_goes_is_not_blamed():
    chance = random.Random(7)
    fast, slow = 24, 52  # ms a tile of torch with two threads on two cores, and with one of them taken away
    blamed = 0
    for _ in range(20_000):
        times = (chance.choice((fast, slow)) for _ in range(100))
        new_ns = min(next(times) for _ in range(3))
        blamed += bool(
            repeats.reason([repeats.check(times.__next__, lambda: None, lambda: None, tiles=1, new_ns=new_ns)])
        )
    assert blamed <= 3  # 0.08 expected: eight fast repeats, ten slow new runs
