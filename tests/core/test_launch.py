"""A launch holds a runner to its target, and keeps its numbers whatever closing the session says."""

import time

import msgspec
import numpy as np
import pytest

from esrbench import plugins, workload
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import Artifact, LocatedArtifact, describe_file
from esrbench.errors import OutOfMemoryError, PlacementError
from esrbench.job import Job
from esrbench.launch import _check_placement, launch
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
    prepared.save(tmp_path / "input.png")
    spec = SRVGGNetSpec(convs=1, features=4)
    output = np.concatenate([batch.repeat(spec.scale, 1).repeat(spec.scale, 2) for batch in prepared.batches()])
    np.save(tmp_path / "reference.npy", output)
    (tmp_path / "fake.txt").write_text(str(spec.scale))
    artifact = Artifact(
        model="fake",
        format=FAKE,
        precision=Precision.FP32,
        spec=spec,
        weights_sha256="0",
        files=(describe_file(tmp_path / "fake.txt"),),
        exporter="fake",
        options={},
        versions={},
    )
    return Job(
        target=CPU,
        artifact=LocatedArtifact(folder=str(tmp_path), artifact=artifact),
        workload=prepared.record,
        input_picture=str(tmp_path / "input.png"),
        reference=str(tmp_path / "reference.npy"),
        makes_reference=False,
        picture=str(tmp_path / "picture.png"),
        loop=LoopPlan(warmup_s=0.01, measure_s=0.0),
        spawned_ns=0,
    )


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
