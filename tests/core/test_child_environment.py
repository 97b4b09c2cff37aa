"""What a child finds in its environment."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from esrbench import checkpoints, plugins, process
from esrbench.architecture import SRVGGNetSpec
from esrbench.errors import UsageError
from esrbench.system import child_environment

STEERING = {
    "OMP_THREAD_LIMIT": "1",
    "OMP_DYNAMIC": "true",
    "OMP_MAX_ACTIVE_LEVELS": "0",
    "OMP_PROC_BIND": "true",
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "GOMP_CPU_AFFINITY": "0",
    "KMP_BLOCKTIME": "0",
    "KMP_AFFINITY": "disabled",
    "MKL_DYNAMIC": "true",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_DEBUG_CPU_TYPE": "5",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Haswell",
    "ORT_DISABLE_CPU_FEATURES": "avx512f",
    "OV_CPU_SPARSE": "1",
    "OPENVINO_LOG_LEVEL": "5",
    "NCNN_THREADS": "1",
    "ATEN_CPU_CAPABILITY": "default",
    "TORCH_CPP_LOG_LEVEL": "INFO",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
    "PYTORCH_JIT": "0",
    "TRITON_INTERPRET": "1",
    "CUDA_LAUNCH_BLOCKING": "1",
    "NVIDIA_TF32_OVERRIDE": "1",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.check=0",
    "LD_PRELOAD": "",
    "LD_BIND_NOW": "1",
    "MESA_LOADER_DRIVER_OVERRIDE": "zink",
    "LP_NUM_THREADS": "1",
    "PYTHONMALLOC": "debug",
    "PYTHONOPTIMIZE": "1",
    "A_NAME_THAT_NOBODY_KNOWS": "1",
}


@pytest.fixture
def steered(monkeypatch):
    """This process's environment, full of switches that nothing has withdrawn yet."""
    child_environment.withdraw_steering.cache_clear()
    for name, value in STEERING.items():
        monkeypatch.setenv(name, value)


def withdraw():
    """Withdraw as a new process does: that of the tests did before."""
    child_environment.withdraw_steering.cache_clear()
    child_environment.withdraw_steering()


def environment_of_a_child(log, **asked):
    code = "import os; [print(f'{name}={value}') for name, value in os.environ.items()]"
    process.run([sys.executable, "-c", code], stdin=b"", log=log, threads=2, timeout_s=30, asked=asked)
    return dict(line.split("=", 1) for line in log.read_text(errors="replace").splitlines())


def test_no_variable_that_steers_a_runtime_reaches_a_launch(steered, tmp_path):
    found = environment_of_a_child(tmp_path / "log")
    assert not found.keys() & STEERING.keys()
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["PATH"] == os.environ["PATH"]


def test_a_variable_that_is_asked_for_reaches_a_launch_and_its_runner(steered, tmp_path, monkeypatch):
    found = environment_of_a_child(tmp_path / "log", OMP_PROC_BIND="close")
    assert found["OMP_PROC_BIND"] == "close"
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    withdraw()
    assert os.environ["OMP_PROC_BIND"] == "close"


def test_temporary_files_of_a_child_go_with_it(tmp_path):
    code = "import tempfile; open(tempfile.mkdtemp() + '/left', 'w'); print(tempfile.gettempdir())"
    process.run([sys.executable, "-c", code], stdin=b"", log=tmp_path / "log", threads=1, timeout_s=30)
    used = Path((tmp_path / "log").read_text().strip())
    assert used.parent == tmp_path
    assert list(tmp_path.iterdir()) == [tmp_path / "log"]


def test_the_telemetry_of_onnxruntime_is_off_in_children_and_where_a_runner_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "")  # so that the variable is put back after the test
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    assert environment_of_a_child(tmp_path / "log")["ORT_DISABLE_TELEMETRY"] == "1"
    withdraw()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


def test_what_is_dropped_is_named_where_it_is_known_to_steer(steered):
    assert set(STEERING) - set(child_environment.dropped()) == {"A_NAME_THAT_NOBODY_KNOWS"}


def test_what_chooses_libraries_and_devices_passes_and_is_recorded_with_its_value(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.fsdecode(b"/lib-\xff"))
    assert environment_of_a_child(tmp_path / "log")["CUDA_VISIBLE_DEVICES"] == "1"
    recorded = child_environment.recorded()
    assert (recorded["CUDA_VISIBLE_DEVICES"], recorded["LD_LIBRARY_PATH"]) == ("1", r"/lib-\xff")


def test_a_runner_in_this_process_reads_no_switch(steered):
    withdraw()
    assert os.environ.keys() & STEERING.keys() == {"A_NAME_THAT_NOBODY_KNOWS"}


@pytest.mark.parametrize("load", [checkpoints.read, lambda _: plugins.runner("torch")])
def test_switches_are_withdrawn_before_a_model_or_a_runner_brings_a_library(load, steered, tmp_path):
    shapes = SRVGGNetSpec(convs=1, features=4, scale=2).parameter_shapes()
    save_file({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, tmp_path / "net.safetensors")
    load(tmp_path / "net.safetensors")
    assert "OMP_THREAD_LIMIT" not in os.environ


def test_what_a_session_sets_for_its_library_is_not_withdrawn(monkeypatch):
    withdraw()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "its own")
    plugins.runner("torch")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "its own"


def test_variables_are_asked_for_as_name_and_value():
    assert child_environment.parsed(["A=1=2", "B="]) == {"A": "1=2", "B": ""}


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["A"], "write it as NAME=VALUE"),
        (["A=1", "A=2"], "given twice for A"),
        (["A B=1"], "letters, digits and _"),
        (["=1"], "letters, digits and _"),
        (["OMP_NUM_THREADS=1"], "give --threads instead"),
        (["ESRBENCH_PARENT=1"], "belongs to esrbench"),
    ],
)
def test_variables_that_cannot_be_set_are_refused(texts, says):
    with pytest.raises(UsageError, match=says):
        child_environment.parsed(texts)
