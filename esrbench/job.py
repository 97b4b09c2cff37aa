"""What passes between the harness and a launch's process: a job in, an outcome out."""

from esrbench.artifact import LocatedArtifact
from esrbench.codec import Value
from esrbench.measure import LoopPlan
from esrbench.record import Fidelity, Memory, Samples, Status, Workload
from esrbench.runner import Placement
from esrbench.target import Target


class Job(Value, frozen=True, kw_only=True):
    """One launch: everything that its process needs to know."""

    target: Target
    artifact: LocatedArtifact
    workload: Workload
    input_picture: str  # PNG of the workload's pixels
    reference: str  # .npy of the reference's float32 output tiles
    makes_reference: bool  # write `reference` instead of comparing with it
    picture: str  # PNG to write: the output, stitched
    loop: LoopPlan
    spawned_ns: int  # the harness's perf_counter_ns just before it started the process


class Outcome(Value, frozen=True, kw_only=True):
    """How the launch ended, as its process saw it."""

    status: Status
    reason: str | None = None
    remedy: str | None = None
    samples: Samples | None = None
    memory: Memory | None = None
    placement: Placement | None = None
    fidelity: Fidelity | None = None
