"""PyTorch checkpoints in the official layout: what the eager runner loads, and what other tools read."""

from pathlib import Path

from esrbench.architecture import NetworkSpec, SRVGGNetSpec
from esrbench.artifact import PYTORCH
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

REDUCED_TO = "reduced_to"
KEY = "params_ema"  # where the official files hold the moving average that they are run with


class PytorchExporter(Exporter):
    """``NAME.pth``: ``{"params_ema": state_dict}``, fp32; a runner casts it to what it computes in."""

    format = PYTORCH
    precisions = frozenset({Precision.FP32})
    proved_by = ("torch",)

    def versions(self) -> dict[str, str]:
        """Of torch, whose serialisation it is."""
        return library_versions("torch")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Write the checkpoint."""
        import torch  # noqa: PLC0415

        check_options(self, options)
        path = out_dir / f"{artifact_stem(model, options)}.pth"
        weights = {name: torch.tensor(array) for name, array in model.weights.items()}
        torch.save({KEY: weights} | _beside(model.spec), path)
        return ExportedFiles(paths=(path,), options={"key": KEY}, versions=self.versions())


def _beside(spec: NetworkSpec) -> dict[str, int]:
    """What the tensors' shapes do not tell, under the key that ``esrbench.checkpoints`` looks for."""
    reduced = isinstance(spec, SRVGGNetSpec) and spec.reduced_from is not None
    return {REDUCED_TO: spec.scale} if reduced else {}
