"""The ONNX files load in an onnxruntime of 2023, which knows no IR version above 9."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esrbench.architecture import RRDBNetSpec
from esrbench.artifact import Interface
from esrbench.exporter import ExportOptions
from esrbench.target import Precision

onnxruntime = pytest.importorskip("onnxruntime")
OLD = ("onnxruntime==1.16.3", "numpy<2")
DRAW = """
import sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
np.save(sys.argv[3], session.run(None, {session.get_inputs()[0].name: np.load(sys.argv[2])})[0])
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def old_python(tmp_path_factory) -> Path:
    """The interpreter of a virtual environment with the old onnxruntime."""
    folder = tmp_path_factory.mktemp("old")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *OLD]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{' '.join(OLD)} cannot be installed here: {done.stderr.strip()[-300:]}")
    return python


@pytest.mark.parametrize(
    "options",
    [
        ExportOptions(),
        ExportOptions(opset=15),
        ExportOptions(precision=Precision.FP16),
        ExportOptions(precision=Precision.INT8),
        ExportOptions(io=Interface.IMAGE),
    ],
    ids=["fp32", "opset15", "fp16", "int8", "image"],
)
def test_an_old_onnxruntime_draws_what_todays_draws(options, old_python, random_model, tmp_path):
    from esrbench_exporters.onnx_graph import OnnxExporter

    model = random_model(RRDBNetSpec(blocks=1, features=8, growth=4))
    path = OnnxExporter().export(model, options, tmp_path).paths[0]
    given, made = tmp_path / "given.npy", tmp_path / "made.npy"
    np.save(given, example(options))
    subprocess.run([old_python, "-c", DRAW, path, given, made], check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    now = session.run(None, {session.get_inputs()[0].name: np.load(given)})[0]
    then = np.load(made)
    assert then.dtype == now.dtype
    tolerance = 1 if now.dtype == np.uint8 else 0.02 if options.precision is not Precision.FP32 else 1e-5
    assert np.abs(then.astype(float) - now).max() <= tolerance


def example(options: ExportOptions) -> np.ndarray:
    random = np.random.default_rng(0)
    if options.io is Interface.IMAGE:
        return random.integers(0, 256, (1, 17, 22, 3), dtype=np.uint8)
    dtype = np.float16 if options.precision is Precision.FP16 else np.float32
    return random.random((1, 3, 17, 22), dtype=np.float32).astype(dtype)
