"""What pnnx itself writes, where it is installed; graphs that it wrote are read in every run of the tests."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from esrbench import checkpoints
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.exporter import ExportOptions
from esrbench_exporters.pytorch import PytorchExporter

CONVERT = """
import sys, torch, pnnx
from pathlib import Path
from esrbench import checkpoints, model
found = checkpoints.read(Path(sys.argv[1]))
side = 8 * found.spec.unshuffle
pnnx.export(model.network(found), "net.pt", (torch.rand(1, found.spec.in_channels, side, side),))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("pnnx") is None, reason="pnnx is not installed: pip install esrbench[compare]"
)
@pytest.mark.parametrize(
    "spec",
    [
        RRDBNetSpec(blocks=1, features=8, growth=4, scale=1),
        RRDBNetSpec(blocks=1, features=8, growth=4, scale=8, doublings=3),
        SRVGGNetSpec(convs=1, features=8, scale=3),
    ],
    ids=str,
)
def test_the_weights_come_back_in_fp16(spec, random_model, tmp_path):
    model = random_model(spec)
    checkpoint = PytorchExporter().export(model, ExportOptions(), tmp_path).paths[0]
    command = [sys.executable, "-W", "ignore", "-c", CONVERT, str(checkpoint)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = checkpoints.read(tmp_path / "net.ncnn.param")
    assert found.spec == spec
    for name, array in model.weights.items():
        if array.ndim == 4:  # half a step of fp16; pnnx makes zeros of its subnormal numbers
            np.testing.assert_allclose(found.weights[name], array, rtol=2**-11, atol=2**-14)
        else:  # biases and slopes stay fp32
            np.testing.assert_array_equal(found.weights[name], array)
