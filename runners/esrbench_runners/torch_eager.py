"""PyTorch, eager: the reference, and what most people run."""

from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import PYTORCH, Format, LocatedArtifact
from esrbench.target import Precision, Target
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


WIDE_DENSE: frozenset[tuple[str, Precision]] = frozenset()
"""Devices and precisions for which dense blocks run without concatenation (see ``wide_dense``): those where that was
measured to be faster. On a CPU in bf16 it is not (docs/decisions/0012-torch.md), and the CPU's fp32 is the reference,
which is the plain network. No GPU was at hand."""


class TorchRunner(TorchFamilyRunner):
    """Eager torch, channels_last. No fp16 on the CPU: torch has only a naive kernel there, minutes a tile."""

    name: ClassVar[str] = "torch"
    accepts: ClassVar[frozenset[Format]] = frozenset({PYTORCH})
    on_cpu: ClassVar[tuple[Precision, ...]] = (Precision.FP32, Precision.BF16)
    on_cuda: ClassVar[tuple[Precision, ...]] = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16)

    def __init__(self, wide_dense: frozenset[tuple[str, Precision]] = WIDE_DENSE) -> None:
        self._wide_dense = wide_dense

    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The network with the checkpoint's weights."""
        from esrbench import checkpoints, model  # noqa: PLC0415  (torch: only where it runs)

        network = model.network(checkpoints.read(artifact.path(), artifact.artifact.model))
        if (target.device_kind, target.precision) not in self._wide_dense:
            return network
        from esrbench_runners.wide_dense import widened  # noqa: PLC0415

        return widened(network)
