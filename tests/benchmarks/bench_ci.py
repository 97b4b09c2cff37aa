"""``make bench-ci``: base and head of this repository, measured in turns on one machine, and a gate on what differs.

One round of the one, one round of the other, in an order that changes: what drifts, drifts for both, and ratios are
paired within rounds. Both sides run with the libraries that are installed now; only the project's own code differs.
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, NamedTuple, NoReturn

import typer

from esrbench.testing import write_distribution

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).with_name("ci.toml")
GATES = ("slower:3%", "vanished", "wrong", "memory:10%", "size:1%", "nodes")
WRONG_PICTURE = 1  # of esrbench bench: recorded, and judged by the gate


class Side(NamedTuple):
    """One state of the project and where its run is recorded."""

    name: str
    tree: Path
    metadata: Path
    run: Path

    def esrbench(self, *arguments: object) -> int:
        """Run this side's command line; returns its exit code."""
        roots = (self.metadata, self.tree, self.tree / "exporters", self.tree / "runners")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))}
        # -P: the working directory holds the head's package, which must not stand in for the base's.
        command = [sys.executable, "-P", "-m", "esrbench", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main(
    base: Annotated[str, typer.Option(help="Commit to compare with.")] = "origin/main",
    rounds: Annotated[int, typer.Option(min=2, help="Of each side; six give a distribution-free interval.")] = 6,
    suite: Annotated[Path, typer.Option(help="What to measure.")] = SUITE,
    out: Annotated[Path | None, typer.Option(help="Folder for both runs. Default: results/ci-<date and time>.")] = None,
    fail_on: Annotated[list[str], typer.Option(help="As for esrbench compare; repeatable.")] = list(GATES),  # noqa: B006  (typer copies it)
    markdown: Annotated[
        Path | None, typer.Option(help="Comment for the pull request. Default: OUT/summary.md.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the order within each round.")] = 0,
) -> None:
    """Measure base and head in turns; exit 1 where the head is slower, lacks something, or draws another picture."""
    commit = _commit(base)
    folder = (out or ROOT / "results" / f"ci-{datetime.now().astimezone():%Y%m%d-%H%M%S}").resolve()
    if folder.exists():
        _stop(f"{folder} exists; give another --out")
    with _checked_out(commit) as tree, tempfile.TemporaryDirectory(prefix="esrbench-ci-") as scratch:
        sides = [_side(name, source, Path(scratch), folder) for name, source in (("base", tree), ("head", ROOT))]
        _say_what_differs(tree)
        for round_ in range(rounds):
            for side in random.Random(f"{seed}/{round_}").sample(sides, len(sides)):
                _measure(side, suite.resolve(), round_)
        gates = [word for gate in fail_on for word in ("--fail-on", gate)]
        report = markdown or folder / "summary.md"
        allowed = ("--allow", "versions") if _version(tree) != _version(ROOT) else ()
        code = sides[1].esrbench("compare", sides[0].run, sides[1].run, "--markdown", report, *gates, *allowed)
    raise typer.Exit(code)


def _measure(side: Side, suite: Path, round_: int) -> None:
    """One more round of ``side``."""
    typer.echo(f"--- round {round_ + 1}, {side.name}", err=True)
    begin = ("--resume", side.run) if round_ else ("--suite", suite, "--out", side.run)
    code = side.esrbench("bench", *begin, "--rounds", 1)
    if code not in (0, WRONG_PICTURE):
        _stop(f"{side.name} could not be measured: esrbench bench ended with code {code}; what it said stands above")


def _side(name: str, tree: Path, scratch: Path, folder: Path) -> Side:
    """``tree`` with the entry points of its own pyproject.toml: what is installed declares the head's."""
    project = _project(tree)
    write_distribution(scratch / name, "esrbench", project.get("entry-points", {}))
    return Side(name=name, tree=tree, metadata=scratch / name, run=folder / name)


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder that goes away."""
    parent = Path(tempfile.mkdtemp(prefix="esrbench-base-"))
    tree = parent / "tree"
    try:
        _git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        yield tree
    finally:
        shutil.rmtree(parent, ignore_errors=True)
        _git("worktree", "prune")


def _commit(name: str) -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        _stop(f"{name} is no commit here; fetch it first (git fetch origin main), or give another BASE")
    return found.stdout.strip()


def _say_what_differs(tree: Path) -> None:
    if any((tree / name).read_bytes() != (ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")):
        typer.echo("note: pyproject.toml or constraints.txt differ; both sides run with what is installed", err=True)


def _version(tree: Path) -> str:
    return str(_project(tree)["version"])


def _project(tree: Path) -> dict[str, dict[str, dict[str, str]]]:
    project: dict[str, dict[str, dict[str, str]]] = tomllib.loads((tree / "pyproject.toml").read_text())["project"]
    return project


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True)


def _stop(message: str) -> NoReturn:
    typer.echo(f"bench-ci: {message}", err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    typer.run(main)
