"""The contract of a runner: an artifact in, upscaled tiles out, with proof of where the work was done."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from esrbench.artifact import Format, LocatedArtifact
from esrbench.codec import Value
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Precision, Target

Tiles = npt.NDArray[np.uint8] | npt.NDArray[np.float32]
"""``(N, H, W, 3)`` RGB, C-contiguous: ``uint8``, or ``float32`` in [0, 1]. Out comes ``(N, sH, sW, 3)``, same dtype."""


class DeviceType(StrEnum):
    """What does the arithmetic."""

    CPU = "cpu"
    GPU = "gpu"
    SOFTWARE = "software"  # a graphics device that is really the CPU, such as llvmpipe: correct, never fast


class Availability(Value, frozen=True, kw_only=True):
    """Whether a target can run here, and if not, why and what to install."""

    target: Target
    usable: bool
    device_name: str | None = None
    device_type: DeviceType | None = None
    reason: str | None = None
    remedy: str | None = None


class LoadOptions(Value, frozen=True, kw_only=True):
    """What a session is given besides the artifact."""

    threads: int  # CPU threads it may use, at least 1
    tile_shape: tuple[int, int, int]  # (N, H, W) of every batch but the last, which may have a smaller N
    settings: Settings = DEFAULT  # one of the runner's candidates


class Placement(Value, frozen=True, kw_only=True):
    """Proof of where and how the work is done, read back from the runtime after loading."""

    device_name: str
    device_type: DeviceType
    provider: str  # the runtime's own word for its backend
    precision: Precision  # really used
    nodes: dict[str, int]  # provider or device → graph nodes placed there; empty where the runtime cannot tell
    options: dict[str, str]  # settings that shape speed or pixels
    versions: dict[str, str]


class Session(ABC):
    """A loaded artifact on a device. A context manager: leaving it frees the device."""

    @abstractmethod
    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch, host to host; returns when the work is done.

        ``uint8`` output is ``clip(x, 0, 1) * 255`` rounded to nearest; ``float32`` output is not clipped.

        Raises:
            OutOfMemoryError: host or device memory ran out.
        """

    def stream(self, batches: Iterable[Tiles]) -> Iterator[Tiles]:
        """Upscale batch after batch, in order. Override to overlap copies with compute."""
        return map(self.run, batches)

    @abstractmethod
    def placement(self) -> Placement:
        """Proof of device and precision.

        Raises:
            PlacementError: part of the work would run elsewhere than asked.
        """

    def device_memory_bytes(self) -> int | None:
        """The most device memory that the runtime's own allocator has taken; None where it does not count.

        For machines on which nobody else can tell: :mod:`esrbench.device_memory`.
        """
        return None

    def close(self) -> None:  # noqa: B027  (most sessions have nothing to free by hand)
        """Free the device. Called once; the session is not used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. Where the work failed, its error is the one that counts, whatever closing then says."""
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            error.add_note(f"closing the session failed too: {type(failure).__name__}: {failure}")


class Runner(ABC):
    """Runs artifacts on one runtime. Found through the entry point group ``esrbench.runners``."""

    name: ClassVar[str]
    accepts: ClassVar[frozenset[Format]]
    on_request: ClassVar[bool] = False
    """Left out where a suite names no targets: its artifacts are slow to make, or it is of interest to few."""

    @abstractmethod
    def targets(self) -> Sequence[Availability]:
        """Every target of this runtime: usable, or why not. Never raises; runs in a process of its own."""

    @abstractmethod
    def artifact_precision(self, target: Target) -> Precision:
        """The precision of the artifact that ``target`` wants, such as fp32 weights for a bf16 run."""

    def candidates(self, target: Target) -> Sequence[Settings]:
        """Settings worth trying on ``target``, the default first; a tuning keeps the fastest that draws the picture.

        Called in the command's own process: no runtime is imported here. A candidate that this version of the runtime
        does not know may fail when it is loaded; it is then left out.
        """
        return (DEFAULT,)

    @abstractmethod
    def load(self, artifact: LocatedArtifact, target: Target, options: LoadOptions) -> Session:
        """A session on exactly ``target``; another device or precision is never substituted.

        Raises:
            UnavailableError: the target cannot run here.
            PlacementError: the runtime chose another device or precision.
            OutOfMemoryError: the model does not fit.
        """

    def load_for_proof(self, artifact: LocatedArtifact, options: LoadOptions) -> Session:
        """A session on the CPU that draws what ``artifact`` holds, for its proof: right, however slow; never measured.

        Override where the CPU has no arithmetic of the artifact's precision, and say in the placement what it uses.

        Raises:
            As :meth:`load`.
        """
        target = Target.of(self.name, "cpu", artifact.artifact.precision)
        return self.load(artifact, target, options)


def float_tiles(tiles: Tiles) -> npt.NDArray[np.float32]:
    """``tiles`` as float32 in [0, 1]; no copy where they are float already."""
    if tiles.dtype == np.uint8:
        return tiles.astype(np.float32) / np.float32(255)
    return tiles.astype(np.float32, copy=False)


def like_input(output: npt.NDArray[np.float32], tiles: Tiles) -> Tiles:
    """``output`` in the dtype of ``tiles``: clipped, scaled and rounded to nearest for uint8, untouched for float32."""
    if tiles.dtype == np.uint8:
        pixels: npt.NDArray[np.uint8] = np.rint(np.clip(output, 0, 1) * np.float32(255)).astype(np.uint8)
        return pixels
    return output
