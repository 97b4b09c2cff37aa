"""A CUDA device as a session uses it: buffers, streams, graphs. Nothing else here calls ``torch.cuda`` to do work.

The protocols are what a test stands in for; :class:`CudaDevice` is the one that needs a GPU.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import torch

Work = Callable[[], object]
"""Enqueues kernels or copies on the current stream, and returns at once."""


class Done(Protocol):
    """A point in a stream's work."""

    def synchronize(self) -> None:
        """Block until the work before this point is done."""


class Lane(Protocol):
    """A stream: its work is done in order, beside that of other streams."""

    def submit(self, work: Work, after: Done | None = None) -> Done:
        """Enqueue ``work``, to begin once ``after`` is reached on its own stream; the point behind it."""


class Device(Protocol):
    """Where buffers lie and work is done."""

    @property
    def upload(self) -> Lane:
        """For copies to the device."""

    @property
    def compute(self) -> Lane:
        """For kernels."""

    @property
    def download(self) -> Lane:
        """For copies to the host."""

    def host_buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Host memory that the device copies from and to by itself."""

    def buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Zeros on the device, safe to use from every lane."""

    def capture(self, work: Work) -> Work:
        """``work`` as a graph: calling it on the compute lane does it again, on the same memory.

        Raises:
            RuntimeError: the work cannot be captured.
        """

    def release(self) -> None:
        """Wait for everything, and give back the memory that nothing holds any more."""


class CudaLane:
    """A CUDA stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch left it untyped

    def submit(self, work: Work, after: Done | None = None) -> Done:
        """``cudaStreamWaitEvent``, the work, ``cudaEventRecord``: the host waits for none of them."""
        with torch.cuda.stream(self.stream):
            if after is not None:
                self.stream.wait_event(after)  # type: ignore[arg-type]  # every Done of this device is such an event
            work()
            done: Done = self.stream.record_event()
        return done


class CudaDevice:
    """One CUDA device with three streams: a copy engine works in each direction beside the kernels."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.upload = CudaLane(device)
        self.compute = CudaLane(device)
        self.download = CudaLane(device)
        self._pool = torch.cuda.graph_pool_handle()

    def host_buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Pinned: a copy from or to pageable memory would make the host wait (CUDA C++ Best Practices Guide, 10.1)."""
        return torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Allocated for the compute stream; waiting once makes it safe elsewhere too."""
        with torch.cuda.stream(self.compute.stream):
            zeros = torch.zeros(tuple(shape), dtype=dtype, device=self._device)
        torch.cuda.synchronize(self._device)
        return zeros

    def capture(self, work: Work) -> Work:
        """All graphs share one pool: nothing in it outlives a replay, as ``work`` writes to a buffer from outside."""
        graph = torch.cuda.CUDAGraph()
        # The outer context puts the current stream back also where a capture fails: torch.cuda.graph then does not.
        with torch.cuda.stream(self.compute.stream):
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self.compute.stream):
                    work()
            except RuntimeError:
                with suppress(RuntimeError):  # half a capture is nothing that could be reset
                    graph.reset()
                raise
        return graph.replay

    def release(self) -> None:
        """After a failed capture torch may refuse to empty its cache; what is in it goes with the process."""
        torch.cuda.synchronize(self._device)
        with suppress(RuntimeError):
            torch.cuda.empty_cache()
