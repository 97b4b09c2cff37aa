"""What is probed for which target, what becomes of a probe that fails, and the probe itself on small convolutions."""

import subprocess
import sys

import pytest
from msgspec.structs import replace
from recorded import workload

from esrbench import attainable, attainable_worker
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.attainable import ProbeJob, Shape
from esrbench.process import Ended
from esrbench.record import Attainable, Noise
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision, Target

X4PLUS = RRDBNetSpec(blocks=23)
TINY = ProbeJob(
    device="cpu",
    precisions=(Precision.FP32,),
    shapes=(Shape(before=8, after=4, share=0.4), Shape(before=4, after=8, share=0.5)),
    sizes=((1, 8),),
    threads=1,
)


def entry(target, name="a CPU", type_=DeviceType.CPU):
    return Availability(target=Target(target), usable=True, device_name=name, device_type=type_)


@pytest.fixture
def asked(monkeypatch):
    """Jobs that were given to processes; each is answered with a rate."""
    jobs = []

    def answer(job):
        jobs.append(job)
        return tuple(
            Attainable(device=job.device, precision=precision, gflops_s=100.0 + place, gbytes_s=9.0, how="scripted")
            for place, precision in enumerate(job.precisions)
        )

    monkeypatch.setattr(attainable, "_ask", answer)
    monkeypatch.setattr(attainable, "cpu_features", lambda: ("avx2", "avx512_bf16"))
    monkeypatch.setattr(attainable, "device_names", lambda: ("NVIDIA A", "NVIDIA B"))
    return jobs


def probe(*entries):
    found = attainable.probe(X4PLUS, [workload(tile=64)], entries, threads=2)
    return {(each.device, each.precision.value): each for each in found}


def test_the_shapes_are_those_that_carry_the_network():
    shapes = attainable.shapes_of(X4PLUS.convolutions())
    assert [(shape.before, shape.after) for shape in shapes] == [
        *((64, 32), (96, 32), (128, 32), (160, 32), (192, 64)),
        (64, 64),
    ]
    assert 0.99 < sum(shape.share for shape in shapes) < 1
    assert shapes[4].share == pytest.approx(69 * 9 * 192 * 64 / X4PLUS.macs_per_input_px())


def test_the_compact_network_is_probed_with_its_own_shapes():
    shapes = attainable.shapes_of(SRVGGNetSpec(convs=16).convolutions())
    assert [(shape.before, shape.after) for shape in shapes] == [(64, 64), (64, 48)]


def test_sizes_are_the_workloads_own_and_one_that_suits_but_none_too_large():
    plans = [workload(tile=48), workload(tile=48, batch=4), workload(tile=64), workload(tile=512)]
    assert attainable.sizes_of(plans, "cpu", 1) == ((1, 48), (4, 48), (1, 64))
    assert attainable.sizes_of([workload(tile=64)], "cpu", 2) == ((1, 32), (1, 64))
    assert attainable.sizes_of([workload(tile=512, batch=2)], "cuda", 1) == ((2, 512), (1, 512))


def test_each_device_is_asked_once_for_the_precisions_of_its_targets(asked):
    found = probe(
        *(entry(f"{runtime}@cpu:{precision}") for runtime in ("torch", "ncnn") for precision in ("fp32", "bf16")),
        entry("torch@cuda1:tf32", "NVIDIA B", DeviceType.GPU),
    )
    assert [(job.device, job.precisions) for job in asked] == [
        ("cpu", (Precision.FP32, Precision.BF16)),
        ("cuda1", (Precision.TF32,)),
    ]
    assert found["cpu", "bf16"].gflops_s == 101


def test_a_vulkan_device_is_held_against_the_cuda_device_of_its_name(asked):
    found = probe(entry("ncnn@vulkan:fp16", "NVIDIA B", DeviceType.GPU))
    assert [job.device for job in asked] == ["cuda1"]
    assert found["vulkan", "fp16"].gflops_s == 100
    assert found["vulkan", "fp16"].how == "as cuda1, the same GPU: scripted"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (entry("ncnn@vulkan:fp32", "llvmpipe", DeviceType.SOFTWARE), "llvmpipe is software"),
        (entry("ncnn@vulkan:fp32", "Radeon", DeviceType.GPU), "Radeon cannot be told to be a CUDA device"),
        (entry("onnxruntime@cpu:int8"), "no probe for int8 on a CPU"),
        (entry("ncnn@cpu:fp16"), "no probe for fp16 on a CPU"),
        (entry("torch@cuda:int8", "NVIDIA A", DeviceType.GPU), "no probe for int8 on a GPU"),
        (entry("mnn@metal:fp32", "M4", DeviceType.GPU), "no probe for metal devices"),
    ],
)
def test_what_cannot_be_told_is_unknown_and_says_why(asked, given, reason):
    (found,) = probe(given).values()
    assert (found.gflops_s, found.gbytes_s) == (None, None)
    assert reason in found.how
    assert not asked


