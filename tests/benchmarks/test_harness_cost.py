"""What esrbench itself costs: `make benchmark`. Ratios within one run, never bare seconds."""

import sys
import time

import numpy as np

from esrbench import process
from esrbench.measure import LoopPlan, timed_loop
from esrbench.runner import Placement, Session, Tiles

TILES = 200


class Matrix(Session):
    """Real work of about a millisecond: far shorter than any tile of a real network, so the worst case."""

    def __init__(self) -> None:
        self._weights = np.random.default_rng(0).random((256, 256), np.float32)

    def run(self, tiles: Tiles) -> Tiles:
        value = self._weights
        for _ in range(8):
            value = value @ self._weights
        return value

    def placement(self) -> Placement:
        raise NotImplementedError


class Nothing(Session):
    """No work at all: what is left is the loop."""

    def run(self, tiles: Tiles) -> Tiles:
        return tiles

    def placement(self) -> Placement:
        raise NotImplementedError


def _loop_ns(session: Session, batches: list[Tiles]) -> int:
    """What the loop reports: garbage is collected before it, outside the timed part."""
    return sum(timed_loop(session, batches, LoopPlan(warmup_s=0, measure_s=0), time.perf_counter_ns).image_ns)


def _bare_ns(session: Session, batches: list[Tiles]) -> int:
    start = time.perf_counter_ns()
    for batch in batches:
        session.run(batch)
    return time.perf_counter_ns() - start


def test_the_timed_loop_costs_under_one_per_cent_of_a_one_millisecond_call(benchmark):
    batches: list[Tiles] = [np.zeros((1, 48, 48, 3), np.float32)] * TILES
    bare_ns = min(_bare_ns(Matrix(), batches) for _ in range(5)) / TILES
    overhead_ns = min(_loop_ns(Nothing(), batches) for _ in range(5)) / TILES
    overhead_ns -= min(_bare_ns(Nothing(), batches) for _ in range(5)) / TILES
    benchmark.extra_info.update(bare_call_ns=bare_ns, overhead_ns_per_tile=overhead_ns, ratio=overhead_ns / bare_ns)
    benchmark.pedantic(_loop_ns, args=(Nothing(), batches), rounds=20)
    assert overhead_ns / bare_ns < 0.01


def test_the_waiting_parent_uses_under_one_per_cent_of_a_core(benchmark, tmp_path):
    command = [sys.executable, "-c", "import threading; threading.Event().wait(5)"]

    def launch() -> float:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        process.run(command, stdin=b"", log=tmp_path / "log", threads=1, timeout_s=30)
        return (time.process_time() - cpu_s) / (time.perf_counter() - wall_s)

    share = benchmark.pedantic(launch, rounds=1)
    benchmark.extra_info["share_of_a_core"] = share
    assert share < 0.01
