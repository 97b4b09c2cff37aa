"""TorchScript: the traced network, run by torch's JIT."""

import warnings
from typing import TYPE_CHECKING, ClassVar

from esrbench.artifact import TORCHSCRIPT, Format, LocatedArtifact
from esrbench.runner import LoadOptions, Session
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners.torch_family import TorchFamilyRunner

if TYPE_CHECKING:
    import torch


class TorchscriptRunner(TorchFamilyRunner):
    """Traced torch, channels_last; frozen on CUDA, as it is deployed there."""

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

    def session(self, network: "torch.nn.Module", target: Target, options: LoadOptions) -> Session:
        """Frozen on CUDA, where the weights become constants of the graph."""
        if target.device_kind == "cuda":
            from esrbench_runners.frozen_script import FrozenCudaSession  # noqa: PLC0415

            return FrozenCudaSession(network, target)
        return super().session(network, target, options)