def test_bf16_without_instructions_for_it_is_unknown(asked, monkeypatch):
    monkeypatch.setattr(attainable, "cpu_features", lambda: ("avx2",))
    assert "no bf16 arithmetic" in probe(entry("ncnn@cpu:bf16"))["cpu", "bf16"].how
    assert not asked


@pytest.mark.parametrize(
    ("ended", "words", "reason"),
    [
        (Ended(exit_code=1, timed_out=False, wall_ns=1), "ModuleNotFoundError: torch", "ModuleNotFoundError: torch"),
        (Ended(exit_code=-9, timed_out=False, wall_ns=1), "", "ended with code -9"),
        (Ended(exit_code=-9, timed_out=True, wall_ns=1), "tuning", "did not end within 120 s"),
    ],
)
def test_a_probe_that_fails_leaves_the_rate_unknown_and_says_why(monkeypatch, ended, words, reason):
    def run(command, *, stdin, log, threads, timeout_s):
        log.write_text(words, encoding="utf-8")
        return ended

    monkeypatch.setattr(attainable, "run", run)
    (found,) = attainable._ask(TINY)
    assert found.gflops_s is None
    assert reason in found.how


def test_a_machine_that_was_busy_meanwhile_is_remarked_on():
    quiet = (Attainable(device="cpu", precision=Precision.FP32, gflops_s=1.0, gbytes_s=1.0, how="so"),)
    assert attainable._remarked(quiet, Noise(other_cores=0.01)) == quiet
    assert attainable._remarked(quiet, Noise()) == quiet
    (busy,) = attainable._remarked(quiet, Noise(other_cores=0.45))
    assert "other processes used 45% of a core" in busy.how


def test_each_is_visited_in_turn_until_the_budget_ends_and_its_fastest_call_counts():
    clock, order, times = Ticks(), [], {"a": iter([5, 3, 4, 4]), "b": iter([2, 9, 9, 1])}

    def trial(key):
        def run():
            order.append(key)
            clock.now += 1
            return next(times[key])

        return run

    found = attainable_worker.fastest({key: trial(key) for key in times}, 7, clock_s=clock)
    assert order == ["a", "b"] * 4
    assert found == {"a": 3, "b": 1}


def test_what_looks_disturbed_is_visited_again_until_a_limit():
    clock = Ticks()

    def slow():
        clock.now += 1
        return 1.0

    attainable_worker.fastest({"a": slow}, 3, lambda best_s: clock.now >= 5, clock)
    assert clock.now == 5
    attainable_worker.fastest({"a": slow}, 3, lambda best_s: False, clock)
    assert clock.now == 5 + attainable_worker.LIMIT_S


def test_rates_are_weighted_by_the_time_that_their_shares_take():
    first, second = TINY.shapes
    assert attainable_worker.together({first: 100, second: 50}) == pytest.approx(0.9 / (0.4 / 100 + 0.5 / 50))
    assert attainable_worker.is_likely({first: 100, second: 50})
    assert not attainable_worker.is_likely({first: 100, second: 49})


def test_both_forms_of_a_convolution_draw_the_same(monkeypatch):
    import torch

    with torch.inference_mode():
        forms = attainable_worker._forms(TINY.shapes[0], 2, 8, torch.float32, torch.device("cpu"))
        results = [call() for call in forms.values()]
    assert results[0].shape == (2, 4, 8, 8)
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_the_probe_finds_rates_of_this_cpu_in_a_process_of_its_own(monkeypatch):
    (found,) = attainable._ask(TINY)
    assert found.gflops_s is not None, found.how
    assert found.gflops_s > 0
    assert found.gbytes_s > 0
    assert "2 convolutions of the network at 1×8² px" in found.how


def test_a_device_that_torch_lacks_is_unknown():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    (found,) = attainable._ask(replace(TINY, device="cuda"))
    assert found.gflops_s is None
    assert "finds no CUDA device" in found.how


def test_asking_loads_no_torch():
    code = "import sys, esrbench.attainable; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_devices_are_named_as_torch_counts_them():
    import torch

    assert attainable_worker.torch_device("cpu") == torch.device("cpu")
    assert attainable_worker.torch_device("cuda") == torch.device("cuda", 0)
    assert attainable_worker.torch_device("cuda1") == torch.device("cuda", 1)


class Ticks:
    now = 0

    def __call__(self):
        return self.now
