"""The session of every runtime whose loaded artifact is a ``torch.nn.Module``. Imports torch."""

from collections import Counter
from collections.abc import Iterator

import torch

from esrbench.errors import PlacementError
from esrbench.processor import cpu_name
from esrbench.runner import DeviceType, Placement, Session, Tiles
from esrbench.system.openmp import threads_granted
from esrbench.target import Precision, Target
from esrbench.translation import translated
from esrbench_runners.torch_devices import CUDNN_CONV, DTYPES, torch_device
from esrbench_runners.wide_dense import WideDenseBlock


class TorchSession(Session):
    """A network, eager or scripted, on one device; channels_last, so that tiles need no transposing."""

    memory_format = torch.channels_last

    def __init__(self, network: torch.nn.Module, target: Target) -> None:
        self._target = target
        self._device = torch_device(target)
        self._dtype = DTYPES[target.precision]
        with translated(f"{target}: moving the network to its device"):
            # A scripted network ignores memory_format when it moves, hence the second call.
            moved = network.to(device=self._device, dtype=self._dtype)
            self._network = moved.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # as documented
            self._network = self._finished(self._network)
        self._check_placement()

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale a batch; the copy back waits for the work."""
        with translated(f"{self._target}: a batch of shape {tiles.shape}"), torch.inference_mode():
            writable = tiles if tiles.flags.writeable else tiles.copy()  # torch warns of memory it may not write
            upscaled: Tiles = self._drawn(torch.from_numpy(writable).to(self._device)).cpu().numpy()
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

    def _finished(self, network: torch.nn.Module) -> torch.nn.Module:
        """What runs instead of ``network``, which has its place, type and layout: itself, unless overridden."""
        return network

    def _drawn(self, pixels: torch.Tensor) -> torch.Tensor:
        """``(N, H, W, 3)`` on the device → ``(N, sH, sW, 3)`` there, contiguous, of the same dtype, as of ``run``."""
        planes = pixels.permute(0, 3, 1, 2)  # channels_last already
        is_bytes = pixels.dtype == torch.uint8
        planes = planes.to(torch.float32) / 255 if is_bytes else planes
        output: torch.Tensor = self._network(planes.to(self._dtype)).to(torch.float32)
        output = (output.clamp(0, 1) * 255).round().to(torch.uint8) if is_bytes else output
        return output.permute(0, 2, 3, 1).contiguous()

    def _check_placement(self) -> dict[str, int]:
        """Device → convolutions there; refuses any that is elsewhere, or of another type."""
        weights = [weight for weight in _weights(self._network) if weight.dim() == 4]
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
        found = CUDNN_CONV.fp32_precision
        if found != asked:
            raise PlacementError(f"{self._target}: {asked} convolutions were asked for, cuDNN is set to {found}")

    def _options(self) -> dict[str, str]:
        wide = any(isinstance(module, WideDenseBlock) for module in self._network.modules())
        return {
            "dense_blocks": "a convolution a source" if wide else "as written",
            "memory_format": str(self.memory_format).removeprefix("torch."),
            "threads": threads_granted(torch.get_num_threads()),
            "interop_threads": str(torch.get_num_interop_threads()),
            "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
            "cudnn.conv.fp32_precision": CUDNN_CONV.fp32_precision,
        }


def _weights(network: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Parameters, and what of them a frozen script holds as constants of its graph instead."""
    yield from network.parameters()
    if isinstance(network, torch.jit.ScriptModule):
        for node in network.graph.nodes():
            if node.kind() == "prim::Constant" and node.hasAttribute("value") and node.kindOf("value") == "t":
                yield node.t("value")


def _versions(on_gpu: bool) -> dict[str, str]:
    versions = {"torch": str(torch.__version__)}
    if on_gpu:
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return versions
