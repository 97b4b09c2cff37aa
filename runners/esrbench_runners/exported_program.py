"""``torch.export`` programs, run by eager torch: what loads where neither this package nor TorchScript is."""

from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import TORCH_EXPORT, Format, LocatedArtifact
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


class TorchExportRunner(TorchFamilyRunner):
    """An exported program, unlifted to a module. The kernels are eager torch's; the graph has none of its Python."""

    name: ClassVar[str] = "torch-export"
    accepts: ClassVar[frozenset[Format]] = frozenset({TORCH_EXPORT})
    on_request = True
    on_cpu = (Precision.FP32, Precision.BF16)
    on_cuda = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16)

    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The program as a module."""
        import torch  # noqa: PLC0415  (only where it runs)

        with translated(f"{target}: loading {artifact.path()}"):
            return torch.export.load(artifact.path()).module()
