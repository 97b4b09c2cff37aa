"""One measuring run at a time on a machine: two at once would measure each other.

There is one lock for everybody, whatever user or environment a run has. The system frees it with the process that held
it, so that none is ever stale. Windows has no such locks: there the runs are not kept apart.
"""

import errno
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from esrbench.errors import OutputError, UnavailableError
from esrbench.system.home import expanded

VARIABLE = "ESRBENCH_LOCK"
"""Environment variable that names another file: for sandboxes, and for tests that measure nothing."""

EVERYBODY = 0o666
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)

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
        descriptor = _opened(file)
    except OSError as error:
        why = f"the lock cannot be opened: {error.strerror}"
        raise OutputError(f"{file}: {why}; remove it or set {VARIABLE} to another file") from error
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
        with suppress(OSError):  # may only be read, or its disk is full: the turn is held all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} ({doing})\n".encode(errors="replace"))
        try:
            yield
        finally:
            with suppress(OSError):  # the name would be taken for that of the next run, which may be unable to write
                os.ftruncate(descriptor, 0)
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
    """The machine's one lock, unless the environment names another; Windows has a temporary folder for each user."""
    if chosen := os.environ.get(VARIABLE):
        return expanded(chosen)
    return (Path(tempfile.gettempdir()) if os.name == "nt" else Path("/tmp")) / "esrbench.lock"


def _opened(file: Path) -> int:
    """The lock, made where it is missing; a file of another user that may only be read can be locked as well.

    It is made by a call of its own: Linux lets nobody open an existing file of another user's with ``O_CREAT`` in a
    folder like /tmp (``fs.protected_regular``, the kernel's admin-guide/sysctl/fs).

    Raises:
        OSError: it can be neither made nor read, or is no plain file.
    """
    safely = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, and no waiting for a pipe's writer
    with suppress(FileExistsError):  # made by another run meanwhile, or long ago
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | safely, EVERYBODY)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, EVERYBODY)  # whatever this user's umask takes away
        return descriptor
    try:
        descriptor = os.open(file, os.O_RDWR | safely)
    except OSError as error:
        if error.errno not in NOT_WRITABLE:
            raise
        descriptor = os.open(file, os.O_RDONLY | safely)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "it is no plain file")
    return descriptor
