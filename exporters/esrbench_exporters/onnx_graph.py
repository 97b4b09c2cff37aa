"""ONNX: one file, with planes or pictures as input and output, any size or one."""

from pathlib import Path
from typing import TYPE_CHECKING

from esrbench.artifact import INT8_CONVOLUTIONS, ONNX, Interface
from esrbench.availability import library
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
from esrbench_exporters.onnx_names import VALUES

if TYPE_CHECKING:
    import onnx_ir

OPSET = 18
"""What torch's exporter writes without converting, and old enough for every runtime in use."""

OPSETS = range(15, 27)
"""What its converter reaches from there with these networks (torch 2.13, onnx 1.23) and onnxruntime 1.31 loads.

Below, the converter leaves 18 and says nothing; above, onnxruntime refuses the file."""


class OnnxExporter(Exporter):
    """``NAME.onnx``. Planes have the weights' type; pictures are bytes whatever is inside."""

    format = ONNX
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.INT8})
    proved_by = ("onnxruntime", "openvino")
    takes = frozenset({"io", "shape", "opset"})

    def versions(self) -> dict[str, str]:
        """Of torch, whose exporter it is, of what that writes with, and of the photos that int8 is calibrated on."""
        return library_versions("torch", "onnx", "onnxscript", "onnx_ir", "scikit-image")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Export through ``torch.export``, tidy the graph, name its origin in it, check the file."""
        check_options(self, options)
        _check_request(model, options)
        for name in ("onnx", "onnx_ir", "onnxscript"):
            library(name, "esrbench[onnxruntime]")
        import onnx_ir  # noqa: PLC0415

        from esrbench_exporters.onnx_program import traced  # noqa: PLC0415
        from esrbench_exporters.onnx_tidying import describe, tidy  # noqa: PLC0415

        opset = options.opset or OPSET
        written = traced(model, options, opset)
        tidy(written)
        rounded = _rounded(written, model) if options.precision is Precision.INT8 else {}
        describe(written, model, options)
        written.ir_version = _lowest_ir_version(written)
        path = out_dir / f"{artifact_stem(model, options)}.onnx"
        onnx_ir.save(written, path)
        _check(path, opset)
        given, made = VALUES[options.io]
        chosen = {"opset": str(opset), "input": given, "output": made} | rounded
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


def _rounded(written: "onnx_ir.Model", model: Model) -> dict[str, str]:
    """Round the graph to 8 bits; says how, as far as that decides the picture."""
    from esrbench_exporters import calibration  # noqa: PLC0415
    from esrbench_exporters.onnx_quantised import quantise  # noqa: PLC0415
    from esrbench_exporters.onnx_tidying import tidy  # noqa: PLC0415

    given = calibration.pictures(model)
    count = quantise(written, calibration.convolution_spans(model, given))
    tidy(written)  # the float weights have no reader now
    return {
        INT8_CONVOLUTIONS: str(count),
        "float_layers": "first and last convolution, residual sums",
        "calibration": f"lowest and highest value in {len(given)} crops of {', '.join(calibration.PHOTOS)}",
        "calibration_sha256": calibration.identity(given),
    }


def _lowest_ir_version(written: "onnx_ir.Model") -> int:
    """Find the lowest IR version that the operator sets need.

    An older onnxruntime refuses a later one.
    """
    from onnx import helper  # noqa: PLC0415

    imports = [helper.make_opsetid(domain, version) for domain, version in written.opset_imports.items()]
    version: int = helper.find_min_ir_version_for(imports)
    return version


def _check(path: Path, opset: int) -> None:
    import onnx  # noqa: PLC0415

    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{path.name} does not pass onnx's checker: {error}") from error
    found = {entry.domain: entry.version for entry in onnx.load(path).opset_import}
    if found.get("") != opset:
        raise ExportError(f"{path.name} has opset {found.get('')}; {opset} was asked for")
