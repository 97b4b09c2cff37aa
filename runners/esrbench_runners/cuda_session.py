"""The session of torch on CUDA: a graph for each shape, pinned memory, copies beside the kernels. Imports torch."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Annotated, Self

import msgspec
import numpy as np
import torch

from esrbench.errors import EsrbenchError
from esrbench.runner import Tiles
from esrbench.target import Target
from esrbench.translation import translated
from esrbench_runners.cuda_device import CudaDevice, Device, Done, Work
from esrbench_runners.overlapped_copies import in_order
from esrbench_runners.torch_devices import torch_device
from esrbench_runners.torch_session import TorchSession

WARM_UP_RUNS = 3
"""Before a capture: cuDNN times its algorithms in the first run, TorchScript specialises in the first two."""


class CudaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be chosen; speed alone depends on it."""

    graphs: bool = True
    in_flight: Annotated[int, msgspec.Meta(ge=1)] = 3  # one is copied up, one computed, one copied down
    pinned_results: bool = False  # hand out the pinned memory itself: one copy less, and all that is kept stays pinned

    @classmethod
    def of(cls, values: Mapping[str, str], target: Target) -> Self:
        """Name → text, as a target's settings have it.

        Raises:
            EsrbenchError: another name, or text that is no number.
        """
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            raise EsrbenchError(f"{target} cannot be set like that: {error}") from error


class CudaSession(TorchSession):
    """Tiles go up as they are, bytes as bytes; scaling, clamping and rounding are done on the device.

    A shape is met once: buffers are made, the network warms up and its kernels are captured as a graph, which spares
    the host some thousand launches a batch. Where they cannot be captured they are launched one by one, and
    ``placement()`` says why.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        target: Target,
        settings: CudaSettings | None = None,
        device: Device | None = None,
    ) -> None:
        super().__init__(network, target)
        self._settings = settings or CudaSettings()
        self._cuda: Device = device or CudaDevice(torch_device(target))
        self._programs: dict[_Shape, _Program] = {}
        self._free: dict[_Shape, list[_Slot]] = {}

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch: up, compute, down, done."""
        (upscaled,) = in_order([tiles], self._free_slot, in_flight=1)
        return upscaled

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        """Upscale batch after batch, in order, each copied up and down while another one is computed."""
        return in_order(batches, self._free_slot, self._settings.in_flight)

    def close(self) -> None:
        """Drop graphs, buffers and network, and give the device's memory back."""
        self._free.clear()
        self._programs.clear()
        del self._network
        self._cuda.release()

    def _free_slot(self, tiles: Tiles) -> "_Slot":
        with translated(f"{self._target}: a batch of shape {tiles.shape}"), torch.inference_mode():
            shape = _Shape(size=tiles.shape, dtype=str(tiles.dtype))
            if shape not in self._programs:
                self._programs[shape] = self._met(shape)
            free = self._free.setdefault(shape, [])
            return free.pop() if free else _Slot(self._cuda, self._programs[shape], free, self._settings, self._target)

    def _met(self, shape: "_Shape") -> "_Program":
        """Warm up for ``shape``, and capture it unless a capture failed before: torch may bear no second one then."""
        pixels = self._cuda.buffer(shape.size, getattr(torch, shape.dtype))
        drawn: list[torch.Tensor] = []
        for _ in range(WARM_UP_RUNS):
            drawn.clear()
            self._cuda.compute.submit(lambda: drawn.append(self._drawn(pixels))).synchronize()
        upscaled = self._cuda.buffer(drawn[0].shape, drawn[0].dtype)
        drawn.clear()

        def work() -> None:
            upscaled.copy_(self._drawn(pixels))

        return self._captured(_Program(pixels=pixels, upscaled=upscaled, work=work))

    def _captured(self, program: "_Program") -> "_Program":
        if not self._settings.graphs:
            return msgspec.structs.replace(program, no_graph="turned off")
        failed = next((each.no_graph for each in self._programs.values() if each.no_graph), None)
        if failed is not None:
            return msgspec.structs.replace(program, no_graph=failed)
        try:
            return msgspec.structs.replace(program, work=self._cuda.capture(program.work))
        except RuntimeError as error:  # torch's own OutOfMemoryError and AcceleratorError are such
            # `torch.cuda.graph` ends the capture while an error passes through it, and its own hides what went wrong.
            cause = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            reason = " ".join(str(cause).split())[:200]
            return msgspec.structs.replace(program, no_graph=f"the capture failed: {reason}")

    def _options(self) -> dict[str, str]:
        return super()._options() | {
            "cuda_graphs": self._graphs(),
            "host_memory": "pinned, results too" if self._settings.pinned_results else "pinned",
            "batches_in_flight": str(self._settings.in_flight),
        }

    def _graphs(self) -> str:
        """``3 shapes``, or why not."""
        reasons = {program.no_graph for program in self._programs.values() if program.no_graph}
        count = sum(program.no_graph is None for program in self._programs.values())
        captured = f"{count} shape{'' if count == 1 else 's'}"
        return "; ".join([captured, *(f"otherwise none: {reason}" for reason in sorted(reasons))])


