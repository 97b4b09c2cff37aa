"""Where esrbench keeps what it made or fetched: deletable at any time."""

import os
from pathlib import Path

import platformdirs

VARIABLE = "ESRBENCH_CACHE"


def folder() -> Path:
    """``$ESRBENCH_CACHE``, else the user's cache folder; it may not exist yet."""
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("esrbench"))
