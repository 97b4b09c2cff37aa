"""``torch.compile``: the eager network, compiled by Inductor for each shape."""

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from esrbench import cpp_compiler
from esrbench.errors import EsrbenchError, UnavailableError
from esrbench.runner import Availability, LoadOptions, Session
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Target
from esrbench_runners.torch_eager import TorchRunner

if TYPE_CHECKING:
    import torch


class TorchCompileRunner(TorchRunner):
    """Compiled while it loads, for the tile and for the batch that it is loaded for, with nothing from a cache."""

    name: ClassVar[str] = "torch-compile"
    on_cuda_worth_trying: ClassVar[tuple[Settings, ...]] = (DEFAULT,)
    on_request = True

    def session(self, network: "torch.nn.Module", target: Target, options: LoadOptions) -> Session:
        """Compiled, and on CUDA captured as graphs too."""
        from esrbench_runners.compiled_session import CompiledCudaSession, CompiledSession  # noqa: PLC0415

        if options.settings.values:
            raise EsrbenchError(f"{target} has no setting {', '.join(options.settings.values)}")
        kind = CompiledCudaSession if target.device_kind == "cuda" else CompiledSession
        return kind.compiled(network, target, options.tile_shape)

    def _found(self, device_kind: str) -> Sequence[Availability]:
        cpp_compiler.find(self.name)  # on CUDA too: Triton compiles what launches its kernels
        found = super()._found(device_kind)
        if any(entry.usable for entry in found) and device_kind == "cuda" and not importlib.util.find_spec("triton"):
            raise UnavailableError(f"{self.name} needs Triton, which is not installed", "pip install triton")
        return found
