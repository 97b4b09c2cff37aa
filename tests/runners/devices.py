"""A stand-in for a CUDA device: its streams do their work as late as they may, so that a missing wait shows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

Work = Callable[[], object]


@dataclass
class LateLane:
    """A stream that does nothing until somebody waits for it, as slow as a stream can be."""

    name: str
    log: list[str]
    waiting: list[tuple[Work, "Reached | None"]] = field(default_factory=list)
    done: int = 0

    def submit(self, work: Work, after: "Reached | None" = None) -> "Reached":
        self.log.append(f"submit {self.name}")
        self.waiting.append((work, after))
        return Reached(self, self.done + len(self.waiting))

    def run_to(self, count: int) -> None:
        while self.done < count:
            work, after = self.waiting.pop(0)
            if after is not None:
                after.synchronize()
            self.done += 1
            self.log.append(f"do {self.name}")
            with torch.inference_mode():  # as where it was submitted
                work()


@dataclass
class Reached:
    """A point in a lane's work."""

    lane: LateLane
    count: int

    def synchronize(self) -> None:
        self.lane.run_to(self.count)


class LateDevice:
    """Buffers in ordinary memory, late lanes, and graphs that are captured without being run, as CUDA's are."""

    def __init__(self, refuses: Sequence[str] = ()) -> None:
        self.log: list[str] = []
        self.upload, self.compute, self.download = (
            LateLane(name, self.log) for name in ("upload", "compute", "download")
        )
        self.refuses = list(refuses)  # messages of the captures that fail
        self.captures = 0
        self.released = False

    def host_buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        self.log.append("host buffer")
        return torch.zeros(tuple(shape), dtype=dtype)

    def buffer(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(tuple(shape), dtype=dtype)

    def capture(self, work: Work) -> Work:
        self.captures += 1
        if self.refuses:
            raise RuntimeError(self.refuses.pop(0))

        def replay() -> None:
            self.log.append("replay")
            work()

        return replay

    def release(self) -> None:
        assert not any(lane.waiting for lane in (self.upload, self.compute, self.download))
        self.released = True
