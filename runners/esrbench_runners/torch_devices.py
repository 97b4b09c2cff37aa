"""Which CUDA targets torch has here, and its process-wide arithmetic switches. Imports torch."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from esrbench.availability import each, refused, usable
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision, Target

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.TF32: torch.float32,
    Precision.FP16: torch.float16,
    Precision.BF16: torch.bfloat16,
}
CUDNN_CONV = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # made at run time, unknown to mypy

AMPERE = (8, 0)
"""The first compute capability with TF32 and bf16 tensor cores (CUDA C++ Programming Guide, compute capabilities)."""


def cuda_targets(runtime: str, precisions: Sequence[Precision]) -> Sequence[Availability]:
    """``runtime``'s targets on each CUDA device, or why there are none."""
    try:
        if torch.cuda.is_available():
            indices = range(torch.cuda.device_count())
            return [entry for index in indices for entry in _on_device(runtime, index, tuple(precisions))]
        reason, remedy = _why_no_cuda()
    except RuntimeError as error:  # a driver in a bad state must not take the CPU's targets with it
        reason, remedy = f"CUDA does not start: {' '.join(str(error).split())[:300]}", "check nvidia-smi"
    return refused(each(runtime, "cuda", precisions), reason, remedy)


def _why_no_cuda() -> tuple[str, str]:
    if torch.version.cuda is None:
        return (
            f"torch {torch.__version__} is built without CUDA",
            "install a CUDA build of torch on a machine with an NVIDIA GPU: https://pytorch.org/get-started/locally",
        )
    return "torch finds no CUDA device", "check nvidia-smi and CUDA_VISIBLE_DEVICES"


def _on_device(runtime: str, index: int, precisions: tuple[Precision, ...]) -> tuple[Availability, ...]:
    name = torch.cuda.get_device_name(index)
    capability = torch.cuda.get_device_capability(index)
    lacking = {Precision.TF32, Precision.BF16} if capability < AMPERE else set()
    targets = each(runtime, f"cuda{index}", precisions)
    reason = f"{name} has compute capability {'.'.join(map(str, capability))}; TF32 and bf16 need 8.0"
    return (
        *usable((target for target in targets if target.precision not in lacking), name, DeviceType.GPU),
        *refused((target for target in targets if target.precision in lacking), reason, "measure fp16 or fp32"),
    )


def set_arithmetic(target: Target, threads: int, *, benchmark: bool = True) -> None:
    """Set torch's process-wide switches: thread budget, and IEEE single precision unless TF32 was asked for.

    ``benchmark``: let cuDNN time its algorithms for each new shape and keep the fastest.
    """
    torch.set_num_threads(threads)
    with suppress(RuntimeError):  # settable once, before any parallel work; placement() reports what holds
        torch.set_num_interop_threads(1)
    _allow_tf32(target.precision is Precision.TF32)
    torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # likewise
    torch.backends.cudnn.benchmark = benchmark


def _allow_tf32(allowed: bool) -> None:
    """Through the old switches and the new ones: where they disagree, asking the old ones raises, and Inductor asks.

    See pytorch/pytorch#166387. The old ones come first, as they set the new ones too, to ``none`` where TF32 is off.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    switches: tuple[Any, ...] = (
        torch.backends.cudnn,
        CUDNN_CONV,
        torch.backends.cudnn.rnn,
        torch.backends.cuda.matmul,
    )
    for switch in switches:
        switch.fp32_precision = "tf32" if allowed else "ieee"


def torch_device(target: Target) -> torch.device:
    """Torch's own name of the target's device."""
    return torch.device("cpu") if target.device_kind == "cpu" else torch.device("cuda", target.device_index)
