"""Folders to work in, on the disk where the result belongs: gone afterwards, swept when their process was killed."""

import errno
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from esrbench import cache
from esrbench.errors import ExportError, OutputError

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_FULL_BYTES = 1 << 20  # less free than this: a library's failure is put down to the disk
_NEW_S = 60  # a younger folder may be locked any moment
_OLD_S = 24 * 3600  # where folders cannot be locked, age alone tells that a process is gone


@contextmanager
def workplace(parent: Path, prefix: str) -> Iterator[Path]:
    """An empty folder in ``parent``, gone afterwards; what killed processes left there is removed.

    Raises:
        OutputError: ``parent`` cannot be written, or its disk refused what was done in the folder.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent, prefix)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    except OSError as error:
        raise _refusal(parent, error.strerror or str(error)) from error
    try:
        with _locked(folder):
            yield folder
    except (OSError, ExportError) as error:
        trouble = _disk_trouble(error, parent)
        if trouble is None:
            raise
        raise _refusal(parent, trouble) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def disk_refused(error: OSError) -> bool:
    """Whether the disk is the reason: full, over a quota or a limit, or read-only."""
    return error.errno in _DISK_ERRORS


def _refusal(parent: Path, reason: str) -> OutputError:
    remedy = f"make room there, or set {cache.VARIABLE} to a folder that can be written"
    return OutputError(f"{parent} cannot be written: {reason}; {remedy}")


def _disk_trouble(error: OSError | ExportError, parent: Path) -> str | None:
    """The disk's part in ``error``. Libraries report a full disk in words of their own: free space tells."""
    if isinstance(error, OSError):
        return error.strerror if disk_refused(error) else None
    return f"its disk is full ({error})" if shutil.disk_usage(parent).free < _FULL_BYTES else None


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # another process sweeps too
            if _abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    """Whether the process that worked there is gone: the system frees a lock with the process that held it."""
    age_s = time.time() - folder.stat().st_mtime
    if age_s < _NEW_S:
        return False
    try:
        with _locked(folder) as known:
            return known or age_s > _OLD_S
    except BlockingIOError:
        return False


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock; False where the system or the file system has none for folders.

    Raises:
        BlockingIOError: another process holds it.
    """
    if sys.platform == "win32":
        yield False
        return
    import fcntl  # noqa: PLC0415  (Unix only)

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = True
        except BlockingIOError:
            raise
        except OSError:  # some network file systems
            known = False
        yield known
    finally:
        os.close(descriptor)
