"""ONNX graphs that take and give pictures as bytes."""

import numpy as np
import pytest

from esrbench import images, tiling
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import Interface
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.onnx_graph import OnnxExporter
from esrbench_exporters.picture_network import reflected

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

SPECS = [
    *(RRDBNetSpec(blocks=1, features=8, growth=4, scale=scale) for scale in (4, 2, 1)),
    SRVGGNetSpec(convs=1, features=8),
]
SHAPES = [(1, 37, 53), (2, 24, 24), (1, 1, 48), (1, 5, 1), (3, 2, 3), (1, 1, 1)]


@pytest.fixture(scope="module", params=SPECS, ids=str)
def tiny(request, random_model):
    return random_model(request.param)


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    options = ExportOptions(io=Interface.IMAGE)
    (path,) = OnnxExporter().export(tiny, options, tmp_path_factory.mktemp("onnx")).paths
    return path


def run(path, pictures):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["upscaled"], {"image": pictures})[0]


@pytest.mark.parametrize("multiple", [2, 4])
@pytest.mark.parametrize("side", range(1, 12))
def test_sides_grow_as_they_do_in_a_tile_plan(side, multiple):
    column = np.arange(side, dtype=np.uint8)[:, None, None]
    grown = tiling.padded(column, (*tiling.divisible(side, 1, multiple)[:1], 1))
    assert reflected(side, multiple).tolist() == grown[:, 0, 0].tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_any_size_comes_out_as_the_network_rounded(shape, tiny, exported, expected):
    count, height, width = shape
    photo = images.sample("coffee")[100 : 100 + height]
    pictures = np.stack([photo[:, n * width : (n + 1) * width] for n in range(count)])
    grown = tiling.divisible(height, width, tiny.spec.unshuffle)
    planes = np.stack([tiling.padded(picture, grown) for picture in pictures]).transpose(0, 3, 1, 2)
    scale = tiny.spec.scale
    right = expected(tiny, planes.astype(np.float32) / 255)[:, :, : height * scale, : width * scale]
    found = run(exported, pictures)
    assert (found.dtype, found.shape) == (np.uint8, (count, height * scale, width * scale, 3))
    off = np.abs(found / 255 - np.clip(right.transpose(0, 2, 3, 1), 0, 1))
    assert off.max() * 255 < 0.5 + 1e-3


def test_it_says_that_it_takes_pictures_of_any_size(tiny, exported):
    assert exported.name == "tiny-image.onnx"
    model = onnx.load(exported)
    described = {entry.key: entry.value for entry in model.metadata_props}
    assert (described["io"], described["side_multiple_px"]) == ("image", "1")
    (made,) = model.graph.output
    prefix = "" if tiny.spec.scale == 1 else f"{tiny.spec.scale}*"
    sides = [side.dim_param or side.dim_value for side in made.type.tensor_type.shape.dim]
    assert sides == ["batch", f"{prefix}height", f"{prefix}width", 3]


def test_half_precision_stays_inside(random_model, tmp_path):
    tiny = random_model(SPECS[1])
    picture = images.sample("coffee")[None, :21, :30]
    single, half = (
        run(OnnxExporter().export(tiny, options, tmp_path).paths[0], picture).astype(int)
        for options in (
            ExportOptions(io=Interface.IMAGE),
            ExportOptions(io=Interface.IMAGE, precision=Precision.FP16),
        )
    )
    assert 0 < np.abs(half - single).max() <= 2


def test_values_beyond_white_and_black_are_cut_off(random_model, tmp_path):
    tiny = random_model(SPECS[3])
    weights = dict(tiny.weights)
    last = max(weights, key=lambda name: int(name.split(".")[1]))
    bias = last.replace("weight", "bias")
    weights[bias] = np.where(np.arange(weights[bias].size) < weights[bias].size // 2, 100, -100).astype(np.float32)
    model = type(tiny)(name="tiny", spec=tiny.spec, weights=weights, weights_sha256="", source="")
    (path,) = OnnxExporter().export(model, ExportOptions(io=Interface.IMAGE), tmp_path).paths
    assert set(np.unique(run(path, images.sample("coffee")[None, :8, :8]))) == {0, 255}
