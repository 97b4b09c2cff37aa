"""What Linux's control groups say of memory: the limit on this process, and how often the kernel killed for lack of it.

Both versions are read: ``memory.max`` and ``memory.events`` of version 2, ``memory.limit_in_bytes`` and
``memory.oom_control`` of version 1 (the kernel's admin-guide/cgroup-v2 and cgroup-v1/memory). What a system does not
tell is None.
"""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 1 << 60
"""Version 1 writes "no limit" as the largest number of whole pages."""


class MemoryGroup:
    """The control groups that this process is in; tests give folders of their own."""

    def __init__(self, root: Path = ROOT, proc: Path = Path("/proc")) -> None:
        self._folders = tuple(_folders(root, proc))
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


def _folders(root: Path, proc: Path) -> Iterator[Path]:
    """This process's group and those around it, in every hierarchy that may count memory.

    A container sees its own group at the root, while ``/proc/self/cgroup`` may name it by the host's path.
    """
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        for top in (root / "memory",) if controllers else (root, root / "unified"):
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
