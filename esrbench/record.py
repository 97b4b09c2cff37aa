"""What is written to ``results/``: the versioned schema. Raw values; statistics are computed when read."""

import math
from enum import StrEnum

import msgspec

from esrbench.architecture import NetworkSpec
from esrbench.artifact import Artifact
from esrbench.codec import Value
from esrbench.runner import DeviceType, Placement
from esrbench.settings import Settings
from esrbench.suite import Suite
from esrbench.target import Precision, Target

SCHEMA_VERSION = 3
"""Raised when a field changes its meaning or goes. Older versions are read through :mod:`esrbench.migration`; a newer
one is refused."""


class Status(StrEnum):
    """How a launch ended."""

    OK = "ok"
    WRONG = "wrong"  # the parity gate failed: the picture is not the reference's
    FELL_BACK = "fell_back"  # it ran, or would have run, elsewhere than asked
    UNAVAILABLE = "unavailable"
    OOM = "oom"
    TIMEOUT = "timeout"
    CRASHED = "crashed"  # the process died, or left no record
    ERROR = "error"  # it raised


class Warmup(Value, frozen=True, kw_only=True):
    """The runs of one shape between the first tile and the timed loop; kept and shown, untouched by statistics."""

    tiles: int | None  # in a run; None: schema 1 did not tell the sizes of batches apart
    times_ns: tuple[int, ...]
    steady: bool | None  # ended because its times were steady, not because its time was up; None: schema 1
    streamed: bool = False  # a run is a stream of several batches, in the session's own way


class NewShape(Value, frozen=True, kw_only=True):
    """A tile of a shape that the session had not seen, after everything else was measured."""

    side_px: int | None = None
    first_ns: int | None = None  # host to host
    again_ns: int | None = None  # the same tile once more: what is left is what meeting the shape cost
    reason: str | None = None  # why there are no times, or what went wrong after them


class Repeats(Value, frozen=True, kw_only=True):
    """Compare runs on repeated tiles with runs on new ones."""

    tiles: int | None  # in a run; None: a command's whole picture
    new_ns: int  # the fastest run on new tiles
    repeated_ns: tuple[int, ...]  # on the same ones; more follow, each after a new run, while memory is suspected


class Samples(Value, frozen=True, kw_only=True):
    """Times of one launch in nanoseconds, from a monotonic clock. Three boundaries, never mixed."""

    load_ns: int | None  # `cold`: artifact on disk -> session ready; the three are None for a command: it has no tile
    first_tile_ns: int | None  # `cold`: first tile through the fresh session, host to host
    cold_ns: int | None  # `cold`: process start -> first tile is back
    new_shape: NewShape | None = None  # `cold`: None: schema 1 did not try one
    warmups: tuple[Warmup, ...]  # the single tile first, then each size of batch, then the stream
    tile_ns: tuple[int, ...]  # `tile`: one batch of one tile, host to host
    image_ns: tuple[int, ...]  # `image`: the whole plan through `stream`, cut and stitch excluded; of a command a call
    start_ns: int | None = None  # of a command: the same call on a picture of next to no pixels; it is in `image_ns`
    start_side_px: int | None = None  # of that picture
    repeats: tuple[Repeats, ...] | None = None  # of the passes' way to run, and of single tiles; None: not recorded


class Memory(Value, frozen=True, kw_only=True):
    """Peak memory of the launch's process, or of a command and what it starts; None is "not measured"."""

    peak_rss_bytes: int | None
    peak_rss_method: str
    device_bytes: int | None
    device_method: str


class MemoryBound(StrEnum):
    """What bounds the memory of a launch."""

    ADDRESS_SPACE = "address-space limit"  # ulimit -v
    CONTROL_GROUP = "control group's limit"
    MACHINE = "free on the machine"
    DEVICE = "free on the device"


class Room(Value, frozen=True, kw_only=True):
    """The memory that a launch had when it began: the narrowest bound that is known."""

    bytes: int
    bound: MemoryBound


class Noise(Value, frozen=True, kw_only=True):
    """What the machine did during a launch, seen by the parent; None is "not known here"."""

    load_before: float | None = None  # one-minute load average; the run's own earlier launches are in it
    other_cores: float | None = None  # CPU time of all other processes over the launch's time: 0.45 is 45 % of a core
    steal_cores: float | None = None  # the same, of what the hypervisor gave to other machines
    quota_stopped_s: float | None = None  # how long control groups' CPU quotas stopped the launch, added up over cores
    governor: str | None = None
    temperature_c: float | None = None  # the CPU's hottest sensor, after the launch
    thermal_throttles: int | None = None  # times that cores slowed down for heat


