"""ONNX graphs of pictures, of one shape and of halves, as sessions run them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from esrbench import images, plugins
from esrbench.artifact import ONNX, Interface, LocatedArtifact
from esrbench.errors import EsrbenchError, UnavailableError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.runner import LoadOptions, Session, float_tiles, like_input
from esrbench.target import Precision, Target

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SHAPE = (2, 12, 19)
TARGET = Target("onnxruntime@cpu:fp32")
FLOAT16 = 10  # onnx.TensorProto.FLOAT16

Exported = Callable[[ExportOptions], LocatedArtifact]


@pytest.fixture(scope="module")
def exported(checkpoint: Path, artifact_cache: Path) -> Exported:
    return lambda options: ensure_artifact(str(checkpoint), ONNX, options, cache=artifact_cache)


@pytest.fixture(scope="module")
def pictures():
    photo = images.sample("chelsea")[100:112, 200:238]
    return np.ascontiguousarray(photo.reshape(12, 2, 19, 3).transpose(1, 0, 2, 3))


def opened(artifact: LocatedArtifact, shape: tuple[int, int, int] = SHAPE) -> Session:
    return plugins.runner("onnxruntime").load(artifact, TARGET, LoadOptions(threads=1, tile_shape=shape))


def test_a_graph_of_pictures_draws_what_a_session_of_planes_draws(exported, pictures):
    with opened(exported(ExportOptions())) as planes, opened(exported(ExportOptions(io=Interface.IMAGE))) as bytes_:
        right = planes.run(float_tiles(pictures))
        found = bytes_.run(pictures)
    assert right.min() < 0  # or clamping would not be seen
    assert right.max() > 1
    assert np.array_equal(found, like_input(right, pictures))


def test_a_graph_of_pictures_takes_no_floats(exported, pictures):
    with (
        opened(exported(ExportOptions(io=Interface.IMAGE))) as session,
        pytest.raises(
            EsrbenchError, match=r"tiny-image\.onnx takes pictures of bytes, it was given float32; give uint8"
        ),
    ):
        session.run(float_tiles(pictures))


def test_a_graph_of_one_shape_refuses_others_by_name(exported, pictures):
    only = exported(ExportOptions(shape=SHAPE))
    message = r"tiny-2x12x19\.onnx takes 2×12×19 \(N×H×W\) alone, it was given 1×12×19; export it without --shape"
    with pytest.raises(EsrbenchError, match=message):
        opened(only, (1, 12, 19))
    with opened(only) as session:
        assert session.run(pictures).shape == (2, 48, 76, 3)
        with pytest.raises(EsrbenchError, match=message):
            session.run(pictures[:1])


@pytest.mark.parametrize("io", list(Interface))
def test_a_proof_in_halves_says_what_they_were_computed_in(io, exported, tmp_path):
    """The graph as onnxruntime optimized it has the types of its kernels: single precision, on all CPUs but ARM."""
    import onnx

    artifact = exported(ExportOptions(precision=Precision.FP16, io=io))
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(artifact.path(), settings, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    halves = {weight.name for weight in graph.initializer if weight.data_type == FLOAT16}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    computed_in = Precision.FP16 if all(node.input[1] in halves for node in convolutions) else Precision.FP32
    proof = artifact.artifact.proof
    assert proof is not None
    assert proof.runtime == "onnxruntime"
    assert proof.arithmetic is computed_in


def test_openvino_takes_no_pictures(exported):
    pytest.importorskip("openvino")
    artifact = exported(ExportOptions(io=Interface.IMAGE))
    with pytest.raises(UnavailableError, match=r"openvino@cpu:fp32 feeds planes, tiny-image\.onnx takes pictures"):
        plugins.runner("openvino").load_for_proof(artifact, LoadOptions(threads=1, tile_shape=SHAPE))
