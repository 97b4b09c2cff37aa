"""What each device can reach with a network's own convolutions: probed before a run's first launch.

``python -m esrbench.attainable_worker`` does the work, one process a device, with torch whatever the runtimes measured.
Whatever goes wrong there costs the run its percentages, nothing else.
"""

import sys
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from esrbench import scratch
from esrbench.advice import BUSY_CORES
from esrbench.architecture import Convolution, NetworkSpec
from esrbench.child import Failure
from esrbench.codec import Value, decode, encode
from esrbench.cuda_driver import device_names
from esrbench.errors import EsrbenchError
from esrbench.launcher import last_line
from esrbench.noise import Gauges, between
from esrbench.process import run
from esrbench.processor import cpu_features
from esrbench.record import Attainable, Noise, Workload
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision

TIMEOUT_S = 120.0
"""Two precisions of a CPU take 6 s; importing torch with a cold disk cache, or tuning on a GPU, takes longer."""

LEAST_SHARE = 0.01
"""A convolution with less than this share of the network's arithmetic is left out: 2 of 351 in realesrgan-x4plus."""

SIDES_PX = {"cpu": (64,), "cuda": (512,)}
"""Tiles at which convolutions are probed beside the workloads' own, so that a run of small or of huge tiles is held
against what suits the device. On two cores of Zen 5 64² px reach 3 to 6 % more than 32² or 48², and as much as 96²."""

MOST_PX = {"cpu": 128**2, "cuda": 1024**2}
"""Batches of more pixels are not probed: slower, and too much memory."""

BF16_FEATURES = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""Instruction sets that multiply in bf16; without one, bf16 is a way to store values, and the arithmetic is fp32's."""

ON_CUDA = frozenset({Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16})


class Shape(Value, frozen=True, kw_only=True):
    """A 3×3 convolution to probe."""

    before: int
    after: int
    share: float  # of the network's arithmetic


class ProbeJob(Value, frozen=True, kw_only=True):
    """What one process probes on one device."""

    device: str  # ``cpu``, ``cuda``, ``cuda1``
    precisions: tuple[Precision, ...]
    shapes: tuple[Shape, ...]
    sizes: tuple[tuple[int, int], ...]  # tiles in a batch, side in px where the shapes run
    threads: int


class Probed(Value, frozen=True, kw_only=True, tag=True):
    """What it found, in the order of the precisions."""

    found: tuple[Attainable, ...]


Source = tuple[str, Precision]
"""Device and precision that are probed, for a target's."""


def probe(
    spec: NetworkSpec, workloads: Sequence[Workload], usable: Iterable[Availability], threads: int
) -> tuple[Attainable, ...]:
    """What the devices of these targets attain at their precisions; or why it is not known."""
    entries = {(entry.target.device, entry.target.precision): entry for entry in usable}
    sources = {asked: _source(entry) for asked, entry in entries.items()}
    known: dict[Source, Attainable] = {}
    for device in dict.fromkeys(source[0] for source in sources.values() if not isinstance(source, str)):
        wanted = {source[1] for source in sources.values() if not isinstance(source, str) and source[0] == device}
        job = ProbeJob(
            device=device,
            precisions=tuple(precision for precision in Precision if precision in wanted),
            shapes=shapes_of(spec.convolutions()),
            sizes=sizes_of(workloads, device.rstrip("0123456789"), spec.unshuffle),
            threads=threads,
        )
        known |= {(device, found.precision): found for found in _ask(job)}
    return tuple(_answer(*asked, source, known) for asked, source in sources.items())


def shapes_of(convolutions: Iterable[Convolution]) -> tuple[Shape, ...]:
    """The distinct shapes that matter, with the share that each has of all arithmetic."""
    macs: dict[tuple[int, int], float] = {}
    for conv in convolutions:
        macs[conv.before, conv.after] = macs.get((conv.before, conv.after), 0.0) + conv.macs
    total = sum(macs.values())
    return tuple(
        Shape(before=before, after=after, share=each / total)
        for (before, after), each in macs.items()
        if each >= LEAST_SHARE * total
    )


