"""The process that probes one device with torch: convolutions, and a copy.

A convolution's rate is that of its fastest call in any of the forms that torch offers. All are visited in turn, again
and again, so that a disturbance meets many once instead of one always.
"""

import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from esrbench.attainable import Probed, ProbeJob, Shape
from esrbench.child import serve
from esrbench.errors import UnavailableError
from esrbench.record import Attainable
from esrbench.target import Precision

Call = Callable[[], object]
Trial = Callable[[], float]
"""Runs what it tries a few times, and returns the seconds of one call."""

Key = TypeVar("Key", bound=Hashable)

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.TF32: torch.float32,
    Precision.FP16: torch.float16,
    Precision.BF16: torch.bfloat16,
}

BUDGET_S = 1.5
COPY_BUDGET_S = 0.5
MIN_PASSES = 3
"""A precision's convolutions are visited for so long, each at least so often: the first visit compiles and warms up."""

LIKELY_SPREAD = 2.0
LIMIT_S = 6.0
"""Convolutions of a network reach rates within a quarter of each other on a quiet CPU. Where one is below half of
another's a neighbour took the cores whenever it was visited (thread pools that spin ran at 2 % then, measured), and all
are visited again for up to so long."""

VISIT_S = 0.004
CALLS = 20
"""A visit lasts so long on the CPU; on a GPU it is so many calls in its queue, more than launching them takes."""

COPY_BYTES = {"cpu": 1 << 28, "cuda": 1 << 30}
"""Several times the last cache of almost any processor: 256 MiB, 1 GiB."""


def probed(job: ProbeJob, budget_s: float = BUDGET_S) -> Probed:
    """Rates at each precision, and the copy's, on one device.

    Raises:
        UnavailableError: torch has no such device.
    """
    device = torch_device(job.device)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnavailableError(f"torch {torch.__version__} finds no CUDA device")
        torch.cuda.set_device(device)  # events are recorded there
    torch.set_num_threads(job.threads)
    torch.backends.cudnn.benchmark = True
    gbytes_s = _copied_gbytes_s(device)
    return Probed(found=tuple(_found(job, precision, device, budget_s, gbytes_s) for precision in job.precisions))


def _found(job: ProbeJob, precision: Precision, device: torch.device, budget_s: float, gbytes_s: float) -> Attainable:
    """One precision's: that cuDNN has no engine for it, or no memory, costs no other precision its own."""
    try:
        gflops_s, how = _gflops_s(job, precision, device, budget_s), _how(job, device)
    except RuntimeError as error:  # torch's own OutOfMemoryError and AcceleratorError are such
        gflops_s, how = None, f"not known: {' '.join(str(error).split())[:200]}"
    return Attainable(device=job.device, precision=precision, gflops_s=gflops_s, gbytes_s=gbytes_s, how=how)


def torch_device(name: str) -> torch.device:
    """``cuda1`` as torch names it."""
    kind = name.rstrip("0123456789")
    return torch.device(kind) if kind == "cpu" else torch.device(kind, int(name[len(kind) :] or 0))


@torch.inference_mode()
def _gflops_s(job: ProbeJob, precision: Precision, device: torch.device, budget_s: float) -> float:
    """Of all shapes together, each in its fastest form: shares of arithmetic over shares of time."""
    _set_single_precision(precision)
    trials: dict[tuple[Shape, int, int, str], Trial] = {}
    for batch, side in job.sizes:
        try:
            for shape in job.shapes:
                for form, call in _forms(shape, batch, side, DTYPES[precision], device).items():
                    trials[shape, batch, side, form] = _trial(call, device)
        except torch.OutOfMemoryError:  # the other sizes will do, where each shape has one
            torch.cuda.empty_cache()
    # On a GPU nobody else's threads get in between, and small convolutions are honestly slower.
    return together(_rates(fastest(trials, budget_s, lambda best_s: device.type != "cpu" or is_likely(_rates(best_s)))))


def _rates(best_s: Mapping[tuple[Shape, int, int, str], float]) -> dict[Shape, float]:
    """GFLOP/s of each shape, at its best size and in its best form."""
    rates: dict[Shape, float] = {}
    for (shape, batch, side, _), seconds in best_s.items():
        flop = 2 * 9 * shape.before * shape.after * batch * side**2
        rates[shape] = max(rates.get(shape, 0.0), flop / seconds / 1e9)
    return rates


def is_likely(rates: Mapping[Shape, float]) -> bool:
    """Whether no rate looks as if its convolution had been disturbed at every visit."""
    return max(rates.values()) <= LIKELY_SPREAD * min(rates.values())


