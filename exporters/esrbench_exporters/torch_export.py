"""``torch.export`` programs: TorchScript's successor."""

from pathlib import Path

from esrbench import __version__
from esrbench.artifact import TORCH_EXPORT
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


class TorchExportExporter(Exporter):
    """``NAME.pt2``: loads with ``torch.export.load`` and without this package, on any device."""

    format = TORCH_EXPORT
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.BF16})
    proved_by = ("torch-export",)
    takes = frozenset({"shape"})

    def versions(self) -> dict[str, str]:
        """Of torch, whose format it is."""
        return library_versions("torch")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Trace without computing anything, and save."""
        import torch  # noqa: PLC0415

        check_options(self, options)
        check_sides(model, options)
        from esrbench_exporters.traced_program import traced  # noqa: PLC0415

        path = out_dir / f"{artifact_stem(model, options)}.pt2"
        torch.export.save(traced(model, options), path, extra_files=_description(model, options))
        return ExportedFiles(paths=(path,), options={"method": "torch.export"}, versions=self.versions())


def _description(model: Model, options: ExportOptions) -> dict[str, str]:
    """What the file is, for whoever loads it with ``extra_files``."""
    return {
        "esrbench_version": __version__,
        "model": model.name,
        "scale": str(model.spec.scale),
        "side_multiple_px": str(model.spec.unshuffle),
        "receptive_field_px": str(model.spec.receptive_field_px),
        "precision": options.precision.value,
        "weights_sha256": model.weights_sha256,
    }
