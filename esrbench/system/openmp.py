"""Ask the loaded OpenMP libraries for their limits."""

import ctypes
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MAPS = Path("/proc/self/maps")

_LIBRARY = re.compile(r"/\S*/lib(?:gomp|iomp5|omp)\b[^/\s]*\.so\S*")


def threads_granted(asked: int) -> str:
    """Return how many of the threads ``asked`` for can start.

    ``OMP_THREAD_LIMIT`` and ``OMP_MAX_ACTIVE_LEVELS=0`` hold for good once read, and no runtime tells of them; with
    ``OMP_DYNAMIC`` the library decides from moment to moment. Where no loaded library can be asked, what was asked for.
    """
    granted, dynamic = asked, False
    for library in _loaded():
        with suppress(AttributeError):  # an OpenMP older than 3.0
            limit = library.omp_get_thread_limit()
            granted = min(granted, limit if library.omp_get_max_active_levels() > 0 else 1)
            dynamic = dynamic or bool(library.omp_get_dynamic())
    return f"at most {granted}" if dynamic else str(granted)


def _loaded() -> Iterator[ctypes.CDLL]:
    with suppress(OSError):  # no Linux
        for path in sorted(set(_LIBRARY.findall(MAPS.read_text(errors="replace")))):
            yield ctypes.CDLL(path)  # is loaded already: only counted once more
