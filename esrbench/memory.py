"""The peak of resident memory of this process."""

import os
import sys
from pathlib import Path

import psutil

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): reset the peak resident set size to its present value


def reset_peak_rss() -> bool:
    """Begin a new peak; False where the system offers none, and the peak is that of the process's life."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_rss_bytes() -> tuple[int | None, str]:
    """Peak resident bytes since the last reset, and how they were told; None where they cannot be.

    Linux's ``VmHWM`` is this process's own; ``ru_maxrss`` would begin at the parent's peak.
    """
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return _elsewhere()
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024, "VmHWM"
    return None, "no VmHWM in /proc/self/status"


def _elsewhere() -> tuple[int | None, str]:
    if sys.platform == "darwin":
        import resource  # noqa: PLC0415  (Unix only)

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "ru_maxrss"  # bytes there, KiB on Linux
    if os.name == "nt":
        return int(getattr(psutil.Process().memory_info(), "peak_wset", 0)) or None, "peak_wset"
    return None, "not available on this system"
