"""A run's folder for passing files: gone afterwards, and swept by the next run where the process was killed."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from esrbench.errors import OutputError
from esrbench.turn import try_lock

PREFIX = "esrbench-"
RUN_PREFIX = f"{PREFIX}run-"

OLD_S = 24 * 3600
"""A folder of ours that bears no lock, as those of other commands, is left over when it is a day old."""


@contextmanager
def folder(root: Path | None = None) -> Iterator[Path]:
    """An empty folder, in the system's place for such unless ``root`` is given. It is locked while it is in use.

    Raises:
        OutputError: none can be made.
    """
    place = root or Path(tempfile.gettempdir())
    sweep(place)
    try:
        hidden = Path(tempfile.mkdtemp(prefix=f".{RUN_PREFIX}", dir=place))
    except OSError as error:
        raise OutputError(f"{place}: no folder can be made there: {error.strerror}; set TMPDIR to another") from error
    descriptor = os.open(hidden, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: nobody can tell, nobody sweeps
            try_lock(descriptor)
        # Only now under the name that others sweep: a folder of that name without a lock belongs to a dead process.
        made = hidden.rename(place / hidden.name.removeprefix("."))
        yield made
    finally:
        for left in (hidden, place / hidden.name.removeprefix(".")):
            shutil.rmtree(left, ignore_errors=True)
        os.close(descriptor)


def sweep(place: Path) -> None:
    """Remove what killed processes of this user left in ``place``; what another process holds is left alone."""
    for left in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process sweeps too
            if _is_left_over(left):
                shutil.rmtree(left, ignore_errors=True)


def _is_left_over(left: Path) -> bool:
    facts = left.lstat()
    if not left.is_dir() or left.is_symlink() or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
        return False
    if not left.name.startswith(RUN_PREFIX):
        return time.time() - facts.st_mtime > OLD_S
    descriptor = os.open(left, os.O_RDONLY)
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)
