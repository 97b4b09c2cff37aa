"""Sessions of a frozen TorchScript network: its weights are constants of its graph. Imports torch."""

import warnings
from typing import Any

import torch

from esrbench.target import Precision
from esrbench_runners.cuda_session import CudaSession
from esrbench_runners.torch_session import TorchSession

BENCHMARK, ALLOW_TF32 = 9, 12
"""Places among the arguments of ``aten::_convolution``."""


class FrozenSession(TorchSession):
    """Frozen once the weights have their place, type and layout; placement then reads the graph's constants."""

    def _finished(self, network: torch.nn.Module) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript's own
            frozen: torch.nn.Module = torch.jit.freeze(network)
        _switch(frozen, tf32=self._target.precision is Precision.TF32)
        return frozen

    def _options(self) -> dict[str, str]:
        return super()._options() | {"frozen": "yes"}


def _switch(frozen: torch.nn.Module, *, tf32: bool) -> None:
    """Give each convolution torch's switches: tracing made constants of what they were then, ``cudnn.benchmark`` off.

    See pytorch/pytorch#18776; the places are those of ``aten::_convolution``'s arguments.
    """
    graph: Any = frozen.graph
    graph.setInsertPoint(next(iter(graph.nodes())))
    benchmark, allow_tf32 = graph.insertConstant(torch.backends.cudnn.benchmark), graph.insertConstant(tf32)
    for node in graph.findAllNodes("aten::_convolution"):
        node.replaceInput(BENCHMARK, benchmark)
        node.replaceInput(ALLOW_TF32, allow_tf32)


class FrozenCudaSession(FrozenSession, CudaSession):
    """The same on CUDA."""
