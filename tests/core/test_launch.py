"""A launch holds a runner to its target, and keeps its numbers whatever closing the session says."""

import time

import msgspec
import numpy as np
import pytest
from staged import ARTIFACT, job_in

from esrbench import plugins, workload
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import LocatedArtifact, describe_file
from esrbench.errors import OutOfMemoryError, PlacementError
from esrbench.launch import _check_placement, launch
from esrbench.launcher import ONE_PASS
from esrbench.measure import LoopPlan
from esrbench.record import Status
from esrbench.runner import DeviceType, Placement
from esrbench.target import Precision, Target
from esrbench.testing import FAKE, FakeClock, FakeRunner, FakeScript, FakeSession, Fault, Moment

TARGET = Target("fake@cuda:fp16")
PLACED = Placement(
    device_name="a GPU",
    device_type=DeviceType.GPU,
    provider="cuda",
    precision=Precision.FP16,
    nodes={},
    options={},
    versions={},
)


def test_a_runner_that_was_where_it_should_be_is_believed():
    _check_placement(PLACED, TARGET)
    _check_placement(msgspec.structs.replace(PLACED, device_type=DeviceType.SOFTWARE), Target("fake@vulkan:fp16"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": Precision.FP32}, "fp16 was asked for, it ran fp32"),
        ({"device_type": DeviceType.CPU}, "cuda was asked for, it ran on the CPU"),
    ],
)
def test_a_fallback_that_a_runner_reports_without_refusing_it_is_refused(changes, message):
    with pytest.raises(PlacementError, match=message):
        _check_placement(msgspec.structs.replace(PLACED, **changes), TARGET)


CPU = Target("fake@cpu:fp32")


@pytest.fixture
def job(tmp_path):
    """A job for the fake, its reference drawn."""
    prepared = workload.prepare(image="astronaut", crop=(80, 200, 24, 40), tile=24, halo=4, batch=1, threads=1, id="w")
    spec = SRVGGNetSpec(convs=1, features=4)
    output = np.concatenate([batch.repeat(spec.scale, 1).repeat(spec.scale, 2) for batch in prepared.batches()])
    np.save(tmp_path / "reference.npy", output)
    (tmp_path / "fake.txt").write_text(str(spec.scale))
    files = (describe_file(tmp_path / "fake.txt"),)
    artifact = LocatedArtifact(
        folder=str(tmp_path), artifact=msgspec.structs.replace(ARTIFACT.artifact, format=FAKE, files=files)
    )
    return job_in(tmp_path, prepared, CPU, artifact, loop=LoopPlan(warmup_s=0.01, measure_s=0.0))


@pytest.fixture
def unclosable(monkeypatch):
    """A runtime that cannot be closed, with numbers or without."""
    runner = FakeRunner((FakeScript(target=CPU, fault=Fault.RAISE, moment=Moment.CLOSE),), FakeClock())
    monkeypatch.setattr(plugins, "runner", lambda _: runner)


def test_a_session_that_cannot_be_closed_keeps_its_numbers_and_says_so_beside_them(job, unclosable):
    kept = []
    outcome = launch(job, time.perf_counter_ns, kept.append)
    assert outcome.status is Status.OK
    assert outcome.samples.tile_ns == kept[0].samples.tile_ns
    assert outcome.threads_at_work.wall_s > 0
    new_shape = outcome.samples.new_shape
    assert new_shape.reason == "after the measurement: closing the session failed: RuntimeError: scripted to raise"
    assert new_shape.first_ns is not None


def test_a_reference_whose_session_cannot_be_closed_is_drawn(job, unclosable):
    assert launch(msgspec.structs.replace(job, makes_reference=True), time.perf_counter_ns, list).status is Status.OK


@pytest.mark.parametrize("first", [OutOfMemoryError("no memory"), PlacementError("elsewhere")])
def test_of_two_errors_the_first_counts_and_bears_the_second(job, unclosable, monkeypatch, first):
    def fail(_session, _tiles):
        raise first

    monkeypatch.setattr(FakeSession, "run", fail)
    with pytest.raises(type(first)) as raised:
        launch(job, time.perf_counter_ns, list)
    assert raised.value is first
    assert raised.value.__notes__ == ["closing the session failed too: RuntimeError: scripted to raise"]


