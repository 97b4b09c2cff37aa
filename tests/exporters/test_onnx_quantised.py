"""ONNX in 8-bit integers: what is rounded, what stays float, how the picture fares, what cannot be rounded."""

from collections import Counter

import numpy as np
import pytest

from esrbench import images
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import INT8_CONVOLUTIONS, ONNX, Interface
from esrbench.errors import ExportError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.fidelity import gate_db
from esrbench.fidelity import psnr_db as db_of
from esrbench.runner import float_tiles
from esrbench.target import Precision
from esrbench_exporters import calibration
from esrbench_exporters.onnx_graph import OnnxExporter
from esrbench_exporters.onnx_quantised import quantise

onnx = pytest.importorskip("onnx")
INT8 = ExportOptions(precision=Precision.INT8)
DENSE = RRDBNetSpec(blocks=1, features=8, growth=4)
SPECS = [DENSE, RRDBNetSpec(blocks=1, features=8, growth=4, scale=2), SRVGGNetSpec(convs=1, features=8)]


@pytest.fixture(scope="module")
def dense(random_model, tmp_path_factory):
    """The model of a dense network, and its int8 export."""
    model = random_model(DENSE)
    return model, OnnxExporter().export(model, INT8, tmp_path_factory.mktemp("dense"))


def rounded(model, folder, options=INT8):
    return OnnxExporter().export(model, options, folder).paths[0]


def drawn(path, given):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, given)[0]


def photo(height, width):
    crop = images.sample("astronaut")[100 : 100 + height, 200 : 200 + width]
    return np.ascontiguousarray(float_tiles(crop[None]).transpose(0, 3, 1, 2))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_every_architecture_draws_its_picture_in_int8(spec, dense, random_model, tmp_path, expected, psnr_db):
    model = random_model(spec)
    path = dense[1].paths[0] if spec is DENSE else rounded(model, tmp_path)
    given = photo(20, 28)
    assert psnr_db(drawn(path, {"input": given}), expected(model, given)) > gate_db(Precision.INT8)


def test_all_convolutions_but_the_first_and_the_last_read_bytes_and_integer_weights(dense):
    files = dense[1]
    graph = onnx.load(files.paths[0]).graph
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    read = [[made_by.get(name) for name in node.input] for node in convolutions]
    assert files.options[INT8_CONVOLUTIONS] == str(len(convolutions) - 2)
    assert all(made == ["DequantizeLinear"] * 3 for made in read[1:-1])
    assert "DequantizeLinear" not in [*read[0], *read[-1]]
    types = Counter(weight.data_type for weight in graph.initializer if len(weight.dims) == 4)
    assert types == {onnx.TensorProto.INT8: len(convolutions) - 2, onnx.TensorProto.FLOAT: 2}


def test_the_parts_of_a_dense_block_share_one_step_and_residual_sums_stay_float(dense):
    graph = onnx.load(dense[1].paths[0]).graph
    made_by = {output: node for node in graph.node for output in node.output}
    for block in [node for node in graph.node if node.op_type == "Concat"]:
        parts = [made_by[name] for name in block.input]
        (reader,) = [node for node in graph.node if block.output[0] in node.input]
        assert {part.op_type for part in parts} == {"DequantizeLinear"}
        assert reader.op_type == "QuantizeLinear"
        assert len({tuple(node.input[1:]) for node in [*parts, reader]}) == 1
    sums = [node for node in graph.node if node.op_type == "Add"]
    kept = [name for node in sums for name in node.input if made_by[name].op_type in {"Add", "Conv"}]
    assert len(kept) >= len(sums)  # each has the stream itself, not a rounding of it, on one side


def test_an_int8_export_is_the_same_bytes_each_time(dense, tmp_path):
    model, files = dense
    assert rounded(model, tmp_path).read_bytes() == files.paths[0].read_bytes()


def test_pictures_and_a_fixed_shape_can_be_rounded_too(random_model, tmp_path):
    model = random_model(DENSE)
    fixed = rounded(model, tmp_path, ExportOptions(precision=Precision.INT8, shape=(1, 16, 16)))
    assert fixed.name == "tiny-int8-1x16x16.onnx"
    pictures = rounded(model, tmp_path, ExportOptions(precision=Precision.INT8, io=Interface.IMAGE))
    image = images.sample("astronaut")[None, 100:116, 200:216]
    planes = drawn(fixed, {"input": np.ascontiguousarray(float_tiles(image).transpose(0, 3, 1, 2))})
    bytes_ = drawn(pictures, {"image": np.ascontiguousarray(image)})
    clipped = np.rint(np.clip(planes, 0, 1) * 255).transpose(0, 2, 3, 1)
    assert np.abs(bytes_.astype(int) - clipped).max() <= 1


def test_a_network_of_two_convolutions_has_nothing_to_round(random_model, tmp_path):
    with pytest.raises(ExportError, match="int8 keeps the first and the last convolution in float"):
        rounded(random_model(SRVGGNetSpec(convs=0, features=4)), tmp_path)


def test_a_graph_of_other_convolutions_than_the_network_ran_is_refused(dense):
    onnx_ir = pytest.importorskip("onnx_ir")
    model, files = dense
    with pytest.raises(ExportError, match="the graph has 21 convolutions, the network ran 20"):
        quantise(onnx_ir.load(files.paths[0]), calibration.convolution_spans(model, calibration.pictures(model))[1:])


def test_it_is_not_calibrated_on_what_is_measured_or_proved(random_model):
    from esrbench import proof, suite

    measured = {plan.image for name in suite.preset_names() for plan in suite.load(name).workloads}
    assert not set(calibration.PHOTOS) & {proof.PHOTO, *measured}
    given = calibration.pictures(random_model(DENSE))
    assert given.shape == (len(calibration.PHOTOS) * calibration.CROPS, 3, 48, 48)
    assert calibration.identity(given) == calibration.identity(calibration.pictures(random_model(DENSE)))
    assert calibration.identity(given) != calibration.identity(given[:, :, ::-1].copy())


def test_spans_hold_every_value_that_a_convolution_meets(random_model):
    import torch

    from esrbench.model import network

    model = random_model(DENSE)
    given = calibration.pictures(model)
    spans = calibration.convolution_spans(model, given)
    first = network(model).conv_first(torch.from_numpy(given)).detach().numpy()
    assert len(spans) == 21
    assert (spans[0].given.low, spans[0].given.high) == (min(given.min(), 0), given.max())
    assert spans[0].made.low == pytest.approx(min(first.min(), 0), rel=1e-5)
    assert spans[0].made.high == pytest.approx(max(first.max(), 0), rel=1e-5)


@pytest.mark.weights
@pytest.mark.slow
def test_a_real_network_in_int8_passes_its_gate_by_far(tmp_path):
    pytest.importorskip("onnxruntime")
    artifact = ensure_artifact("realesrgan-x4plus-anime", ONNX, INT8, cache=tmp_path / "cache").artifact
    assert artifact.proof is not None
    assert artifact.proof.arithmetic is Precision.INT8
    assert db_of(artifact.proof.mse) > gate_db(Precision.INT8) + 2
