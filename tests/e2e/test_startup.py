"""What importing and asking for help load."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "onnxruntime", "ncnn", "openvino", "matplotlib", "pandas", "scipy", "skimage", "numpy")


@pytest.mark.parametrize("what", ["import esrbench", "import esrbench.cli", "import esrbench.errors, esrbench.target"])
def test_importing_loads_no_runtime(what):
    code = f"{what}\nimport sys\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_loads_no_runtime_and_names_every_command():
    code = f"""
import sys
from esrbench.cli import main
sys.argv = ["esrbench", "--help"]
try:
    main()
except SystemExit:
    pass
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")
    for command in ("bench", "compare", "doctor", "export", "models", "report", "upscale"):
        assert command in done.stdout
