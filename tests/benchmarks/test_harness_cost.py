"""What esrbench itself costs: `make benchmark`. Ratios within one run; where a limit is in seconds, the seconds."""

import statistics
import sys
import time

import numpy as np
import pytest

from esrbench import environment, noise, process, tiling, workload
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import Artifact, LocatedArtifact, describe_file
from esrbench.launcher import Inputs, Launcher
from esrbench.measure import LoopPlan, timed_loop
from esrbench.record import Case, ModelRecord, RunRecord, Status
from esrbench.runner import Placement, Session, Tiles
from esrbench.store import RunWriter
from esrbench.target import REFERENCE, Precision, Target
from esrbench.testing import (
    FAKE,
    FAKE_ENTRY_POINTS,
    SCRIPTS_VARIABLE,
    FakeScript,
    encode_scripts,
    write_distribution,
)
from esrbench.variants import Variants

TILES = 200
PARENT_S = 0.3
"""What the parent may add to a launch, beside the time from the child's start to its end."""

FAKED = Target("fake@cpu:fp32")
SPEC = SRVGGNetSpec(convs=1, features=4)


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
    plan = LoopPlan(warmup_s=0, measure_s=0, repeats=False)
    return sum(timed_loop(session, Variants(batches), plan, time.perf_counter_ns).image_ns)


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


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """A launcher of fakes, its run's folder, and the reference that they draw."""
    write_distribution(tmp_path / "site", "esrbench-fakes", FAKE_ENTRY_POINTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.setenv(SCRIPTS_VARIABLE, encode_scripts([FakeScript(target=FAKED)]))
    prepared = workload.prepare(image="astronaut", crop=(72, 192, 48, 80), tile=48, halo=8, batch=1, threads=1, id="w")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    output = np.concatenate([batch.repeat(SPEC.scale, 1).repeat(SPEC.scale, 2) for batch in prepared.batches()])
    assert len(output) == len(tiling.plan(48, 80, tile=48, halo=8).windows)
    np.save(scratch / "reference.w.npy", output)
    writer = RunWriter.create(tmp_path / "run", _record(prepared))
    prepared.save(writer.input_picture("w"))
    artifact = _artifact(tmp_path)
    inputs = Inputs(
        workloads={"w": prepared.record},
        pictures={"w": writer.input_picture("w")},
        artifacts={Case(target=FAKED, workload="w"): artifact},
        reference=artifact,
    )
    return Launcher(inputs, writer, scratch), writer


def _artifact(folder):
    file = folder / "fake.txt"
    file.write_text(str(SPEC.scale), encoding="utf-8")
    described = Artifact(
        model="fake",
        format=FAKE,
        precision=Precision.FP32,
        spec=SPEC,
        weights_sha256="0",
        files=(describe_file(file),),
        exporter="fake",
        options={},
        versions={},
    )
    return LocatedArtifact(folder=str(folder), artifact=described)


def _record(prepared):
    return RunRecord(
        esrbench_version="0",
        created_at="2026-01-01T00:00:00+00:00",
        suite="cost",
        seed=0,
        budget_s=None,
        model=ModelRecord(name="fake", spec=SPEC, weights_sha256="0", source="made for a benchmark"),
        reference=REFERENCE,
        workloads=(prepared.record,),
        cases=(Case(target=FAKED, workload="w"),),
        environment=environment.describe(),
    )


def test_the_parent_adds_under_three_tenths_of_a_second_to_a_launch(benchmark, launcher):
    launch, writer = launcher
    loop = LoopPlan(warmup_s=0.1, measure_s=0.1)
    added_s, whole_s = [], []

    def once() -> None:
        sequence = len(added_s)
        start = time.perf_counter()
        record = launch.launch(
            Case(target=FAKED, workload="w"), sequence=sequence, round_=sequence, loop=loop, timeout_s=60
        )
        writer.launch(record)
        launch.keep_picture(record)
        whole_s.append(time.perf_counter() - start)
        assert record.status is Status.OK, record.reason
        assert record.wall_ns is not None
        added_s.append(whole_s[-1] - record.wall_ns / 1e9)

    benchmark.pedantic(once, rounds=10)
    benchmark.extra_info.update(
        parent_s_median=statistics.median(added_s),
        parent_s_worst=max(added_s),
        share_of_the_launch=statistics.median(added_s) / statistics.median(whole_s),
    )
    assert max(added_s) < PARENT_S


def test_reading_what_the_machine_does_takes_under_a_hundredth_of_that(benchmark):
    gauges = noise.Gauges()
    benchmark(gauges.read)
    benchmark.extra_info["seconds"] = benchmark.stats.stats.median
    assert benchmark.stats.stats.median < PARENT_S / 100
