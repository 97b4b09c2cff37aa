"""What Linux's control groups say of memory and CPU time: the limits on this process, and what they did to it.

Both versions are read: ``memory.max``, ``memory.events``, ``cpu.max`` and ``cpu.stat`` of version 2,
``memory.limit_in_bytes``, ``memory.oom_control``, ``cpu.cfs_quota_us`` and ``cpu.stat`` of version 1 (the kernel's
admin-guide/cgroup-v2, admin-guide/cgroup-v1/memory and scheduler/sched-bwc). What a system does not tell is None.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest number of whole pages."""


class MemoryGroup:
    """The control groups that this process is in; tests give folders of their own."""

    def __init__(self, root: Path = ROOT, proc: Path = Path("/proc")) -> None:
        self._folders = tuple(_folders(root, proc, "memory"))
        self._vmstat = proc / "vmstat"

    def limit_bytes(self) -> int | None:
        """The smallest limit of this process's group and those around it; None where none is set."""
        texts = [_text(folder / name) for folder in self._folders for name in ("memory.max", "memory.limit_in_bytes")]
        limits = [int(text) for text in texts if text.isdecimal() and int(text) < UNLIMITED_BYTES]
        return min(limits, default=None)

    def kills(self) -> int | None:
        """How often the kernel's out-of-memory killer has struck, here and on the machine; None where nothing counts.

        Only the difference of two readings means something: it is a sum over groups that count each other's.
        """
        files = [folder / name for folder in self._folders for name in ("memory.events", "memory.oom_control")]
        counts = [count for file in [*files, self._vmstat] if (count := _counter(file, "oom_kill")) is not None]
        return sum(counts) if counts else None


class CpuGroup:
    """The same for CPU time."""

    def __init__(self, root: Path = ROOT, proc: Path = Path("/proc")) -> None:
        self._folders = tuple(_folders(root, proc, "cpu"))

    def quota_cores(self) -> float | None:
        """The smallest quota of this process's group and those around it, in cores; None where none is set."""
        return min((quota for folder in self._folders if (quota := _quota_cores(folder)) is not None), default=None)

    def stopped_s(self) -> float | None:
        """Seconds for which a quota, this group's or one around it, has stopped what runs in it.

        The kernel adds them up over cores, and groups may be stopped at once: it can be longer than the time that
        passed.
        """
        found: list[float] = []
        for folder in self._folders:
            for name, unit_s in (("throttled_usec", 1e-6), ("throttled_time", 1e-9)):
                if (count := _counter(folder / "cpu.stat", name)) is not None:
                    found.append(count * unit_s)
        return sum(found) if found else None


def _quota_cores(folder: Path) -> float | None:
    texts = _text(folder / "cpu.max").split() or [
        _text(folder / "cpu.cfs_quota_us"),
        _text(folder / "cpu.cfs_period_us"),
    ]
    if len(texts) != 2 or not all(text.isdecimal() for text in texts) or int(texts[1]) == 0:
        return None  # no limit is "max" in version 2, -1 in version 1
    return int(texts[0]) / int(texts[1])


def _folders(root: Path, proc: Path, controller: str) -> Iterator[Path]:
    """This process's group and those around it, in every hierarchy that may have the controller.

    A container sees its own group at the root, while ``/proc/self/cgroup`` may name it by the host's path.
    """
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        # Version 1 mounts controllers that go together by one name, with links of each one's name beside it at most.
        named = root / controller if (root / controller).is_dir() else root / controllers
        for top in (named,) if controllers else (root, root / "unified"):
            own = top / path.lstrip("/")
            yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top) and folder.is_dir())


def _counter(file: Path, name: str) -> int | None:
    """The number on the line ``name N``."""
    for line in _text(file).splitlines():
        key, _, value = line.partition(" ")
        if key == name and value.isdecimal():
            return int(value)
    return None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
