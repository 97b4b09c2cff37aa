"""Real runs beside variables that steer runtimes: the same picture, precision and threads as without them."""

import subprocess
import sys

import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.target import Precision

SUITE = """
name = "steered"
model = "realesr-animevideov3"
targets = ["torch@cpu:fp32", "onnxruntime@cpu:fp32", "ncnn@cpu:fp32"]
budget_s = 60
max_rounds = 1
control = false
warmup_s = 0.2
measure_s = 0.4
roofline = false
tune = false
[[workloads]]
image = "astronaut"
middle = 48
tile = 32
halo = 8
"""

WORST = {
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OMP_THREAD_LIMIT": "1",
    "OMP_MAX_ACTIVE_LEVELS": "0",
    "ATEN_CPU_CAPABILITY": "default",
    "MALLOC_ARENA_MAX": "1",
}


@pytest.fixture
def bench(environment, tmp_path):
    """Run the suite beside these variables; returns what was recorded and what was said."""
    (tmp_path / "suite.toml").write_text(SUITE)

    def bench(name, variables, *options):
        command = [sys.executable, "-m", "esrbench", "bench", "--suite", "suite.toml", "--threads", "2", "--out", name]
        steered = environment | variables
        done = subprocess.run(
            [*command, *options], cwd=tmp_path, env=steered, capture_output=True, text=True, check=False, timeout=240
        )
        return store.read_run(tmp_path / name), done.stderr

    return bench


@pytest.mark.slow
def test_what_steers_runtimes_changes_nothing_where_it_was_not_asked_for(bench):
    run, said = bench("steered", WORST)
    assert [launch.status for launch in run.launches] == [Status.OK] * 3
    for launch in run.launches:
        assert launch.placement.precision is Precision.FP32
        assert launch.fidelity.mse < 1e-12  # 120 dB
        assert launch.reference_check.mse < 1e-12
        assert launch.threads_at_work.busy_threads >= 2
    assert set(run.record.launch_environment.dropped) >= WORST.keys()
    assert all(name in said for name in WORST)


@pytest.mark.slow
def test_what_was_asked_for_reaches_launches_and_is_seen_by_the_measured_threads(bench):
    run, _ = bench("asked", {}, "--env", "OMP_THREAD_LIMIT=1", "--target", "ncnn@cpu:fp32")
    (launch,) = run.launches
    assert run.record.launch_environment.asked == {"OMP_THREAD_LIMIT": "1"}
    assert launch.threads_at_work.busy_threads == 1
