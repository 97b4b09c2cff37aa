"""A campaign of damaged and rebuilt checkpoints: each is read, or refused in one line, soon, and runs nothing."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mutated import SEEDS, mutated

from esrbench import checkpoints
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.errors import CheckpointError

FEW = 60  # in every run of the tests
SPECS = [SRVGGNetSpec(convs=1, features=4, scale=2), RRDBNetSpec(blocks=1, features=4, growth=2)]
LONGEST_S = 20
LONGEST_MESSAGE = 2000  # characters


def told(path: Path) -> str:
    """What the reader says of a file; empty where it reads it."""
    try:
        checkpoints.read(path)
    except CheckpointError as error:
        return str(error)
    return ""


def hangs(*_):
    raise TimeoutError


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """An empty working folder, which stays empty; and an end to what hangs."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = signal.signal(signal.SIGALRM, hangs)
    yield tmp_path
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert not list((tmp_path / "here").iterdir())


def campaign(seeds, random_model, place: Path) -> int:
    """Read each; how many were refused."""
    refused = 0
    for seed in seeds:
        folder = place / str(seed)
        folder.mkdir()
        path = mutated(seed, random_model(SPECS[seed % len(SPECS)]), folder)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
        said = told(path)
        assert "\n" not in said.replace(str(path), ""), seed
        assert len(said) < LONGEST_MESSAGE, seed
        refused += bool(said)
    return refused


@pytest.mark.filterwarnings("ignore")
def test_a_mutated_checkpoint_is_read_or_refused_and_nothing_else_happens(watched, random_model):
    assert campaign(range(FEW), random_model, watched) > FEW / 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_none_of_three_hundred_mutations_is_more_than_refused(watched, random_model):
    assert campaign(range(SEEDS), random_model, watched) > SEEDS / 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(0, SEEDS, 25))
def test_export_of_a_mutated_checkpoint_ends_with_a_file_or_one_line(seed, random_model, tmp_path):
    path = mutated(seed, random_model(SPECS[seed % len(SPECS)]), tmp_path)
    command = [sys.executable, "-m", "esrbench", "export", str(path), "--format", "ncnn", "--out", "made"]
    environment = os.environ | {"ESRBENCH_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path.cwd())}
    begin = time.monotonic()
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode in (0, 1, 2), done.stderr
    assert not re.search(r"Traceback|internal error", done.stdout + done.stderr)
    assert time.monotonic() - begin < LONGEST_S
    assert not (tmp_path / "boom").exists()