class GpuClocks(Value, frozen=True, kw_only=True):
    """The target's GPU right after the timed loop."""

    sm_mhz: int | None
    max_sm_mhz: int | None
    temperature_c: int | None
    held_back: tuple[str, ...] | None  # why it ran slower than it could; None: not known
    power_w: float | None = None  # of the whole board, as NVML averages it


class Clocks(Value, frozen=True, kw_only=True):
    """How fast the processors ran right after the timed loop; None is "not known"."""

    cpu_mhz: float | None  # mean of as many of the fastest usable cores as there are threads
    gpu: GpuClocks | None = None


class Energy(Value, frozen=True, kw_only=True):
    """What the target's device used over the timed loop, by its own counter: all of it, whoever used it."""

    joules: float | None  # None: not measured
    seconds: float | None  # between the two readings
    method: str  # the counter, or why there is none


class ThreadsAtWork(Value, frozen=True, kw_only=True):
    """Hold the CPU time of the timed loop.

    Of a command, it is that of its processes over the timed calls.
    """

    cpu_s: float  # of all threads together
    wall_s: float
    busy_threads: int | None = None  # with at least a tenth of the busiest one's CPU time; None: not known

    @property
    def cores(self) -> float:
        """Return the cores in use, on average."""
        return self.cpu_s / self.wall_s if self.wall_s > 0 else 0.0


class Fidelity(Value, frozen=True, kw_only=True):
    """The pixels of the timed loop against the reference's, on float output of the stitched picture."""

    mse: float  # mean squared error, of the [0, 1] scale; 0 is identical
    ssim: float
    worst_abs: float  # largest absolute difference of a value, of the [0, 1] scale
    worst_yx: tuple[int, int]  # where, in the output picture
    nan_count: int
    inf_count: int
    constant_tiles: int  # tiles of one single value whose reference is not
    close_share: float | None = None  # of the values, how many are within 1/255 of the reference's; None: not counted
    bits: int | None = None  # both pictures were first rounded to so many, as this one is; None: floats
    border_px: int = 0  # input pixels at each border that were not compared


class ReferenceCheck(Value, frozen=True, kw_only=True):
    """Compare one tile of the reference with float64."""

    side_px: int
    mse: float  # mean squared error, of the [0, 1] scale
    seconds: float  # that the check took

    def __post_init__(self) -> None:
        if self.side_px < 1 or not 0 <= self.mse < math.inf:
            raise ValueError(f"a check of {self.side_px} px with a mean squared error of {self.mse} cannot be")


class Workload(Value, frozen=True, kw_only=True):
    """The same pixels for every target."""

    id: str  # unique in its run, such as `t48b1`
    image: str  # where the pixels come from: a sample's name or a file name
    left_px: int = 0  # where the input was cropped out of the image
    top_px: int = 0
    width_px: int  # of the input that is cut into tiles
    height_px: int
    tile_px: int
    halo_px: int
    batch: int
    threads: int
    tiles: int  # in the plan
    pixels_sha256: str  # of the (H, W, 3) uint8 input
    copies: int = 1  # how often a pass goes through the plan, so that its batches are full, and enough
    sweep: bool = False  # one of many tiles and batches, on a picture as large as a tile's core


class Case(Value, frozen=True, kw_only=True):
    """A target on a workload."""

    target: Target
    workload: str  # Workload.id
    control: bool = False  # the same case under a second name: what differs between the two is noise


class LaunchRecord(Value, frozen=True, kw_only=True):
    """One fresh process that measured one case once, or why it could not."""

    schema_version: int = SCHEMA_VERSION
    case: Case
    sequence: int  # order in the run, from 0; refused targets come first
    round: int  # from 0
    status: Status
    reason: str | None = None
    remedy: str | None = None
    started_at: str  # ISO 8601, UTC
    wall_ns: int | None = None  # process start -> process end, seen by the parent
    exit_code: int | None = None  # negative: killed by that signal
    samples: Samples | None = None
    memory: Memory | None = None
    placement: Placement | None = None
    fidelity: Fidelity | None = None
    artifact: Artifact | None = None
    noise: Noise | None = None
    clocks: Clocks | None = None
    energy: Energy | None = None
    threads_at_work: ThreadsAtWork | None = None
    reference_check: ReferenceCheck | None = None  # of the reference that its picture was compared with
    room: Room | None = None  # what it had, where memory ran out
    software: bool = False  # its device is the CPU by another name, as its runtime said before anything ran
    previous_sha256: str | None = None  # of the file of the launch before, or of run.json; None: before schema 3


def is_software(launch: LaunchRecord) -> bool:
    """Whether the device that it names is really the CPU: said before it ran, or found when it did."""
    found = launch.placement.device_type if launch.placement else None
    return launch.software or found is DeviceType.SOFTWARE


