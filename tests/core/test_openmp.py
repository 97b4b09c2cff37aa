"""What an OpenMP library that read the environment before esrbench was there grants."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

GOMP = next(iter(Path(find_spec("torch").origin).parent.glob("lib/libgomp*.so*")), None)

CODE = """
import ctypes, sys
ctypes.CDLL(sys.argv[1])
from esrbench.system.openmp import threads_granted
print(threads_granted(2))
"""


@pytest.mark.skipif(GOMP is None, reason="torch brings no libgomp here")
@pytest.mark.parametrize(
    ("variables", "granted"),
    [
        ({}, "2"),
        ({"OMP_THREAD_LIMIT": "1"}, "1"),
        ({"OMP_MAX_ACTIVE_LEVELS": "0"}, "1"),
        ({"OMP_DYNAMIC": "true"}, "at most 2"),
        ({"OMP_THREAD_LIMIT": "9"}, "2"),
    ],
    ids=["none", "limit", "levels", "dynamic", "wide limit"],
)
def test_threads_that_openmp_will_not_start_are_not_claimed(variables, granted):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    command = [sys.executable, "-c", CODE, str(GOMP)]
    done = subprocess.run(command, env=clean | variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == granted
