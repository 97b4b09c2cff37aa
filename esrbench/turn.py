"""One measuring run at a time on a machine: two at once would measure each other.

The system frees a lock with the process that held it, so that none is ever stale. Windows has no such locks: there the
runs are not kept apart.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from esrbench.errors import OutputError, UnavailableError

Say = Callable[[str], None]


@contextmanager
def taken(doing: str, say: Say, *, wait: bool) -> Iterator[None]:
    """Hold this machine's turn; ``doing`` is what others are told of it.

    Raises:
        UnavailableError: another run has it, and ``wait`` is False.
        OutputError: the lock cannot be made.
    """
    file = _file()
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise OutputError(f"{file}: the lock cannot be made: {error.strerror}; remove it or set TMPDIR") from error
    try:
        if not try_lock(descriptor):
            holder = os.pread(descriptor, 4096, 0).decode(errors="replace").strip() or "another run"
            if not wait:
                raise UnavailableError(
                    f"{holder} is measuring on this machine (lock {file}); two runs at once would measure each other",
                    "wait for it to end, or leave out --no-wait",
                )
            say(f"waiting for {holder} to end: two runs at once would measure each other")
            _lock(descriptor)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} ({doing})\n".encode())
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Lock an open file or folder for this process alone; False where another one holds it.

    Raises:
        OSError: this file system has no locks.
    """
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415  (Unix only)

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock(descriptor: int) -> None:
    """The same, but sleep until it is free: nothing is polled beside what the other run measures."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _file() -> Path:
    """In the user's runtime folder where the session has one, else beside their temporary files."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.access(runtime, os.W_OK):
        return Path(runtime) / "esrbench.lock"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"esrbench.{user}.lock"
