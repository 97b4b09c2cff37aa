"""Int8 on the CPU: which kernels run is read back, and a runtime that computes in float is found out."""

from collections.abc import Callable

import msgspec
import pytest

from esrbench import plugins
from esrbench.artifact import INT8_CONVOLUTIONS, ONNX, Format, LocatedArtifact
from esrbench.errors import PlacementError
from esrbench.runner import LoadOptions, Session
from esrbench.target import Precision, Target

GetArtifact = Callable[[Format, Precision], LocatedArtifact]

OPTIONS = LoadOptions(threads=1, tile_shape=(1, 8, 8))
CONVOLUTIONS = 21  # of the tiny network


def opened(runtime: str, artifact: LocatedArtifact) -> Session:
    pytest.importorskip(runtime)
    return plugins.runner(runtime).load(artifact, Target.of(runtime, "cpu", Precision.INT8), OPTIONS)


def claiming(artifact: LocatedArtifact, options: dict[str, str]) -> LocatedArtifact:
    """The same files, said to be int8 with these options."""
    changed = msgspec.structs.replace(artifact.artifact, precision=Precision.INT8, options=options)
    return LocatedArtifact(artifact=changed, folder=artifact.folder)


@pytest.mark.parametrize(
    ("runtime", "integer", "whole"),
    [
        ("onnxruntime", {"QLinearConv"}, {"Conv", "FusedConv"}),
        ("openvino", {"Convolution u8", "Convolution i8"}, {"Convolution f32", "Convolution bf16"}),
    ],
)
def test_the_placement_counts_convolutions_in_integers_and_in_float(
    runtime: str, integer: set[str], whole: set[str], get_artifact: GetArtifact
) -> None:
    with opened(runtime, get_artifact(ONNX, Precision.INT8)) as session:
        nodes = session.placement().nodes
    assert sum(nodes.get(name, 0) for name in integer) == CONVOLUTIONS - 2
    assert sum(nodes.get(name, 0) for name in whole) == 2


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("options", [{INT8_CONVOLUTIONS: "19"}, {}], ids=["claims 19", "claims nothing"])
def test_convolutions_that_run_in_float_are_not_taken_for_int8(
    runtime: str, options: dict[str, str], get_artifact: GetArtifact
) -> None:
    artifact = claiming(get_artifact(ONNX, Precision.FP32), options)
    with pytest.raises(PlacementError, match=rf"{runtime}@cpu:int8: (19|0) convolutions are int8 in tiny\.onnx"):
        opened(runtime, artifact)


def test_one_convolution_that_fell_back_is_found_out(get_artifact: GetArtifact) -> None:
    artifact = claiming(get_artifact(ONNX, Precision.INT8), {INT8_CONVOLUTIONS: "20"})
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(PlacementError, match="20 convolutions are int8"):
            opened(runtime, artifact)


def test_an_int8_graph_does_not_run_as_fp32(get_artifact: GetArtifact) -> None:
    pytest.importorskip("onnxruntime")
    artifact = get_artifact(ONNX, Precision.INT8)
    with pytest.raises(PlacementError, match="onnxruntime@cpu:fp32: the artifact is int8"):
        plugins.runner("onnxruntime").load(artifact, Target("onnxruntime@cpu:fp32"), OPTIONS)


def test_int8_is_offered_on_the_cpu_alone() -> None:
    targets = [entry.target for name in ("onnxruntime", "openvino") for entry in plugins.runner(name).targets()]
    assert {target.device_kind for target in targets if target.precision is Precision.INT8} == {"cpu"}