class _Shape(msgspec.Struct, frozen=True, kw_only=True):
    size: tuple[int, ...]
    dtype: str


class _Program(msgspec.Struct, frozen=True, kw_only=True):
    """What a shape's batches share: a graph reads and writes the same memory each time."""

    pixels: torch.Tensor  # (N, H, W, 3) on the device
    upscaled: torch.Tensor  # (N, sH, sW, 3) there, same dtype
    work: Work  # draws the one from the other
    no_graph: str | None = None


class _Slot:
    """Buffers of one batch in flight: pinned ones on the host, staging ones on the device.

    The copies between staging buffers and the program's own cost microseconds, and let the next batch come up while a
    graph is at work on the last one.
    """

    def __init__(
        self, device: Device, program: _Program, free: "list[_Slot]", settings: CudaSettings, target: Target
    ) -> None:
        self._device, self._program, self._free, self._target = device, program, free, target
        self._pinned_results = settings.pinned_results
        pixels, upscaled = program.pixels, program.upscaled
        self._host_pixels = device.host_buffer(pixels.shape, pixels.dtype)
        self._host_upscaled = device.host_buffer(upscaled.shape, upscaled.dtype)
        self._pixels = device.buffer(pixels.shape, pixels.dtype)
        self._upscaled = device.buffer(upscaled.shape, upscaled.dtype)
        self._done: list[Done] = []

    def begin(self, tiles: Tiles) -> None:
        """Nothing here waits for the device: each lane waits for the one before it."""
        device, upscaled = self._device, self._program.upscaled
        with self._translated(), torch.inference_mode():
            if self._pinned_results:  # the last one belongs to whoever got it; torch keeps what is given back
                self._host_upscaled = device.host_buffer(upscaled.shape, upscaled.dtype)
            np.copyto(self._host_pixels.numpy(), tiles)
            uploaded = device.upload.submit(lambda: self._pixels.copy_(self._host_pixels, non_blocking=True))
            self._done.append(uploaded)
            computed = device.compute.submit(self._compute, after=uploaded)
            self._done.append(computed)
            self._done.append(
                device.download.submit(
                    lambda: self._host_upscaled.copy_(self._upscaled, non_blocking=True), after=computed
                )
            )

    def finish(self) -> Tiles:
        """A copy of the pinned buffer, which the next batch will be copied down to, or the buffer itself."""
        with self._translated():
            self._wait()
            upscaled: Tiles = self._host_upscaled.numpy()
            upscaled = upscaled if self._pinned_results else upscaled.copy()
        self._free.append(self)
        return upscaled

    def drop(self) -> None:
        """Wait for as much as was begun."""
        with self._translated():
            self._wait()
        self._free.append(self)

    def _compute(self) -> None:
        self._program.pixels.copy_(self._pixels)
        self._program.work()
        self._upscaled.copy_(self._program.upscaled)

    def _wait(self) -> None:
        while self._done:
            self._done.pop().synchronize()  # the last one first: the others lie before it

    def _translated(self) -> AbstractContextManager[None]:
        return translated(f"{self._target}: a batch of shape {tuple(self._program.pixels.shape)}")
