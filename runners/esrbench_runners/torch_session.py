"""What eager torch and TorchScript share: devices, arithmetic switches, and the session. Imports torch."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

import torch

from esrbench.availability import each, refused, usable
from esrbench.errors import PlacementError
from esrbench.processor import cpu_name
from esrbench.runner import Availability, DeviceType, Placement, Session, Tiles
from esrbench.target import Precision, Target
from esrbench.translation import translated

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.TF32: torch.float32,
    Precision.FP16: torch.float16,
    Precision.BF16: torch.bfloat16,
}
_CUDNN_CONV = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # made at run time, unknown to mypy

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


def set_arithmetic(target: Target, threads: int) -> None:
    """Set torch's process-wide switches: thread budget, and IEEE single precision unless TF32 was asked for."""
    torch.set_num_threads(threads)
    with suppress(RuntimeError):  # settable once, before any parallel work; placement() reports what holds
        torch.set_num_interop_threads(1)
    single = "tf32" if target.precision is Precision.TF32 else "ieee"
    _CUDNN_CONV.fp32_precision = single
    torch.backends.cuda.matmul.fp32_precision = single
    torch.backends.mkldnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]  # likewise
    torch.backends.cudnn.benchmark = True


def torch_device(target: Target) -> torch.device:
    """Torch's own name of the target's device."""
    return torch.device("cpu") if target.device_kind == "cpu" else torch.device("cuda", target.device_index)


class TorchSession(Session):
    """A network, eager or scripted, on one device; channels_last, so that tiles need no transposing."""

    def __init__(self, network: torch.nn.Module, target: Target) -> None:
        self._target = target
        self._device = torch_device(target)
        self._dtype = DTYPES[target.precision]
        with translated(f"{target}: moving the network to its device"):
            # A scripted network ignores memory_format when it moves, hence the second call.
            moved = network.to(device=self._device, dtype=self._dtype)
            self._network = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as documented
        self._check_placement()

    @torch.inference_mode()
    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch; bytes travel to the device as bytes, and the copy back waits for the work."""
        with translated(f"{self._target}: a batch of shape {tiles.shape}"):
            # (N, H, W, 3) seen as (N, 3, H, W) is channels_last already; torch warns of memory that it may not write.
            writable = tiles if tiles.flags.writeable else tiles.copy()
            planes = torch.from_numpy(writable).to(self._device).permute(0, 3, 1, 2)
            is_bytes = planes.dtype == torch.uint8
            planes = planes.to(torch.float32) / 255 if is_bytes else planes
            output = self._network(planes.to(self._dtype)).to(torch.float32)
            output = (output.clamp(0, 1) * 255).round().to(torch.uint8) if is_bytes else output
            upscaled: Tiles = output.permute(0, 2, 3, 1).contiguous().cpu().numpy()
            return upscaled

    def placement(self) -> Placement:
        """Device and type of every convolution's weights, and the switches that hold."""
        nodes = self._check_placement()
        on_gpu = self._device.type == "cuda"
        return Placement(
            device_name=torch.cuda.get_device_name(self._device) if on_gpu else cpu_name(),
            device_type=DeviceType.GPU if on_gpu else DeviceType.CPU,
            provider="cuda" if on_gpu else f"cpu ({torch.backends.cpu.get_cpu_capability()})",
            precision=self._target.precision,
            nodes=nodes,
            options=self._options(),
            versions=_versions(on_gpu),
        )

    def device_memory_bytes(self) -> int | None:
        """The peak of what torch's caching allocator took from the driver, as of the process's start."""
        return torch.cuda.max_memory_reserved(self._device) if self._device.type == "cuda" else None

    def close(self) -> None:
        """Drop the network and give cached device memory back."""
        del self._network
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _check_placement(self) -> dict[str, int]:
        """Device → convolutions there; refuses any that is elsewhere, or of another type."""
        weights = [weight for weight in self._network.parameters() if weight.dim() == 4]
        wrong = [w for w in weights if w.dtype != self._dtype or w.device != self._device]
        if wrong or not weights:
            found = f"{wrong[0].dtype} on {wrong[0].device}" if wrong else "no convolution at all"
            raise PlacementError(f"{self._target}: {self._dtype} on {self._device} was asked for, torch has {found}")
        self._check_single_precision()
        return dict(Counter(str(weight.device) for weight in weights))

    def _check_single_precision(self) -> None:
        """TF32 has its own switch: another session in this process may have turned it."""
        if self._device.type != "cuda" or self._dtype != torch.float32:
            return
        asked = "tf32" if self._target.precision is Precision.TF32 else "ieee"
        found = _CUDNN_CONV.fp32_precision
        if found != asked:
            raise PlacementError(f"{self._target}: {asked} convolutions were asked for, cuDNN is set to {found}")

    def _options(self) -> dict[str, str]:
        return {
            "memory_format": "channels_last",
            "threads": str(torch.get_num_threads()),
            "interop_threads": str(torch.get_num_interop_threads()),
            "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
            "cudnn.conv.fp32_precision": _CUDNN_CONV.fp32_precision,
        }


def _versions(on_gpu: bool) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if on_gpu:
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return versions
