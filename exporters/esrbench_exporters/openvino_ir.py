"""OpenVINO's intermediate representation, straight from the network: in seconds, as no ONNX lies between."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esrbench import __version__
from esrbench.artifact import OPENVINO
from esrbench.availability import library
from esrbench.exporter import (
    ExportedFiles,
    Exporter,
    ExportOptions,
    Model,
    artifact_stem,
    check_options,
    library_versions,
)
from esrbench.target import Precision
from esrbench_exporters.graph_shape import check_sides

if TYPE_CHECKING:
    import torch

INPUT, OUTPUT = "input", "output"  # (N, C, H, W) in [0, 1] → (N, C, scale*H, scale*W), unclamped
EXAMPLE = (1, 16, 16)  # (N, H, W) traced; 4 divides both sides


class OpenvinoExporter(Exporter):
    """``NAME-openvino.xml`` and ``.bin``; the fp16 form holds compressed weights, arithmetic is the device's.

    The ending keeps the weights apart from NCNN's ``NAME.bin`` in one folder.
    """

    format = OPENVINO
    precisions = frozenset({Precision.FP32, Precision.FP16})
    proved_by = ("openvino",)
    takes = frozenset({"shape"})

    def versions(self) -> dict[str, str]:
        """Of both libraries that write the graph."""
        return library_versions("openvino", "torch")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Trace, convert, name what it is, save."""
        check_options(self, options)
        check_sides(model, options)
        openvino = library("openvino", "esrbench[openvino]")
        graph = _converted(openvino, model, options)
        _describe(graph, model, options)
        path = out_dir / f"{artifact_stem(model, options)}-openvino.xml"
        openvino.save_model(graph, path, compress_to_fp16=options.precision is Precision.FP16)
        return ExportedFiles(
            paths=(path, path.with_suffix(".bin")),
            options={"input": INPUT, "output": OUTPUT},
            versions=self.versions(),
        )


def _converted(openvino: Any, model: Model, options: ExportOptions) -> Any:
    from esrbench.model import network, plain_convolutions  # noqa: PLC0415

    count, height, width = options.shape or (-1, -1, -1)
    shape = openvino.PartialShape([count, model.spec.in_channels, height, width])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # OpenVINO traces with TorchScript
        return openvino.convert_model(
            plain_convolutions(network(model)), example_input=_example(model, options), input=[shape]
        )


def _example(model: Model, options: ExportOptions) -> "torch.Tensor":
    import torch  # noqa: PLC0415

    count, height, width = options.shape or EXAMPLE
    return torch.zeros(count, model.spec.in_channels, height, width)


def _describe(graph: Any, model: Model, options: ExportOptions) -> None:
    graph.inputs[0].get_tensor().set_names({INPUT})
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    facts = {
        "version": __version__,
        "model": model.name,
        "scale": model.spec.scale,
        "colour_order": "RGB",
        "side_multiple_px": model.spec.unshuffle,
        "receptive_field_px": model.spec.receptive_field_px,
        "precision": options.precision.value,
        "weights_sha256": model.weights_sha256,
    }
    for name, value in facts.items():
        graph.set_rt_info(str(value), ["esrbench", name])
