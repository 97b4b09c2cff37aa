"""What torch leaves in an ONNX graph that does not belong there, and what it leaves out. Imports onnx_ir."""

import onnx_ir
from onnx_ir.passes import common

from esrbench import __version__
from esrbench.artifact import Interface
from esrbench.exporter import ExportOptions, Model
from esrbench_exporters.onnx_names import DIMENSIONS


def tidy(written: onnx_ir.Model) -> None:
    """No node without effect, no weight twice, no stack trace: those name folders of the machine that wrote it."""
    for tidying in (
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.DeduplicateHashedInitializersPass(),  # the one without hashes copies every weight to compare it
    ):
        tidying(written)
    graph = written.graph
    for thing in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        thing.metadata_props.clear()
    for node in graph:
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()


def describe(written: onnx_ir.Model, model: Model, options: ExportOptions) -> None:
    """Say in the file what it is and what it was made from."""
    if options.shape is None:
        _name_output_sides(written.graph.outputs[0], model.spec.scale, options.io)
    written.producer_name, written.producer_version = "esrbench", __version__
    written.metadata_props.clear()
    written.metadata_props.update(_description(model, options))


def _description(model: Model, options: ExportOptions) -> dict[str, str]:
    spec, takes_pictures = model.spec, options.io is Interface.IMAGE
    colour = {"colour_order": "RGB"} if (spec.in_channels, spec.out_channels) == (3, 3) else {}
    return {
        "model": model.name,
        "scale": str(spec.scale),
        "io": options.io.value,
        **colour,
        "values": "0 to 255, bytes" if takes_pictures else "0 to 1, output not clamped",
        "precision": options.precision.value,
        "side_multiple_px": "1" if takes_pictures else str(spec.unshuffle),
        "receptive_field_px": str(spec.receptive_field_px),
        "weights_sha256": model.weights_sha256,
    }


def _name_output_sides(output: onnx_ir.Value, scale: int, interface: Interface) -> None:
    """``4*height``: torch writes what it computed instead, with the padding in it."""
    sides = list(output.shape or ())
    for place, name in DIMENSIONS[interface].items():
        sides[place] = onnx_ir.SymbolicDim(name if place == 0 or scale == 1 else f"{scale}*{name}")
    output.shape = onnx_ir.Shape(sides)
