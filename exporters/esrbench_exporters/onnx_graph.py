"""ONNX: one file, with planes or pictures as input and output, any size or one."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esrbench import __version__
from esrbench.artifact import ONNX, Interface
from esrbench.errors import ExportError, UsageError
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

OPSET = 18
"""What torch's exporter writes without converting, and old enough for every runtime in use."""

OPSETS = range(15, 25)
"""What its converter reaches from there, with these networks: below, it leaves 18 and says nothing (torch 2.13)."""

NAMES = {Interface.FLOAT: ("input", "output"), Interface.IMAGE: ("image", "upscaled")}

_ANY_SIZE = 1 << 40

EXAMPLE = (2, 16, 16)
"""(N, H, W): no side is 1, which torch.export would take for a constant; 4 divides both sides."""


class OnnxExporter(Exporter):
    """``NAME.onnx``. Planes have the weights' type; pictures are bytes whatever is inside."""

    format = ONNX
    precisions = frozenset({Precision.FP32, Precision.FP16})
    takes = frozenset({"io", "shape", "opset"})

    def versions(self) -> dict[str, str]:
        """Of torch, whose exporter it is, and of what that writes with."""
        return library_versions("torch", "onnx", "onnxscript", "onnx_ir")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Export through ``torch.export``, tidy the graph, name its origin in it, check the file."""
        check_options(self, options)
        _check_request(model, options)
        program = _program(model, options)
        _tidy(program.model)
        _describe(program.model, model, options)
        path = out_dir / f"{artifact_stem(model, options)}.onnx"
        program.save(path, external_data=False)
        _check(path, options.opset or OPSET)
        given, made = NAMES[options.io]
        chosen = {"opset": str(options.opset or OPSET), "input": given, "output": made}
        return ExportedFiles(paths=(path,), options=chosen, versions=self.versions())


def _check_request(model: Model, options: ExportOptions) -> None:
    spec = model.spec
    if options.opset is not None and options.opset not in OPSETS:
        raise UsageError(f"opset {options.opset} was asked for; choose one from {OPSETS[0]} to {OPSETS[-1]}")
    if options.io is Interface.IMAGE and (spec.in_channels, spec.out_channels) != (3, 3):
        raise UsageError(
            f"{model.name} takes {spec.in_channels} channels and makes {spec.out_channels}, which are no RGB pictures; "
            "use --io float"
        )
    if options.io is Interface.FLOAT:
        check_sides(model, options, "with --io image the graph pads by itself")


def _program(model: Model, options: ExportOptions) -> "torch.onnx.ONNXProgram":
    import torch  # noqa: PLC0415

    given, made = NAMES[options.io]
    with _quiet() as said:
        program = torch.onnx.export(
            _network(model, options),
            (_example(model, options),),
            dynamo=True,
            dynamic_shapes=None if options.shape else (_dynamic(options.io),),
            input_names=[given],
            output_names=[made],
            opset_version=options.opset or OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ExportError(f"torch's ONNX exporter made nothing: {said.getvalue().strip()}")
    return program


def _network(model: Model, options: ExportOptions) -> "torch.nn.Module":
    import torch  # noqa: PLC0415

    from esrbench.model import network, plain_convolutions  # noqa: PLC0415
    from esrbench_exporters.picture_network import PictureNetwork  # noqa: PLC0415

    dtype = torch.float16 if options.precision is Precision.FP16 else torch.float32
    plain = plain_convolutions(network(model)).to(dtype)
    if options.io is Interface.FLOAT:
        return plain
    return PictureNetwork(plain, dtype, scale=model.spec.scale, multiple=model.spec.unshuffle).eval()


def _example(model: Model, options: ExportOptions) -> "torch.Tensor":
    import torch  # noqa: PLC0415

    count, height, width = options.shape or EXAMPLE
    if options.io is Interface.IMAGE:
        return torch.zeros(count, height, width, model.spec.in_channels, dtype=torch.uint8)
    dtype = torch.float16 if options.precision is Precision.FP16 else torch.float32
    return torch.zeros(count, model.spec.in_channels, height, width, dtype=dtype)


def _dynamic(interface: Interface) -> dict[int, str]:
    rows = 2 if interface is Interface.FLOAT else 1
    return {0: "batch", rows: "height", rows + 1: "width"}


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


def _tidy(model: Any) -> None:
    """No node without effect, no weight twice."""
    from onnx_ir.passes import common  # noqa: PLC0415

    for tidying in (
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.DeduplicateInitializersPass(size_limit=_ANY_SIZE),
    ):
        tidying(model)


def _describe(written: Any, model: Model, options: ExportOptions) -> None:
    """Say what the file is; leave out the stack traces, which name folders of the machine that wrote it."""
    graph = written.graph
    for thing in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        thing.metadata_props.clear()
    for node in graph:
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    spec = model.spec
    if options.shape is None:
        _name_output_sides(graph.outputs[0], spec.scale, options.io)
    written.producer_name, written.producer_version = "esrbench", __version__
    written.metadata_props.clear()
    written.metadata_props.update(
        {
            "model": model.name,
            "scale": str(spec.scale),
            "io": options.io.value,
            "colour_order": "RGB",
            "values": "0 to 255, bytes" if options.io is Interface.IMAGE else "0 to 1, output not clamped",
            "precision": options.precision.value,
            "side_multiple_px": "1" if options.io is Interface.IMAGE else str(spec.unshuffle),
            "receptive_field_px": str(spec.receptive_field_px),
            "weights_sha256": model.weights_sha256,
        }
    )


def _name_output_sides(output: Any, scale: int, interface: Interface) -> None:
    """``4*height``: torch writes what it computed instead, with the padding in it."""
    import onnx_ir  # noqa: PLC0415

    sides = list(output.shape)
    for place, name in _dynamic(interface).items():
        sides[place] = onnx_ir.SymbolicDim(name if place == 0 or scale == 1 else f"{scale}*{name}")
    output.shape = onnx_ir.Shape(sides)


def _check(path: Path, opset: int) -> None:
    import onnx  # noqa: PLC0415

    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path.name} does not pass onnx's checker: {error}") from error
    found = {entry.domain: entry.version for entry in onnx.load(path).opset_import}
    if found.get("") != opset:
        raise ExportError(f"{path.name} has opset {found.get('')}; {opset} was asked for")
