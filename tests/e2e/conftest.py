"""Real processes: the command line as its user calls it."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.testing import FAKE_ENTRY_POINTS, SCRIPTS_VARIABLE, FakeScript, encode_scripts, write_distribution

Esrbench = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def zero_checkpoint(tmp_path_factory) -> Path:
    """A compact network of zeros: it draws its input with every pixel repeated, as the fakes do."""
    import torch

    path = tmp_path_factory.mktemp("zero") / "zero.pth"
    shapes = SRVGGNetSpec(convs=1, features=4).parameter_shapes()
    torch.save({"params": {name: torch.zeros(shape) for name, shape in shapes.items()}}, path)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A small random RRDBNet with the official keys."""
    import torch

    generator = torch.Generator().manual_seed(1)
    path = tmp_path_factory.mktemp("tiny") / "tiny.pth"
    shapes = RRDBNetSpec(blocks=1, features=8, growth=4).parameter_shapes()
    weights = {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}
    torch.save({"params_ema": weights}, path)
    return path


@pytest.fixture(scope="session")
def cache(shared_folder) -> Path:
    """An artifact cache that the tests of a session share."""
    return shared_folder("cache")


@pytest.fixture
def places(tmp_path_factory) -> Path:
    """Where the user's locks and temporary files are: a run of the tests waits for nobody, and leaves nothing."""
    return tmp_path_factory.mktemp("places")


@pytest.fixture
def environment(cache, places) -> dict[str, str]:
    """The environment of a fresh user."""
    return os.environ | {
        "ESRBENCH_CACHE": str(cache),
        "ESRBENCH_LOCK": str(places / "esrbench.lock"),
        "TMPDIR": str(places),
    }


@pytest.fixture
def esrbench(tmp_path, environment) -> Esrbench:
    """Run the command line in an empty folder."""

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "esrbench", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=240
        )

    return call


@pytest.fixture
def started(tmp_path, environment) -> Callable[..., "subprocess.Popen[str]"]:
    """Start the command line in the same folder, its messages on a pipe."""

    def start(*arguments: object, **options: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "esrbench", *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    return start


@pytest.fixture
def scripted(tmp_path_factory, environment) -> Callable[[Sequence[FakeScript]], None]:
    """Give the command line a runtime named `fake` that behaves as scripted."""

    folder = tmp_path_factory.mktemp("site")  # one a test: PYTHONPATH is compared

    write_distribution(folder, "esrbench-fakes", FAKE_ENTRY_POINTS)

    def script(scripts: Sequence[FakeScript]) -> None:
        inherited = os.environ.get("PYTHONPATH")  # where the tests run beside an installed esrbench, theirs is meant
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), inherited)))
        environment[SCRIPTS_VARIABLE] = encode_scripts(scripts)

    return script
