"""`esrbench bench --tune`: settings chosen in real processes, recorded, reported, and used again."""

import json

import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Target
from esrbench.testing import FakeScript, Fault

from .test_statuses import write_suite

FAKED = Target("fake@cpu:fp32")
BROKEN, SOUND = Settings(values={"mode": "broken"}), Settings(values={"mode": "sound"})


@pytest.fixture
def suite(scripted, zero_checkpoint, tmp_path):
    """The default raises and one candidate draws another picture: what is left is known whatever the clock says."""
    wrong = Settings(values={"mode": "upside down"})
    scripted(
        [
            FakeScript(target=FAKED, candidates=(DEFAULT, wrong, SOUND), fault=Fault.WRONG, faulty=wrong),
            FakeScript(target=Target("fake@cpu1:fp32"), candidates=(DEFAULT, SOUND), fault=Fault.RAISE, faulty=DEFAULT),
        ]
    )
    return write_suite(tmp_path / "tune.toml", zero_checkpoint, [FAKED, "fake@cpu1:fp32"], max_rounds=1)


def test_settings_are_tried_recorded_reported_and_used_by_the_next_run(esrbench, suite, tmp_path):
    done = esrbench("bench", "--suite", suite, "--tune", "--out", "results/first")
    assert done.returncode == 0, done.stderr
    first = store.read_run(tmp_path / "results" / "first")
    tried = {each.target: each for each in first.tunings}
    assert [trial.status for trial in tried[FAKED].trials] == [Status.OK, Status.WRONG, Status.OK]
    assert tried[FAKED].trials[1].image_s == ()
    rescued = tried[Target("fake@cpu1:fp32")]
    assert [trial.status for trial in rescued.trials] == [Status.ERROR, Status.OK]
    assert rescued.chosen == SOUND
    launches = {launch.case.target: launch for launch in first.launches}
    assert launches[rescued.target].status is Status.OK
    assert launches[rescued.target].placement.options["mode"] == "sound"
    assert "chosen from 2 candidates" in (tmp_path / "reports" / "first" / "index.html").read_text()
    assert any("apart from the budget" in note for note in first.end.notes)

    done = esrbench("bench", "--suite", suite, "--out", "results/second")
    assert done.returncode == 0, done.stderr
    second = store.read_run(tmp_path / "results" / "second")
    assert all(each.known for each in second.tunings)
    assert {each.target: each.chosen for each in second.tunings}[rescued.target] == SOUND

    done = esrbench("bench", "--suite", suite, "--no-tune", "--out", "results/third")
    third = store.read_run(tmp_path / "results" / "third")
    assert third.tunings == ()
    assert {launch.case.target: launch.status for launch in third.launches}[rescued.target] is Status.ERROR


@pytest.mark.parametrize("device", ["auto", "multi", "hetero"])
def test_a_device_that_the_runtime_would_choose_is_bad_usage(esrbench, device):
    done = esrbench("bench", "--target", f"openvino@{device}:fp32")
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "leaves the device to the runtime" in said
    assert "openvino@cpu:fp32" in said


def test_what_needs_cuda_or_tensorrt_has_a_reason_and_no_speed_where_neither_is(esrbench):
    pytest.importorskip("onnxruntime")
    document = json.loads(esrbench("doctor", "--json").stdout)
    found = {
        entry["target"]: entry
        for entry in document["targets"]
        if entry["target"].startswith(("onnxruntime@cuda", "onnxruntime-tensorrt"))
    }
    assert len(found) >= 6
    if any(entry["usable"] for entry in found.values()):
        pytest.skip("this machine has CUDA")
    for target, entry in found.items():
        assert entry["reason"], target
        assert entry["remedy"], target
    tensorrt = found["onnxruntime-tensorrt@cuda:fp16"]["reason"]
    assert "TensorRT" in tensorrt
    assert "no CUDA device is found" in tensorrt or "built without" in tensorrt
