"""Peak memory of another program and of all that it starts, read again and again while it runs.

Reading costs CPU time on the machine that is measured, so a call that is watched is not timed. Linux keeps a peak for
each process (``VmHWM``), which is exact where there is one; no system keeps one for a tree without a control group of
its own, whose peak would count cached files too.
"""

import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from esrbench import device_memory
from esrbench.record import Memory
from esrbench.target import Target
from esrbench.wording import counted

INTERVAL_S = 0.01


class _Resident(NamedTuple):
    """Resident bytes of a process."""

    now: int
    peak: int | None  # of the program that it runs; None: the system keeps none


class TreeMemory:
    """Watches one call; made before the program is started."""

    def __init__(self, target: Target) -> None:
        self._device = device_memory.open_device(target)
        self._device_before = device_memory.device_used_bytes(self._device)
        self._sum_bytes = 0  # of the whole tree, at one moment
        self._peak_bytes: int | None = 0  # of the first process
        self._processes = 0  # at one moment
        self._held_bytes = 0  # on the device, by the tree
        self._used_bytes = 0  # on the device, by everyone

    def watch(self, process: "subprocess.Popen[bytes]") -> None:
        """Read until the program has ended."""
        while True:
            self._read(process.pid)
            with suppress(subprocess.TimeoutExpired):
                process.wait(INTERVAL_S)
                return

    def memory(self) -> Memory:
        """What was found, and how; None where nothing could be read."""
        peak_rss_bytes, peak_rss_method = self._resident()
        device_bytes, device_method = self._on_device()
        return Memory(
            peak_rss_bytes=peak_rss_bytes,
            peak_rss_method=peak_rss_method,
            device_bytes=device_bytes,
            device_method=device_method,
        )

    def _read(self, pid: int) -> None:
        tree = _tree(pid)
        resident = [found for each in tree if (found := _resident_bytes(each)) is not None]
        if not resident:
            return
        self._processes = max(self._processes, len(resident))
        self._sum_bytes = max(self._sum_bytes, sum(each.now for each in resident))
        first = resident[0].peak
        self._peak_bytes = None if first is None or self._peak_bytes is None else max(self._peak_bytes, first)
        if self._device is not None:
            held = device_memory.process_bytes(self._device, {each.pid for each in tree})
            self._held_bytes = max(self._held_bytes, held or 0)
            self._used_bytes = max(self._used_bytes, device_memory.device_used_bytes(self._device) or 0)

    def _resident(self) -> tuple[int | None, str]:
        every = f"read every {INTERVAL_S * 1000:.0f} ms of an untimed call"
        if not self._processes:
            return None, "the command ended before its memory could be read"
        if self._processes == 1 and self._peak_bytes:
            return self._peak_bytes, f"VmHWM of the command, {every}"
        if self._processes == 1:
            return self._sum_bytes, f"resident bytes of the command, {every}"
        shared = "what they share counts in each"
        return self._sum_bytes, f"sum of the resident bytes of {counted(self._processes, 'process')}, {shared}, {every}"

    def _on_device(self) -> tuple[int | None, str]:
        if self._held_bytes:
            return self._held_bytes, "NVML per process, the largest sum over the command's"
        if self._device_before is not None and self._used_bytes > self._device_before:
            return self._used_bytes - self._device_before, "NVML device total, largest minus before"
        return None, device_memory.NOT_MEASURED


def _tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants; empty once it has ended."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _resident_bytes(process: psutil.Process) -> _Resident | None:
    """What a process holds; None once it has ended."""
    with suppress(OSError):
        return _from_status(Path(f"/proc/{process.pid}/status").read_text(errors="replace").splitlines())
    try:
        found = process.memory_info()
    except psutil.Error:
        return None
    return _Resident(now=found.rss, peak=getattr(found, "peak_wset", None))


def _from_status(lines: Iterable[str]) -> _Resident | None:
    """Of ``/proc/PID/status``, in KiB there; None of a process that has ended and was not waited for."""
    facts = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
    if "VmRSS" not in facts:
        return None
    now = int(facts["VmRSS"].split()[0]) * 1024
    return _Resident(now=now, peak=int(facts["VmHWM"].split()[0]) * 1024 if "VmHWM" in facts else None)
