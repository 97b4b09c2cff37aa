"""Where esrbench keeps what it made or fetched: deletable at any time."""

import functools
import os
import stat
import tempfile
from pathlib import Path

import platformdirs

from esrbench.system.home import expanded

VARIABLE = "ESRBENCH_CACHE"


def folder() -> Path:
    """``$ESRBENCH_CACHE``, else the user's cache folder; it may not exist yet."""
    if chosen := os.environ.get(VARIABLE):
        return expanded(chosen)
    try:
        return Path(platformdirs.user_cache_dir("esrbench"))
    except RuntimeError:  # neither HOME nor an entry in the list of users, as in containers
        return _without_home()


@functools.cache
def _without_home() -> Path:
    """Return a temporary folder that only this user can write.

    Artifacts are run: those of another user are never taken.
    """
    kept = Path(tempfile.gettempdir()) / f".esrbench-cache-{os.getuid()}"
    try:
        kept.mkdir(mode=0o700, exist_ok=True)
        facts = kept.lstat()
        if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077:
            return kept
    except OSError:  # something else lies there
        pass
    return Path(tempfile.mkdtemp(prefix="esrbench-cache-"))
