"""Report unforeseen errors: one line, and a file with details."""

import os
import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from esrbench import __version__, cache

SOFTWARE = 70  # EX_SOFTWARE of sysexits.h: an internal error


def line(error: BaseException) -> str:
    """Describe ``error`` in one line, write its details; never fail."""
    words = " ".join(_text(error).split())[:300]
    path = _written(_details(error))
    kept = f"its details are in {path}" if path else "its details could not be written anywhere"
    return f"internal error: {type(error).__name__}: {words}; {kept}; please report it with that file"


def _details(error: BaseException) -> str:
    facts = {
        "esrbench": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "arguments": repr(sys.argv),
    }
    listed = "\n".join(f"{name}: {value}" for name, value in facts.items())
    try:
        trace = "".join(traceback.format_exception(error))
    except Exception as unprintable:  # an error's own text may fail
        trace = f"{type(error).__name__}, whose traceback cannot be shown: {type(unprintable).__name__}"
    return f"{listed}\n\n{trace}"


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _written(details: str) -> Path | None:
    """Write a file for its owner alone; None where impossible."""
    for place in (tempfile.gettempdir, lambda: str(cache.folder())):
        with suppress(Exception):
            folder = place()
            Path(folder).mkdir(parents=True, exist_ok=True)
            descriptor, path = tempfile.mkstemp(".txt", "esrbench-crash-", folder)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(details)
            return Path(path)
    return None
