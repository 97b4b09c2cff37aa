"""Expand paths that begin with a home folder."""

from pathlib import Path


def expanded(text: str) -> Path:
    """Replace ``~``, unless that user has no home folder."""
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path