class Remembering(FakeRunner):
    """Takes 40 ms a tile; its session's ``method`` answers from memory where it met a batch of this ``key`` before."""

    def __init__(self, key, method, clock):
        super().__init__((FakeScript(target=CPU, tile_ns=(40_000_000,)),), clock)
        self.key, self.method = key, method

    def load(self, artifact, target, options):
        session = super().load(artifact, target, options)
        run, seen = session.run, {}

        def answer(tiles):
            key = (tiles.shape, self.key(tiles))
            if key not in seen:
                seen[key] = run(tiles)
            return seen[key]

        streaming = type("Streaming", (type(session),), {"stream": lambda _, batches: map(answer, batches)})
        if self.method == "stream":
            session.__class__ = streaming
        else:
            session.run = answer
        return session


@pytest.fixture
def remembered(job, monkeypatch):
    """What becomes of a launch whose session remembers by a key."""

    def outcome(key, *, batch=1, method="run", measure_s=1.0, runner=Remembering):
        clock = FakeClock()
        monkeypatch.setattr(plugins, "runner", lambda _: runner(key, method, clock))
        filled = msgspec.structs.replace(job.workload, batch=batch, copies=-(-batch // job.workload.tiles))
        loop = LoopPlan(warmup_s=0.5, measure_s=measure_s, max_passes=20)
        return launch(msgspec.structs.replace(job, workload=filled, loop=loop), clock, lambda _: None)

    return outcome


@pytest.mark.parametrize("measure_s", [0.0, 1.0])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("method", ["run", "stream"])
def test_a_session_that_answers_from_memory_is_wrong_and_its_times_are_those_of_new_tiles(
    remembered, method, batch, measure_s
):
    outcome = remembered(lambda tiles: tiles.tobytes(), batch=batch, method=method, measure_s=measure_s)
    assert outcome.status is Status.WRONG
    assert outcome.reason.startswith("answers repeated tiles from memory: 0 ms for ")
    assert outcome.fidelity.mse == 0
    assert min(outcome.samples.tile_ns) == 40_000_000


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("method", ["run", "stream"])
@pytest.mark.parametrize(
    "key",
    [
        lambda tiles: tiles[:, 0, 0].tobytes(),
        lambda tiles: tiles[:, ::8, ::8].tobytes(),
        lambda _: None,
        lambda tiles: tiles.ctypes.data,
        lambda tiles: bool(tiles.mean() > 0.5),
    ],
    ids=["a corner", "a few pixels", "shape", "address", "brightness"],
)
def test_a_memory_that_takes_tiles_for_others_is_wrong(remembered, key, method, batch):
    assert remembered(key, batch=batch, method=method).status is Status.WRONG


def test_a_session_that_computes_every_tile_is_ok_and_its_repeats_are_recorded(remembered):
    outcome = remembered(lambda _: object(), batch=4, method="stream")
    assert (outcome.status, outcome.reason) == (Status.OK, None)
    assert [each.tiles for each in outcome.samples.repeats] == [4, 1]
    assert all(each.repeated_ns == (each.new_ns,) for each in outcome.samples.repeats)


def test_a_wrong_picture_from_memory_has_both_reasons(remembered):
    class UpsideDown(Remembering):
        def load(self, artifact, target, options):
            session = super().load(artifact, target, options)
            run = session.run
            session.run = lambda tiles: run(tiles)[:, ::-1]
            return session

    reason = remembered(lambda tiles: tiles.tobytes(), runner=UpsideDown).reason
    assert reason.startswith("PSNR to the reference is ")
    assert "; answers repeated tiles from memory: " in reason


def test_the_reference_is_drawn_in_one_pass_that_nothing_repeats(job, monkeypatch):
    clock = FakeClock()
    runner = FakeRunner((FakeScript(target=CPU, tile_ns=(40_000_000,)),), clock)
    monkeypatch.setattr(plugins, "runner", lambda _: runner)
    right = np.load(job.reference)
    outcome = launch(msgspec.structs.replace(job, makes_reference=True, loop=ONE_PASS), clock, list)
    np.testing.assert_array_equal(np.load(job.reference), right)
    assert outcome.samples.repeats is None
    assert clock() == (1 + job.workload.tiles) * 40_000_000
