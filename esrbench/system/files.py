"""Read regular files of bounded size, whoever made them."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""A pipe without a writer is opened at once instead of waited for."""

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)

_KIND_REFUSED = "is a link, a pipe, a device or a folder; only regular files are read: put the file itself there"

_MOST_ENTRIES = 100_000
"""Of one folder: a run has a few thousand files."""


def read(path: Path, most_bytes: int) -> bytes:
    """Read a regular file of at most ``most_bytes``.

    Raises:
        OSError: it is none, or a link, or larger, or cannot be read; ``strerror`` says which, in words.
    """
    with _opened(path, most_bytes, _NO_LINK) as file:
        return file.read(most_bytes)


def read_named(path: Path, most_bytes: int) -> bytes:
    """Read a file that the user named; links are followed."""
    with _opened(path, most_bytes) as file:
        return file.read(most_bytes)


def sha256(path: Path, most_bytes: int) -> str:
    """Return the hex digest of a file, limited as :func:`read`."""
    with _opened(path, most_bytes, _NO_LINK) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, most_bytes: int, flags: int = 0) -> Iterator[BufferedReader]:
    with open(path, "rb", opener=lambda name, mode: _open_regular(name, mode | flags)) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most_bytes:
            raise OSError(errno.EFBIG, f"it has {size} bytes, {most_bytes} are read at most")
        yield file


def _open_regular(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | _AT_ONCE)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EMLINK, errno.ENXIO}:  # as systems say of a link, or of a socket
            raise OSError(error.errno, _KIND_REFUSED) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, _KIND_REFUSED)
    return descriptor


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """List files and folders by name; refuse anything else.

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
