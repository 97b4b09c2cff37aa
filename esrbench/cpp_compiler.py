"""The C++ compiler that torch's Inductor calls, for exporters and runners that need one."""

import shutil
import sysconfig
from pathlib import Path

from esrbench.errors import UnavailableError


def find(needed_by: str) -> str:
    """Its name on the path.

    Raises:
        UnavailableError: there is none, or Python's headers are missing.
    """
    found = next((name for name in ("g++", "clang++") if shutil.which(name)), None)
    if found is None:
        raise UnavailableError(
            f"{needed_by} compiles C++, and neither g++ nor clang++ is here", "install one, as by apt install g++"
        )
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        raise UnavailableError(f"{needed_by} needs Python's headers, which are not here", "apt install python3-dev")
    return found
