"""Read files that may come from anybody: regular ones alone, no link followed, never more than a stated size."""

import errno
import os
import stat
from pathlib import Path

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A link is refused by the kernel; a pipe without a writer is opened at once instead of waited for."""

_MOST_ENTRIES = 100_000
"""Of one folder: a run has a few thousand files."""


def read(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file of at most ``most_bytes``.

    Raises:
        OSError: it is none, or a link, or larger, or cannot be read; ``strerror`` says which, in words.
    """
    try:
        with open(path, "rb", opener=_open_safely) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, _KIND_REFUSED)
            if found.st_size > most_bytes:
                raise OSError(errno.EFBIG, f"it has {found.st_size} bytes, {most_bytes} are read at most")
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise _said(error) from error
    if len(data) > most_bytes:  # it grew, or its size is not what it says
        raise OSError(errno.EFBIG, f"it has more than {most_bytes} bytes, which are read at most")
    return data


def _open_safely(path: str, flags: int) -> int:
    return os.open(path, flags | _SAFELY)


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """List what lies in a folder, by name; none of it is a link or anything but a file or folder.

    Raises:
        OSError: it is no folder, or holds something else, which ``strerror`` names.
    """
    found: list[os.DirEntry[str]] = []
    with os.scandir(folder) as listed:
        for entry in listed:
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                raise OSError(errno.EINVAL, f"{entry.name} {_KIND_REFUSED}")
            found.append(entry)
            if len(found) > _MOST_ENTRIES:
                raise OSError(errno.EFBIG, f"it holds more than {_MOST_ENTRIES} files")
    return sorted(found, key=lambda entry: entry.name)


_KIND_REFUSED = "is a link, a pipe, a device or a folder; only regular files are read: put the file itself there"


def _said(error: OSError) -> OSError:
    """Say of a link, a socket or a folder what it is, whatever the kernel says."""
    if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR}:
        return OSError(error.errno, _KIND_REFUSED)
    return error
