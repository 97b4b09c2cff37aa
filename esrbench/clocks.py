"""How fast the processors ran, read inside a launch right after its timed loop, while they are still warm."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from esrbench.device_memory import open_device
from esrbench.record import Clocks, GpuClocks
from esrbench.target import Target

CPUS = Path("/sys/devices/system/cpu")

REASONS = {
    "SwPowerCap": "power cap",
    "HwSlowdown": "hardware slowdown",
    "SwThermalSlowdown": "thermal slowdown (software)",
    "HwThermalSlowdown": "thermal slowdown (hardware)",
    "HwPowerBrakeSlowdown": "power brake",
}
"""NVML's reasons for a lower clock than the GPU could run, by the ends of their names, in words. The others say that it
was idle or that someone set its clocks."""


def read(target: Target, threads: int) -> Clocks:
    """Clocks of the CPU and of the target's GPU; None for what the system does not tell."""
    return Clocks(cpu_mhz=_cpu_mhz(threads), gpu=_gpu(target))


def _cpu_mhz(threads: int) -> float | None:
    """Mean of as many of the fastest usable cores as there are threads: the others are idle."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found: list[float] = []
    for core in cores:
        with suppress(OSError, ValueError):
            found.append(int((CPUS / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").read_text("ascii")) / 1000)
    fastest = sorted(found, reverse=True)[:threads]
    return sum(fastest) / len(fastest) if fastest else None


def _gpu(target: Target) -> GpuClocks | None:
    device = open_device(target)
    if device is None:
        return None
    import pynvml  # noqa: PLC0415  (opens the driver: only in a launch that has a GPU)

    def ask(function: str, *arguments: int) -> Any | None:
        try:
            return getattr(pynvml, function)(device, *arguments)
        except (pynvml.NVMLError, AttributeError):  # not supported by this device, or by this driver's library
            return None

    bits = ask("nvmlDeviceGetCurrentClocksEventReasons")
    return GpuClocks(
        sm_mhz=ask("nvmlDeviceGetClockInfo", pynvml.NVML_CLOCK_SM),
        max_sm_mhz=ask("nvmlDeviceGetMaxClockInfo", pynvml.NVML_CLOCK_SM),
        temperature_c=ask("nvmlDeviceGetTemperature", pynvml.NVML_TEMPERATURE_GPU),
        power_w=None if (milliwatts := ask("nvmlDeviceGetPowerUsage")) is None else milliwatts / 1000,
        held_back=None if bits is None else _reasons(bits),
    )


def _reasons(bits: int) -> tuple[str, ...]:
    import pynvml  # noqa: PLC0415

    return tuple(word for name, word in REASONS.items() if bits & getattr(pynvml, f"nvmlClocksEventReason{name}", 0))
