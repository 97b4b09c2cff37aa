"""Paths that begin with a user's home folder, where there is one."""

from pathlib import Path


def expanded(text: str) -> Path:
    """``text`` with ``~`` replaced; as it stands where that user has no home folder."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path