def sizes_of(workloads: Iterable[Workload], kind: str, unshuffle: int) -> tuple[tuple[int, int], ...]:
    """Batches of the network's body to probe: the workloads' own where they are not too large, and one that suits."""
    own = [(workload.batch, workload.tile_px // unshuffle) for workload in workloads]
    fit = [(batch, side) for batch, side in own if 0 < batch * side**2 <= MOST_PX[kind]]
    return tuple(dict.fromkeys([*fit, *((1, side) for side in SIDES_PX[kind])]))


def _source(entry: Availability) -> Source | str:
    """What is probed for a target, or why nothing is."""
    target = entry.target
    if entry.device_type is DeviceType.SOFTWARE:
        return f"{entry.device_name} is software"
    match target.device_kind:
        case "cpu":
            return _on_cpu(target.precision)
        case "cuda":
            return _on_cuda(target.device, target.precision)
        case "vulkan":
            # Equal names are equal devices here: which of two alike it is makes no difference to what it attains.
            names = device_names()
            if entry.device_name not in names:
                return f"{entry.device_name} cannot be told to be a CUDA device"
            index = names.index(entry.device_name)
            return _on_cuda(f"cuda{index or ''}", target.precision)
        case kind:
            return f"there is no probe for {kind} devices"


def _on_cpu(precision: Precision) -> Source | str:
    if precision is Precision.FP32 or (precision is Precision.BF16 and BF16_FEATURES & set(cpu_features())):
        return "cpu", precision
    if precision is Precision.BF16:
        return "this CPU has no bf16 arithmetic that is known of"
    return f"there is no probe for {precision.value} on a CPU"


def _on_cuda(device: str, precision: Precision) -> Source | str:
    return (device, precision) if precision in ON_CUDA else f"there is no probe for {precision.value} on a GPU"


def _answer(device: str, precision: Precision, source: Source | str, known: dict[Source, Attainable]) -> Attainable:
    if isinstance(source, str):
        return _unknown(device, precision, source)
    found = known[source]
    how = found.how if source[0] == device else f"as {source[0]}, the same GPU: {found.how}"
    return replace(found, device=device, how=how)


def _unknown(device: str, precision: Precision, why: str) -> Attainable:
    return Attainable(device=device, precision=precision, gflops_s=None, gbytes_s=None, how=f"not known: {why}")


def _remarked(found: tuple[Attainable, ...], noise: Noise) -> tuple[Attainable, ...]:
    """With a remark where others had part of the cores: what was found is then less than what can be reached."""
    if noise.other_cores is None or noise.other_cores <= BUSY_CORES:
        return found
    remark = f"; other processes used {noise.other_cores:.0%} of a core meanwhile, so that more may be reached"
    return tuple(replace(each, how=each.how + remark) for each in found)


def _ask(job: ProbeJob, timeout_s: float = TIMEOUT_S) -> tuple[Attainable, ...]:
    """The answer of a process; unknown with its last words where there is none."""
    with scratch.folder() as folder:
        answer, log = folder / "answer.json", folder / "log.txt"
        command = [sys.executable, "-P", "-m", "esrbench.attainable_worker", str(answer)]
        gauges = Gauges()
        before = gauges.read()
        try:
            ended = run(command, stdin=encode(job), log=log, threads=job.threads, timeout_s=timeout_s)
            found: Probed | Failure = decode(answer.read_bytes(), Probed | Failure, "the answer of the probe")  # type: ignore[arg-type]  # a union is no type to mypy
        except OSError:
            end = f"it did not end within {timeout_s:g} s" if ended.timed_out else last_line(log)
            found = Failure(error_type="OSError", message=end or f"its process ended with code {ended.exit_code}")
        except EsrbenchError as error:
            found = Failure(error_type=type(error).__name__, message=str(error))
    if isinstance(found, Probed):
        return _remarked(found.found, between(before, gauges.read()))
    return tuple(_unknown(job.device, precision, f"its probe failed: {found.message}") for precision in job.precisions)
