"""PyTorch, eager: the reference, and what most people run."""

from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import PYTORCH, Format, LocatedArtifact
from esrbench.target import Precision, Target
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


class TorchRunner(TorchFamilyRunner):
    """Eager torch, channels_last. No fp16 on the CPU: torch has only a naive kernel there, minutes a tile."""

    name: ClassVar[str] = "torch"
    accepts: ClassVar[frozenset[Format]] = frozenset({PYTORCH})
    on_cpu = (Precision.FP32, Precision.BF16)
    on_cuda = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16)

    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The network with the checkpoint's weights."""
        from esrbench import checkpoints, model  # noqa: PLC0415  (torch: only where it runs)

        return model.network(checkpoints.read(artifact.path(), artifact.artifact.model))
