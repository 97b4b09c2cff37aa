"""TorchScript, traced.

The module is saved as traced, neither frozen nor optimised: both bind it to a device and a memory layout, which only
the runner knows. The fp16 form is meant for GPUs.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from esrbench.artifact import TORCHSCRIPT
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

SIDE_PX = 8  # of the traced example; the graph itself takes any size that the network's fold divides


class TorchscriptExporter(Exporter):
    """``NAME.ts.pt``: loads without this package, in Python or C++."""

    format = TORCHSCRIPT
    precisions = frozenset({Precision.FP32, Precision.FP16, Precision.BF16})
    proved_by = ("torchscript",)

    def versions(self) -> dict[str, str]:
        """Of torch, whose tracer and serialisation it is."""
        return library_versions("torch")

    def export(self, model: Model, options: ExportOptions, out_dir: Path) -> ExportedFiles:
        """Trace, cast, save."""
        import torch  # noqa: PLC0415

        from esrbench.model import network, plain_convolutions  # noqa: PLC0415

        check_options(self, options)
        path = out_dir / f"{artifact_stem(model, options)}.ts.pt"
        with torch.inference_mode(), warnings.catch_warnings():
            # Deprecated in torch 2.9 in favour of torch.export; it works, and is what this format is about.
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.", category=DeprecationWarning)
            # Cast after tracing: fp16 convolutions on a CPU take minutes.
            traced = _cast(_traced(plain_convolutions(network(model)), model.spec.in_channels), options.precision)
            torch.jit.save(traced, path)
        chosen = {"method": "trace", "frozen": "no"}
        return ExportedFiles(paths=(path,), options=chosen, versions=self.versions())


def _cast(traced: "torch.jit.ScriptModule", precision: Precision) -> "torch.jit.ScriptModule":
    match precision:
        case Precision.FP16:
            return traced.half()
        case Precision.BF16:
            return traced.bfloat16()
    return traced


def _traced(net: "torch.nn.Module", channels: int) -> "torch.jit.ScriptModule":
    import torch  # noqa: PLC0415

    example = torch.rand(1, channels, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(0))
    # Tracing twice to compare doubles the time; the network has no branch on data, and every measured tile is compared.
    return torch.jit.trace(net, example, check_trace=False)  # type: ignore[no-any-return,no-untyped-call]  # untyped