def title(case: Case, *, software: bool) -> str:
    """``ncnn@vulkan:fp16 (software) t48b1``, of a control case with ``(control)``."""
    parts = (str(case.target), "(software)" if software else "", case.workload, "(control)" if case.control else "")
    return " ".join(filter(None, parts))


def file_stem(target: Target, workload: str) -> str:
    """Return the file name of a target on a workload."""
    return f"{target.replace('@', '_').replace(':', '_')}.{workload}"


class Attainable(Value, frozen=True, kw_only=True):
    """What a device reaches at a precision with the network's convolutions, and with a copy; None is "not known"."""

    device: str  # as in a target: ``cuda1``
    precision: Precision
    gflops_s: float | None
    gbytes_s: float | None  # bytes read and bytes written
    how: str  # by what it was found, or why it is not known


class TrialRecord(Value, frozen=True, kw_only=True):
    """One candidate of a tuning, tried in processes of its own."""

    settings: Settings
    status: Status | None  # of the launch that ended it; None: it was not tried
    reason: str | None = None  # why it is out; None: it was fast enough to be chosen, or simply slower
    image_s: tuple[float, ...] = ()  # each launch's median pass through the plan


class TuningRecord(Value, frozen=True, kw_only=True):
    """Which settings a target runs with on a workload, and what they were chosen from."""

    schema_version: int = SCHEMA_VERSION
    target: Target
    workload: str
    chosen: Settings
    trials: tuple[TrialRecord, ...]  # the default first
    speedup: float | None = None  # of the chosen over the default, over the pairs that decided; None: the default stays
    tuned_at: str  # ISO 8601, UTC
    elapsed_s: float
    known: bool = False  # taken from an earlier run on this machine: nothing was tried in this one


class ModelRecord(Value, frozen=True, kw_only=True):
    """The model that a run measured."""

    name: str
    spec: NetworkSpec
    weights_sha256: str
    source: str


class Environment(Value, frozen=True, kw_only=True):
    """Facts of the machine; None is "not known"."""

    os: str
    python: str
    cpu: str
    cpu_features: tuple[str, ...]  # instruction sets that matter here: avx2, avx512f, avx512_bf16, amx_bf16, …
    cpu_cores: int  # of the machine
    usable_cores: int  # that this process may use: affinity and cgroup included
    memory_bytes: int
    gpus: tuple[str, ...]
    governor: str | None
    virtual: str | None  # hypervisor or container, as far as it can be told
    versions: dict[str, str]  # distribution -> version


class LaunchEnvironment(Value, frozen=True, kw_only=True):
    """Record environment variables that can steer a runtime."""

    passed: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # from the user's own: they choose libraries, devices and compilers
    asked: dict[str, str] = msgspec.field(default_factory=dict)  # with --env or in the suite
    dropped: tuple[str, ...] = ()  # set where the run was started, known to steer runtimes, in no launch


class RunRecord(Value, frozen=True, kw_only=True):
    """What a run set out to do; written before its first launch."""

    schema_version: int = SCHEMA_VERSION
    esrbench_version: str
    created_at: str  # ISO 8601, UTC
    suite: str
    seed: int
    budget_s: float | None
    model: ModelRecord
    reference: Target
    workloads: tuple[Workload, ...]
    cases: tuple[Case, ...]
    environment: Environment
    settings: Suite | None = None  # all that was asked for, from which the run can go on; None: schema 1
    attainable: tuple[Attainable, ...] = ()  # probed before the first launch; empty: not probed
    launch_environment: LaunchEnvironment | None = None  # None: not recorded

    @property
    def control(self) -> Case | None:
        """The case that was measured under a second name."""
        return next((case for case in self.cases if case.control), None)


class Resumption(Value, frozen=True, kw_only=True):
    """Written when a run that was cut short goes on."""

    schema_version: int = SCHEMA_VERSION
    resumed_at: str  # ISO 8601, UTC
    sequence: int  # of the first launch from here on
    esrbench_version: str
    environment: Environment  # of now
    changes: tuple[str, ...]  # in words: what is not as it was, and was allowed


class RunEnd(Value, frozen=True, kw_only=True):
    """Written when a run has come to its end, or when its user stopped it; absent when it was killed."""

    schema_version: int = SCHEMA_VERSION
    ended_at: str
    elapsed_s: float
    notes: tuple[str, ...]  # in words: what was left out, and why
    interrupted: bool = False  # by its user: the run can be resumed
    launches: int | None = None  # how many there were; None: before schema 3
    last_sha256: str | None = None  # of the last one's file, or of run.json
    files: dict[str, str] = msgspec.field(
        default_factory=dict
    )  # tunings, notes and pictures -> sha256; at the end alone
