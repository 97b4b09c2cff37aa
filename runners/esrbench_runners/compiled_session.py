"""Sessions of a network compiled by Inductor. Imports torch."""

import tempfile
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, Self, cast

import msgspec
import numpy as np
import torch

from esrbench.errors import PlacementError
from esrbench.runner import Placement
from esrbench.scratch import PREFIX
from esrbench.target import Target
from esrbench_runners.cuda_session import CudaSession
from esrbench_runners.torch_session import TorchSession

INDUCTOR: Mapping[str, bool] = {}
"""What is asked of Inductor beyond its defaults. ``max_autotune`` and ``coordinate_descent_tuning`` would be paid by
every launch anew. Its own CUDA graphs (``triton.cudagraphs``) stay off: their outputs are overwritten by the next call,
and :class:`CudaSession` captures graphs itself."""


class _Caches:
    """A folder for Inductor's caches: made for the first session of this process, gone with the last one."""

    def __init__(self) -> None:
        self._sessions = 0
        self._folder = ExitStack()

    def enter(self) -> None:
        """For one more session."""
        if self._sessions == 0:
            from torch._inductor.utils import fresh_cache  # noqa: PLC0415  (with the compiler: seconds to import)

            with ExitStack() as opened:
                # Its name is one that the next run sweeps where this process is killed.
                folder = opened.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True))
                opened.enter_context(fresh_cache(dir=folder))
                self._folder = opened.pop_all()
        self._sessions += 1

    def leave(self) -> None:
        """For one less."""
        self._sessions -= 1
        if self._sessions == 0:
            self._folder.close()


_CACHES = _Caches()


class CompiledSession(TorchSession):
    """One graph, no dynamic shapes: a network that cannot be compiled whole, or for too many shapes, raises.

    Inductor's caches are empty at first: each launch, a process of its own, compiles anew, so that its cold start is
    one. Compiling is part of loading; a shape that is met later is compiled then.
    """

    inductor: ClassVar[Mapping[str, bool]] = INDUCTOR

    def __init__(self, network: torch.nn.Module, target: Target) -> None:
        from torch._dynamo.utils import counters  # noqa: PLC0415  (with the compiler: seconds to import)

        self._counts = counters["stats"]
        self._before = self._counts["unique_graphs"]
        _CACHES.enter()
        try:
            super().__init__(network, target)
        except BaseException:
            _CACHES.leave()
            raise

    @classmethod
    def compiled(cls, network: torch.nn.Module, target: Target, tile_shape: tuple[int, int, int]) -> Self:
        """A session that has met a tile and a batch of ``tile_shape``, (N, H, W)."""
        session = cls(network, target)
        count, height, width = tile_shape
        try:
            for tiles in sorted({1, count}):
                session.run(np.zeros((tiles, height, width, 3), np.float32))
        except BaseException:
            session.close()
            raise
        return session

    def placement(self) -> Placement:
        """As of the network that was compiled; refused where it was not, as under ``TORCH_COMPILE_DISABLE``."""
        placement = super().placement()
        if self._graphs_compiled() == 0:
            raise PlacementError(
                f"{self._target}: a compiled network was asked for, torch compiled nothing",
                "unset TORCH_COMPILE_DISABLE and TORCHDYNAMO_DISABLE",
            )
        return msgspec.structs.replace(placement, provider=f"inductor on {placement.provider}")

    def close(self) -> None:
        """Forget what was compiled, in memory and on disk."""
        super().close()
        torch.compiler.reset()
        _CACHES.leave()

    def _finished(self, network: torch.nn.Module) -> torch.nn.Module:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Inductor's own use of torch.jit
            import torch._inductor.compile_fx  # noqa: PLC0415
        compiled: Any = torch.compile(network, fullgraph=True, dynamic=False, options=dict(self.inductor) or None)
        return cast(torch.nn.Module, compiled)

    def _graphs_compiled(self) -> int:
        return int(self._counts["unique_graphs"] - self._before)

    def _options(self) -> dict[str, str]:
        chosen = {f"inductor.{name}": str(value) for name, value in self.inductor.items()}
        graphs = str(self._graphs_compiled())
        return super()._options() | chosen | {"graphs_compiled": graphs, "inductor.caches": "empty at first"}


class CompiledCudaSession(CompiledSession, CudaSession):
    """The same on CUDA: what Inductor launches is captured as a graph."""
