"""What passes between the harness and a launch's process: a job in, an outcome out.

The outcome is a file, whole or absent. One that was measured is first written beside it, before the session meets a new
shape: a runtime that dies or fails there, or when it is closed, takes nothing measured with it.
"""

from pathlib import Path
from typing import Self

from msgspec.structs import replace

from esrbench import repeats
from esrbench.artifact import LocatedArtifact
from esrbench.codec import Value
from esrbench.command_target import LocatedCommand
from esrbench.measure import LoopPlan
from esrbench.record import (
    Clocks,
    Energy,
    Fidelity,
    Memory,
    NewShape,
    ReferenceCheck,
    Room,
    Samples,
    Status,
    ThreadsAtWork,
    Workload,
)
from esrbench.runner import Placement
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Target

CANNOT_WRITE = 73
"""Exit code where its own files cannot be written, no fault of the runtime: EX_CANTCREAT of ``sysexits.h``."""


SMALLER = "try a smaller --tile or --batch"
"""What to do where memory ran out, as far as one launch can tell."""


class Job(Value, frozen=True, kw_only=True):
    """One launch: everything that its process needs to know."""

    target: Target
    artifact: LocatedArtifact
    workload: Workload
    input_picture: str  # PNG of the workload's pixels
    reference: str  # .npy of the reference's float32 output tiles
    makes_reference: bool  # write `reference` instead of comparing with it
    checks_reference: bool = False  # also hold it to float64
    picture: str  # PNG to write: the output, stitched
    loop: LoopPlan
    seed: int = 0  # of the tiles that differ in every pass: another one each launch
    settings: Settings = DEFAULT
    software: bool = False  # the target's device is the CPU by another name
    command: LocatedCommand | None = None  # what to call instead of loading `artifact`, of which it may want the files
    spawned_ns: int  # the harness's perf_counter_ns just before it started the process

    @property
    def metered(self) -> Target:
        """The target whose device has this one's memory, energy and clocks: of a software device the CPU."""
        return Target.of(self.target.runtime, "cpu", self.target.precision) if self.software else self.target


class Outcome(Value, frozen=True, kw_only=True):
    """How the launch ended, as its process saw it."""

    status: Status
    reason: str | None = None
    remedy: str | None = None
    samples: Samples | None = None
    memory: Memory | None = None
    placement: Placement | None = None
    fidelity: Fidelity | None = None
    clocks: Clocks | None = None
    energy: Energy | None = None
    threads_at_work: ThreadsAtWork | None = None
    reference_check: ReferenceCheck | None = None
    room: Room | None = None

    def judged(self, fidelity: Fidelity, wrong: str | None) -> Self:
        """Add the picture's fidelity, and the status that follows.

        It is wrong where the picture is, or where the session answers from memory.
        """
        remembered = repeats.reason(self.samples.repeats or ()) if self.samples else None
        reason = "; ".join(filter(None, (wrong, remembered))) or None
        return replace(self, status=Status.WRONG if reason else Status.OK, reason=reason, fidelity=fidelity)

    def with_new_shape(self, new_shape: NewShape) -> Self:
        """The same outcome, with what became of the new shape."""
        if self.samples is None:
            return self
        return replace(self, samples=replace(self.samples, new_shape=new_shape))

    def with_late_failure(self, what: str) -> Self:
        """The same outcome, numbers and all; what went wrong after them is said where the new shape is."""
        if self.samples is None:
            return self
        met = self.samples.new_shape or NewShape()
        reasons = [reason for reason in (met.reason, f"after the measurement: {what}") if reason]
        return self.with_new_shape(replace(met, reason="; ".join(reasons)))


def measured_file(answer: Path) -> Path:
    """Where the outcome is written before the new shape, for an ``answer`` that is written after it."""
    return answer.with_name(f"measured.{answer.name}")
