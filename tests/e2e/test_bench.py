"""`esrbench bench` with every runtime that this machine has, on a small network."""

import json

from esrbench import fidelity, store
from esrbench.case_summary import summarise
from esrbench.record import Status
from esrbench.target import Precision

from .test_statuses import write_suite

FP32 = ("torch@cpu:fp32", "torchscript@cpu:fp32", "onnxruntime@cpu:fp32", "ncnn@cpu:fp32", "openvino@cpu:fp32")


def test_every_cpu_runtime_draws_the_reference_and_cuda_says_why_not(esrbench, tiny_checkpoint, tmp_path):
    suite = write_suite(tmp_path / "all.toml", tiny_checkpoint, [], max_rounds=1, timeout_s=60, roofline="true")
    done = esrbench("bench", "--suite", suite, "--out", "results/all")
    assert done.returncode == 0, done.stderr
    run = store.read_run(tmp_path / "results" / "all")
    for launch in run.launches:
        if launch.case.target in FP32:
            assert launch.status is Status.OK, (launch.case.target, launch.reason)
        if launch.status is Status.OK:
            _is_whole(launch)
        else:
            assert launch.status is Status.UNAVAILABLE, (launch.case.target, launch.reason)
            assert launch.reason
    assert {launch.case.target for launch in run.launches} >= {*FP32, "torch@cuda:fp16", "onnxruntime@cuda:fp16"}
    _report_is_whole(tmp_path / "reports" / "all")
    _is_held_against_what_the_cpu_reaches(run)


def _is_whole(launch):
    target = launch.case.target
    assert fidelity.psnr_db(launch.fidelity.mse) >= (
        100 if target.precision is Precision.FP32 else fidelity.gate_db(target.precision)
    )
    assert launch.placement.precision is target.precision
    assert launch.placement.device_name
    assert launch.samples.cold_ns > launch.samples.load_ns + launch.samples.first_tile_ns
    assert launch.samples.tile_ns
    assert launch.samples.image_ns
    assert launch.memory.peak_rss_bytes > 10_000_000
    assert launch.artifact.weights_sha256
    assert launch.energy.method
    assert launch.energy.joules is None or launch.energy.joules > 0


def _is_held_against_what_the_cpu_reaches(run):
    roofs = {(roof.device, roof.precision): roof for roof in run.record.attainable}
    assert roofs["cpu", Precision.FP32].gflops_s > 0
    assert roofs["cpu", Precision.FP32].gbytes_s > 0
    rows = [row for row in summarise(run) if row.target in FP32]
    assert all(row.attainable_percent for row in rows)


def _report_is_whole(folder):
    for name in ("index.html", "summary.md", "summary.csv"):
        assert (folder / name).stat().st_size > 500
    assert list(folder.glob("*.png"))


def test_the_same_seed_measures_the_same_pixels_in_the_same_order(esrbench, scripted, zero_checkpoint, tmp_path):
    from esrbench.target import Target
    from esrbench.testing import FakeScript

    targets = [Target(f"fake@cpu{index}:fp32") for index in range(4)]
    scripted([FakeScript(target=target) for target in targets])
    suite = write_suite(tmp_path / "seed.toml", zero_checkpoint, targets)
    runs = []
    for name in ("one", "two"):
        assert esrbench("bench", "--suite", suite, "--out", f"results/{name}", "--json").returncode == 0
        runs.append(store.read_run(tmp_path / "results" / name))
    assert runs[0].record.workloads == runs[1].record.workloads
    assert [launch.case for launch in runs[0].launches] == [launch.case for launch in runs[1].launches]


def test_json_is_one_document(esrbench, scripted, zero_checkpoint, tmp_path):
    from esrbench.target import Target
    from esrbench.testing import FakeScript

    target = Target("fake@cpu:fp32")
    scripted([FakeScript(target=target)])
    suite = write_suite(tmp_path / "json.toml", zero_checkpoint, [target])
    done = esrbench("bench", "--suite", suite, "--out", "results/json", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
