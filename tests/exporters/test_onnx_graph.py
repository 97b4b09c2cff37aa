from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import esrbench
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.exporter import ExportOptions
from esrbench.target import Precision
from esrbench_exporters.onnx_graph import OPSET, OnnxExporter

onnx = pytest.importorskip("onnx")
SPECS = [
    RRDBNetSpec(blocks=1, features=8, growth=4),
    RRDBNetSpec(blocks=1, features=8, growth=4, scale=2),
    SRVGGNetSpec(convs=1, features=8),
]


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
    described = {entry.key: entry.value for entry in model.metadata_props}
    assert described["model"] == "tiny"
    assert described["scale"] == str(tiny.spec.scale)
    assert described["weights_sha256"] == tiny.weights_sha256
    assert described["receptive_field_px"] == str(tiny.spec.receptive_field_px)


def test_the_graph_is_plain_and_names_no_folder_of_this_machine(tiny, exported):
    nodes = Counter(node.op_type for node in onnx.load(exported[0]).graph.node)
    assert not nodes.keys() & {"Shape", "Gather", "Reshape", "Transpose", "SpaceToDepth"}
    if isinstance(tiny.spec, RRDBNetSpec):
        assert (nodes["Conv"], nodes["Resize"], nodes["LeakyRelu"]) == (21, 2, 15)
    content = exported[0].read_bytes()
    assert str(Path(esrbench.__file__).parent).encode() not in content


def test_fp16_takes_and_makes_halves(random_model, tmp_path, picture, expected, psnr_db, capfd):
    tiny = random_model(SPECS[2])
    (path,) = OnnxExporter().export(tiny, ExportOptions(precision=Precision.FP16), tmp_path).paths
    assert path.name == "tiny-fp16.onnx"
    assert capfd.readouterr() == ("", "")
    pictures = picture(1, 3, 20, 28)
    found = run(path, pictures.astype(np.float16))
    assert found.dtype == np.float16
    assert psnr_db(found, expected(tiny, pictures)) > 45
