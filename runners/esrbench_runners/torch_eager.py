"""PyTorch, eager: the reference, and what most people run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import PYTORCH, Format, LocatedArtifact
from esrbench.errors import EsrbenchError
from esrbench.runner import LoadOptions, Session
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


DENSE_BLOCKS, AS_WRITTEN, WIDE = "dense_blocks", "as written", "a convolution a source"
"""How dense blocks run: with concatenation, or without it (see ``wide_dense``); the same sums in another order."""

CUDA_CANDIDATES = (
    DEFAULT,
    Settings(values={DENSE_BLOCKS: WIDE}),
    Settings(values={"pinned_results": "1"}),
    Settings(values={DENSE_BLOCKS: WIDE, "pinned_results": "1"}),
)
"""Dense blocks, and whether results are handed out in pinned memory, one copy on the host less."""


class TorchRunner(TorchFamilyRunner):
    """Eager torch, channels_last. No fp16 on the CPU: torch has only a naive kernel there, minutes a tile."""

    name: ClassVar[str] = "torch"
    accepts: ClassVar[frozenset[Format]] = frozenset({PYTORCH})
    on_cuda_worth_trying: ClassVar[tuple[Settings, ...]] = CUDA_CANDIDATES
    setting_names: ClassVar[frozenset[str]] = frozenset({DENSE_BLOCKS})
    on_cpu: ClassVar[tuple[Precision, ...]] = (Precision.FP32, Precision.BF16)
    on_cuda: ClassVar[tuple[Precision, ...]] = (Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16)

    def candidates(self, target: Target) -> Sequence[Settings]:
        """What is worth trying on CUDA. On a CPU the concatenations cost nothing (docs/decisions/0012-torch.md)."""
        return self.on_cuda_worth_trying if target.device_kind == "cuda" else (DEFAULT,)

    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The network with the checkpoint's weights."""
        from esrbench import checkpoints, model  # noqa: PLC0415  (torch: only where it runs)

        return model.network(checkpoints.read(artifact.path(), artifact.artifact.model))

    def session(self, network: "torch.nn.Module", target: Target, options: LoadOptions) -> Session:
        """A session of ``network``, its dense blocks replaced where the settings say so."""
        blocks = options.settings.values.get(DENSE_BLOCKS, AS_WRITTEN)
        if blocks not in {AS_WRITTEN, WIDE}:
            raise EsrbenchError(
                f"{target} has no setting {DENSE_BLOCKS}={blocks}; there are {AS_WRITTEN!r} and {WIDE!r}"
            )
        if blocks == WIDE:
            from esrbench_runners.wide_dense import widened  # noqa: PLC0415

            network = widened(network)
        return super().session(network, target, options)
