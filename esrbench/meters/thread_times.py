"""Measure how many cores and threads this process uses."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from esrbench.record import ThreadsAtWork

TASKS = Path("/proc/self/task")

BUSY_SHARE = 0.1
"""A thread with less than this share of the busiest one's CPU time is a helper that woke now and then."""

_USER, _SYSTEM = 11, 12  # fields after the name in /proc/PID/task/TID/stat, proc_pid_stat(5): utime and stime in ticks


class ThreadMeter:
    """Measure from its creation until :meth:`found`."""

    def __init__(self) -> None:
        self._threads = _thread_ticks()
        self._wall_ns, self._cpu_ns = time.perf_counter_ns(), time.process_time_ns()

    def found(self) -> ThreadsAtWork:
        """Return CPU time, wall time and busy threads since then."""
        cpu_ns, wall_ns = time.process_time_ns() - self._cpu_ns, time.perf_counter_ns() - self._wall_ns
        return ThreadsAtWork(
            cpu_s=cpu_ns / 1e9, wall_s=wall_ns / 1e9, busy_threads=busy_threads(self._threads, _thread_ticks())
        )


def busy_threads(before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """Count threads that used clearly more than nothing.

    That is at least a tenth of the busiest one's gain; None where none gained a tick.
    """
    gained = [ticks - before.get(thread, 0) for thread, ticks in after.items()]
    most = max(gained, default=0)
    return sum(each >= BUSY_SHARE * most for each in gained) if most > 0 else None


def children_cpu_s() -> float | None:
    """Return the CPU seconds of all ended children, if counted."""
    times = os.times()
    return None if os.name == "nt" else times.children_user + times.children_system


def _thread_ticks() -> dict[str, int]:
    """Map each thread to its CPU ticks; empty without /proc."""
    found: dict[str, int] = {}
    with suppress(OSError):
        for task in TASKS.iterdir():
            with suppress(OSError):  # it ended meanwhile
                fields = (task / "stat").read_text(errors="replace").rpartition(")")[2].split()
                found[task.name] = int(fields[_USER]) + int(fields[_SYSTEM])
    return found