def together(rates: Mapping[Shape, float]) -> float:
    """One rate of several shapes', weighted by their shares of the arithmetic."""
    return sum(shape.share for shape in rates) / sum(shape.share / rate for shape, rate in rates.items())


def fastest(
    trials: Mapping[Key, Trial],
    budget_s: float,
    enough: Callable[[Mapping[Key, float]], bool] = lambda best_s: True,
    clock_s: Callable[[], float] = time.perf_counter,
) -> dict[Key, float]:
    """The least seconds of each, visited in turn until the budget ends, or the limit where they are not ``enough``."""
    best_s = dict.fromkeys(trials, float("inf"))
    begin_s, passes = clock_s(), 0
    while passes < MIN_PASSES or clock_s() - begin_s < (budget_s if enough(best_s) else LIMIT_S):
        for key, trial in trials.items():
            best_s[key] = min(best_s[key], trial())
        passes += 1
    return best_s


def _forms(shape: Shape, batch: int, side: int, dtype: torch.dtype, device: torch.device) -> dict[str, Call]:
    """The same convolution, without bias, in each form that may be the fastest.

    All are channels_last. torch's blocked tensors (``to_mkldnn``) were a quarter slower at every size tried.
    """
    layout = torch.channels_last
    x = torch.rand(batch, shape.before, side, side, device=device).to(dtype).contiguous(memory_format=layout)
    weight = (torch.rand(shape.after, shape.before, 3, 3, device=device) - 0.5).to(dtype)
    plain = weight.contiguous(memory_format=layout)
    forms: dict[str, Call] = {"channels_last": lambda: conv2d(x, plain, padding=1)}
    if device.type == "cpu":
        with suppress(AttributeError, RuntimeError):  # a build without oneDNN, or one that packs in another way
            forms["packed"] = _packed(x, weight)
    return forms


def _packed(x: Tensor, weight: Tensor) -> Call:
    """With weights in oneDNN's own order, as torch's compiler packs them."""
    ones = [1, 1]
    packed = torch._C._nn.mkldnn_reorder_conv2d_weight(weight.to_mkldnn(), ones, ones, ones, 1, list(x.shape))  # type: ignore[call-arg]  # its stub lacks the shape

    def call() -> object:
        return torch.ops.mkldnn._convolution_pointwise(x, packed, None, ones, ones, ones, 1, "none", [], "")

    call()  # now, if it cannot be
    return call


def _trial(call: Call, device: torch.device) -> Trial:
    return _queued(call) if device.type == "cuda" else _called(call)


def _called(call: Call) -> Trial:
    def trial() -> float:
        best_s, begin_s = float("inf"), time.perf_counter()
        while True:
            start_s = time.perf_counter()
            call()
            now_s = time.perf_counter()
            best_s = min(best_s, now_s - start_s)
            if now_s - begin_s > VISIT_S:
                return best_s

    return trial


def _queued(call: Call) -> Trial:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def trial() -> float:
        start.record()
        for _ in range(CALLS):
            call()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1e3 / CALLS  # from ms

    return trial


@torch.inference_mode()
def _copied_gbytes_s(device: torch.device) -> float:
    """A copy between two tensors: bytes read and bytes written, as STREAM counts them (McCalpin 1995)."""
    source = torch.ones(COPY_BYTES[device.type], dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    trial = _trial(lambda: copy.copy_(source), device)
    return 2 * source.numel() / fastest({"copy": trial}, COPY_BUDGET_S)["copy"] / 1e9


def _set_single_precision(precision: Precision) -> None:
    single = "tf32" if precision is Precision.TF32 else "ieee"
    torch.backends.cudnn.conv.fp32_precision = single  # type: ignore[attr-defined]  # made at run time, unknown to mypy
    torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # likewise


def _how(job: ProbeJob, device: torch.device) -> str:
    sizes = ", ".join(f"{batch}×{side}²" for batch, side in job.sizes)
    on = f"cuDNN {torch.backends.cudnn.version()}" if device.type == "cuda" else f"{job.threads} threads"  # type: ignore[no-untyped-call]
    return (
        f"torch {torch.__version__}, {on}: {len(job.shapes)} convolutions of the network at {sizes} px, each at its "
        f"fastest, weighted by their arithmetic; a copy of {COPY_BYTES[device.type] >> 20} MiB"
    )


if __name__ == "__main__":
    serve(ProbeJob, probed)
