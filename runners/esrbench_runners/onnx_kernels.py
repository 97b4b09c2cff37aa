"""Which kernels onnxruntime chose for an int8 graph, read from the graph that it wrote down after optimizing it."""

from collections import Counter
from pathlib import Path

from esrbench.artifact import INT8_CONVOLUTIONS, Artifact
from esrbench.availability import library
from esrbench.errors import PlacementError
from esrbench.target import Target

INTEGER_CONVOLUTION = "QLinearConv"


def operations(optimized: Path) -> dict[str, int]:
    """Operation → how many nodes.

    Raises:
        UnavailableError: the package onnx, which reads such graphs, is not installed.
    """
    onnx = library("onnx", "esrbench[onnxruntime]")
    nodes = onnx.load(optimized).graph.node
    return dict(sorted(Counter(node.op_type for node in nodes).items()))


def refuse_float_convolutions(target: Target, artifact: Artifact, kernels: dict[str, int]) -> None:
    """Every convolution that the artifact holds in int8 must run in integers.

    Raises:
        PlacementError: some run in float: onnxruntime does so wherever it finds no integer kernel, and says nothing.
    """
    asked, found = int(artifact.options.get(INT8_CONVOLUTIONS, "0")), kernels.get(INTEGER_CONVOLUTION, 0)
    if not asked or found < asked:
        raise PlacementError(
            f"{target}: {asked} convolutions are int8 in {artifact.files[0].name}, onnxruntime runs {found} of them in "
            "integers",
            "measure onnxruntime@cpu:fp32",
        )
