"""The CPU's name, and the instruction sets that decide how fast a convolution runs on it."""

import platform
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

FEATURES = (
    *("avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""As Linux spells them: x86 first, Arm after."""


def cpu_name() -> str:
    """Such as ``AMD EPYC 9654 96-Core Processor``; the machine's architecture where nothing better is known."""
    return _linux_field("model name") or _sysctl("machdep.cpu.brand_string") or platform.processor() or _architecture()


def cpu_features() -> tuple[str, ...]:
    """Those of :data:`FEATURES` that this CPU has; empty where the system does not tell."""
    flags = (_linux_field("flags") or _linux_field("Features") or "").split()
    return tuple(feature for feature in FEATURES if feature in flags)


def _linux_field(name: str) -> str | None:
    """The first core's value of a line of ``/proc/cpuinfo``."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    values = (value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == name)
    return next(values, None)


def _sysctl(name: str) -> str | None:
    """A value of macOS's ``sysctl``."""
    if platform.system() != "Darwin":
        return None
    try:
        command = ["/usr/sbin/sysctl", "-n", name]
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _architecture() -> str:
    return platform.machine() or "unknown CPU"
