"""ONNX: one file, any batch, height and width."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from esrbench.artifact import ONNX
from esrbench.errors import ExportError
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

if TYPE_CHECKING:
    import torch

OPSET = 18  # what torch's exporter writes without converting, and old enough for every runtime in use
INPUT, OUTPUT = "input", "output"  # (N, 3, H, W) RGB in [0, 1] → (N, 3, scale*H, scale*W), unclamped
EXAMPLE = (2, 3, 16, 16)  # no side is 1: torch.export would take a 1 for a constant


class OnnxExporter(Exporter):
    """``NAME.onnx``, with fp32 or fp16 weights, input and output."""

    format = ONNX
    precisions = frozenset({Precision.FP32, Precision.FP16})

    def versions(self) -> dict[str, str]:
        """Of torch, whose exporter it is, and of what that writes with."""
        return library_versions("torch", "onnx", "onnxscript")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Export through ``torch.export``, check the file, and name its origin in it."""
        import torch  # noqa: PLC0415

        from esrbench.model import network, plain_convolutions  # noqa: PLC0415

        check_options(self, options)
        dtype = torch.float16 if options.precision is Precision.FP16 else torch.float32
        program = _program(plain_convolutions(network(model)).to(dtype), dtype)
        _describe(program, model)
        path = out_dir / f"{artifact_stem(model, options)}.onnx"
        program.save(path, external_data=False)
        _check(path)
        chosen = {"opset": str(OPSET), "input": INPUT, "output": OUTPUT, "io": options.precision.value}
        return ExportedFiles(paths=(path,), options=chosen, versions=self.versions())


def _program(net: "torch.nn.Module", dtype: "torch.dtype") -> "torch.onnx.ONNXProgram":
    import torch  # noqa: PLC0415

    with _quiet() as said:
        program = torch.onnx.export(
            net,
            (torch.zeros(EXAMPLE, dtype=dtype),),
            dynamo=True,
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"torch's ONNX exporter made nothing: {said.getvalue().strip()}")
    return program


@contextlib.contextmanager
def _quiet() -> Iterator[io.StringIO]:
    """Keep what torch's exporter prints, logs below errors and warns of itself off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level, said = logger.level, io.StringIO()
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.filterwarnings("ignore", category=category, module=r"(torch|onnxscript|copyreg)")
            yield said
    finally:
        logger.setLevel(level)


def _describe(program: "torch.onnx.ONNXProgram", model: Model) -> None:
    """Say what the file is; leave out the stack traces, which name folders of the machine that wrote it."""
    graph = program.model.graph
    for thing in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        thing.metadata_props.clear()
    for node in graph:
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    program.model.metadata_props.clear()
    program.model.metadata_props.update(
        {
            "model": model.name,
            "scale": str(model.spec.scale),
            "side_multiple_px": str(model.spec.unshuffle),
            "receptive_field_px": str(model.spec.receptive_field_px),
            "weights_sha256": model.weights_sha256,
        }
    )


def _check(path: Path) -> None:
    import onnx  # noqa: PLC0415

    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path.name} does not pass onnx's checker: {error}") from error
    opsets = {entry.domain: entry.version for entry in onnx.load(path).opset_import}
    if opsets.get("") != OPSET:
        raise ExportError(f"{path.name} has opset {opsets.get('')}; {OPSET} was asked for")
