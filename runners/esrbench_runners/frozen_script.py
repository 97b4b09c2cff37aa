"""Sessions of a frozen TorchScript network: its weights are constants of its graph. Imports torch."""

import warnings

import torch

from esrbench_runners.cuda_session import CudaSession
from esrbench_runners.torch_session import TorchSession


class FrozenSession(TorchSession):
    """Frozen once the weights have their place, type and layout; placement then reads the graph's constants."""

    def _finished(self, network: torch.nn.Module) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript's own
            frozen: torch.nn.Module = torch.jit.freeze(network)
        return frozen

    def _options(self) -> dict[str, str]:
        return super()._options() | {"frozen": "yes"}


class FrozenCudaSession(FrozenSession, CudaSession):
    """The same on CUDA."""
