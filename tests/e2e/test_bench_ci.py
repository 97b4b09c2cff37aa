"""`make bench-ci` on a throw-away repository whose base and head hold fakes of other speeds: real git, real processes.

What is measured passes on the fakes' clock: verdicts are exact, however busy the machine is.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from esrbench.store import read_run

ROOT = Path(__file__).parents[2]
STEADY, VARIED = "fake@cpu:fp32", "fake@cpu1:fp32"

INIT = """
__version__ = "0.1.0"
__path__.append({real!r})
"""

PROJECT = """
[project]
name = "esrbench"
version = "0.1.0"
"""

SUITE = """
name = "ci"
model = "none"
max_rounds = 4

[[workloads]]
image = "none"
tile = 8
halo = 0
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The base is committed; a script that is written over its own is the head's."""
    root = tmp_path / "repository"
    benchmarks, package = root / "tests" / "benchmarks", root / "esrbench"
    for folder in (benchmarks, package):
        folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "tests" / "benchmarks" / "bench_ci.py", benchmarks / "bench_ci.py")
    shutil.copyfile(Path(__file__).with_name("scripted_bench.py"), package / "__main__.py")
    (package / "__init__.py").write_text(INIT.format(real=os.fspath(ROOT / "esrbench")))
    shutil.copytree(ROOT / "esrbench" / "suites", package / "suites")  # found beside __init__.py
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "constraints.txt").write_text("")
    (root / "ci.toml").write_text(SUITE)
    script(root)
    identity = ("-c", "user.name=a test", "-c", "user.email=test@example.invalid")
    for command in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "base"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def script(
    root: Path, varied_ms: Sequence[float] = (10,), *, wrong: Sequence[str] = (), dies_in_round: int = 99
) -> None:
    """What a tile takes, round after round; the last value goes on."""
    tiles_ns: Mapping[str, Sequence[int]] = {STEADY: [10_000_000], VARIED: [round(ms * 1e6) for ms in varied_ms]}
    lines = [f"TILES_NS = {tiles_ns!r}", f"WRONG = {tuple(wrong)!r}", f"DIES_IN_ROUND = {dies_in_round}"]
    (root / "esrbench" / "script.py").write_text("\n".join(lines))


def bench_ci(root: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Two rounds of each side, and no more unless there are ``options``."""
    given = ("--base", "HEAD", "--suite", "ci.toml", "--out", "out", "--rounds", "2", *(options or ("--minutes", "0")))
    return subprocess.run(
        [sys.executable, "tests/benchmarks/bench_ci.py", *given],
        cwd=root, env=os.environ | {"PYTHONPATH": os.fspath(ROOT)}, capture_output=True, text=True, check=False,
        timeout=120,
    )  # fmt: skip


def order(stderr: str) -> list[str]:
    return [line.rpartition(", ")[2] for line in stderr.splitlines() if line.startswith("--- round")]


def test_a_slower_head_fails_and_its_target_alone_is_named(repository: Path) -> None:
    script(repository, [10.6])
    done = bench_ci(repository)
    assert done.returncode == 1, done.stderr
    assert f"esrbench: {VARIED}: slower: its speed changed by -5.7%" in done.stderr
    assert f"esrbench: {STEADY}:" not in done.stderr
    text = (repository / "out" / "summary.md").read_text()
    assert "paired within rounds" in text
    assert "no end on record" not in text


def test_an_equal_head_passes_after_rounds_in_turns(repository: Path) -> None:
    done = bench_ci(repository)
    assert done.returncode == 0, done.stderr
    assert order(done.stderr) == ["base", "head", "head", "base"]


def test_rounds_go_on_in_twos_while_a_verdict_is_unclear_and_what_stays_so_is_named(repository: Path) -> None:
    script(repository, [10, 12, 9, 11])
    done = bench_ci(repository, "--max-rounds", "5")
    assert done.returncode == 0, done.stderr
    assert f"unclear after 2 rounds: {VARIED}; further rounds follow" in done.stderr
    assert f"unclear after 4 rounds: {VARIED}; no further round fits" in done.stderr  # the suite allows no more
    assert order(done.stderr) == ["base", "head", "head", "base"] * 2


@pytest.mark.parametrize("wrong", [(), (STEADY,)], ids=["right", "wrong before"])
def test_a_head_that_dies_from_round_two_on_is_not_taken_for_a_wrong_picture(
    repository: Path, wrong: Sequence[str]
) -> None:
    script(repository, wrong=wrong, dies_in_round=1)
    done = bench_ci(repository)
    assert done.returncode == 2, done.stderr
    assert "RuntimeError: scripted to die" in done.stderr
    assert f"bench-ci: head {'has no launch of' if wrong else 'died in'} round 2" in done.stderr
    assert {launch.round for launch in read_run(repository / "out" / "head").launches} == {0}
    assert not (repository / "out" / "summary.md").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--suite", "none.toml"), "the file cannot be read"),
        (("--rounds", "9"), "9 rounds were asked for, ci.toml allows 4"),
    ],
)
def test_what_cannot_be_measured_as_asked_is_one_message(
    repository: Path, options: Sequence[str], message: str
) -> None:
    done = bench_ci(repository, *options)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert order(done.stderr) == []


def test_a_wrong_picture_is_measured_on_and_fails_at_the_end(repository: Path) -> None:
    script(repository, wrong=(VARIED,))
    done = bench_ci(repository)
    assert done.returncode == 1, done.stderr
    assert f"esrbench: {VARIED}: wrong:" in done.stderr
    assert f"esrbench: {VARIED}: rounds: 0 of its rounds ended ok in the head, 2 in the base" in done.stderr
