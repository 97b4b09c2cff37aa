"""Device memory of a launch: NVML per process, else the device's growth, else the runtime's allocator.

The method is recorded with the figure.
"""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from esrbench.cuda_driver import pci_bus_id
from esrbench.target import Target

NOT_MEASURED = "not measured"

GPU_KINDS = frozenset({"cuda", "vulkan"})


class DeviceMemoryMeter:
    """Made before the model is loaded, read while its session is still open."""

    def __init__(self, target: Target) -> None:
        self._on_gpu = target.device_kind in GPU_KINDS
        self._device = open_device(target)
        self._used_before = device_used_bytes(self._device)

    def used_bytes(self, allocated: Callable[[], int | None] = lambda: None) -> tuple[int | None, str]:
        """Bytes that this process holds on its device, and how that was found; None where nothing can tell.

        Most caching allocators keep what they once took, so that the figure at the end is the peak. torch's gives it
        back before it captures a graph: ``allocated``, the session's
        :meth:`~esrbench.runner.Session.device_memory_bytes`, remembers the peak, without the driver's own share; the
        larger of the two is taken.
        """
        counted = allocated() if self._on_gpu else None
        seen, method = self._seen_bytes()
        if counted is not None and counted > (seen or 0):
            return counted, "the runtime's allocator, driver excluded"
        return seen, method

    def _seen_bytes(self) -> tuple[int | None, str]:
        """What NVML sees."""
        mine = self._process_bytes()
        if mine is not None:
            return mine, "NVML per process"
        used = device_used_bytes(self._device)
        if used is not None and self._used_before is not None and used > self._used_before:
            return used - self._used_before, "NVML device total, after minus before"
        return None, NOT_MEASURED  # no NVML, or no growth: seen on another device

    def _process_bytes(self) -> int | None:
        """This process's bytes on its device; where it cannot be told which that is, on the one that lists it."""
        if self._device is not None:
            return process_bytes(self._device, {os.getpid()})
        found = (
            [mine for device in _all_devices() if (mine := process_bytes(device, {os.getpid()}))]
            if self._on_gpu
            else []
        )
        return found[0] if len(found) == 1 else None


def device_free_bytes(target: Target) -> int | None:
    """Free bytes of the target's device; None for a CPU, or where nothing can tell."""
    device = open_device(target)
    if device is None:
        return None
    import pynvml  # noqa: PLC0415

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(device).free)
    except pynvml.NVMLError:
        return None


def open_device(target: Target) -> Any | None:
    """NVML's handle of the target's device; None for a CPU, without NVML, or where it cannot be told which."""
    if target.device_kind not in GPU_KINDS:
        return None
    import pynvml  # noqa: PLC0415  (opens the driver: only in a launch that has a GPU)

    try:
        pynvml.nvmlInit()
        if target.device_kind == "cuda":
            bus_id = pci_bus_id(target.device_index)
            return None if bus_id is None else pynvml.nvmlDeviceGetHandleByPciBusId(bus_id)
        # Vulkan counts devices in an order of its own, those of other makers too.
        return pynvml.nvmlDeviceGetHandleByIndex(0) if pynvml.nvmlDeviceGetCount() == 1 else None
    except pynvml.NVMLError:
        return None


def _all_devices() -> list[Any]:
    import pynvml  # noqa: PLC0415

    try:
        pynvml.nvmlInit()
        return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []


def process_bytes(device: Any, pids: Collection[int]) -> int | None:
    """Bytes of these processes: of each the larger of the compute and the graphics list, as both report the total."""
    import pynvml  # noqa: PLC0415

    found: dict[int, int] = {}
    for list_processes in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        with suppress(pynvml.NVMLError):
            for each in list_processes(device):
                if each.pid in pids and each.usedGpuMemory:
                    found[each.pid] = max(found.get(each.pid, 0), each.usedGpuMemory)
    return sum(found.values()) if found else None


def device_used_bytes(device: Any | None) -> int | None:
    """Bytes in use on the device, by everyone; None where it does not tell."""
    if device is None:
        return None
    import pynvml  # noqa: PLC0415

    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(device).used)
    except pynvml.NVMLError:
        return None
