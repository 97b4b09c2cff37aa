"""TorchScript: the traced network, run by torch's JIT."""

import warnings
from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import TORCHSCRIPT, Format, LocatedArtifact
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


class TorchscriptRunner(TorchFamilyRunner):
    """Traced torch, channels_last; not frozen, which gained nothing (0.85 s a tile either way, AVX2, 2 threads) and
    would hide the weights' type and device from placement.
    """

    name: ClassVar[str] = "torchscript"
    accepts: ClassVar[frozenset[Format]] = frozenset({TORCHSCRIPT})
    on_cpu = (Precision.FP32,)
    on_cuda = (Precision.FP32, Precision.FP16)

    def network(self, artifact: LocatedArtifact, target: Target) -> "torch.nn.Module":
        """The traced network."""
        import torch  # noqa: PLC0415  (only where it runs)

        path = artifact.path()
        with translated(f"{target}: loading {path}"), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # TorchScript's own; its speed is asked for all the same
            network: torch.nn.Module = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]  # torch left it untyped
        return network
