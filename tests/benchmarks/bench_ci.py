"""``make bench-ci``: base and head of this repository, measured in turns on one machine, and a gate on what differs.

One round of each in turns, the base first and then the head first (ABBA): what drifts, drifts for both, and ratios are
paired within rounds. The targets' order within a round is drawn anew for each round, the same for both sides. Both run
with the libraries that are installed now; only the project's own code differs.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn

import typer

from esrbench import suite as suites
from esrbench.comparison import compare_runs
from esrbench.errors import EsrbenchError
from esrbench.likeness import Aspect
from esrbench.record import LaunchRecord, Status
from esrbench.store import RUN_FILE, read_run
from esrbench.testing import write_distribution
from esrbench.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).with_name("ci.toml")
GATES = ("slower:3%", "vanished", "wrong", "memory:10%", "size:1%", "nodes")
ALWAYS = ("rounds",)  # with other gates too: what was launched less often has not passed them
WRONG_PICTURE = 1  # of esrbench bench: recorded, and judged by the gate; a traceback ends with the same code

ROUNDS, MAX_ROUNDS = 6, 30
"""Six give a distribution-free interval."""

BLOCK = 2
"""Further rounds come in twos, one with each order; it is looked at the verdicts after both."""


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

    def launches(self) -> tuple[LaunchRecord, ...]:
        """What is on record so far."""
        return read_run(self.run).launches if (self.run / RUN_FILE).exists() else ()


def main(
    base: Annotated[str, typer.Option(help="Commit to compare with.")] = "origin/main",
    rounds: Annotated[
        int, typer.Option(min=2, help="Of each side, at least; six give a distribution-free interval.")
    ] = ROUNDS,
    max_rounds: Annotated[int, typer.Option(help="Of each side, at most, while a verdict is unclear.")] = MAX_ROUNDS,
    minutes: Annotated[float, typer.Option(help="No round beyond --rounds is begun that would end after these.")] = 25,
    suite: Annotated[Path, typer.Option(help="What to measure.")] = SUITE,
    out: Annotated[Path | None, typer.Option(help="Folder for both runs. Default: results/ci-<date and time>.")] = None,
    fail_on: Annotated[list[str], typer.Option(help="As for esrbench compare; repeatable.")] = list(GATES),  # noqa: B006  (typer copies it)
    markdown: Annotated[
        Path | None, typer.Option(help="Comment for the pull request. Default: OUT/summary.md.")
    ] = None,
) -> None:
    """Measure base and head in turns; exit 1 where the head is slower, lacks something, or draws another picture."""
    commit = _commit(base)
    folder = (out or ROOT / "results" / f"ci-{datetime.now().astimezone():%Y%m%d-%H%M%S}").resolve()
    if folder.exists():
        _stop(f"{folder} exists; give another --out")
    with _checked_out(commit) as tree, tempfile.TemporaryDirectory(prefix="esrbench-ci-") as scratch:
        sides = [_side(name, source, Path(scratch), folder) for name, source in (("base", tree), ("head", ROOT))]
        _say_what_differs(tree)
        try:
            _measure_in_turns(sides, suite.resolve(), rounds, _most(suite, rounds, max_rounds), minutes * 60)
        except EsrbenchError as error:  # no such suite, or a record that cannot be read
            _stop(str(error))
        gates = [word for gate in dict.fromkeys([*fail_on, *ALWAYS]) for word in ("--fail-on", gate)]
        report = markdown or folder / "summary.md"
        # How the runtimes are set may be the very change; in the environment PYTHONPATH names each side's own code.
        allowed = (
            "--allow",
            "settings",
            "--allow",
            "environment",
            *(("--allow", "versions") if _version(tree) != _version(ROOT) else ()),
        )
        code = sides[1].esrbench("compare", sides[0].run, sides[1].run, "--markdown", report, *gates, *allowed)
    raise typer.Exit(code)


def _most(suite: Path, rounds: int, max_rounds: int) -> int:
    """How many rounds there may be; the suite has a word in it."""
    allowed = suites.load(str(suite)).max_rounds
    if allowed < rounds:
        _stop(f"{rounds} rounds were asked for, {suite} allows {allowed}; raise its max_rounds, or give fewer --rounds")
    return min(allowed, max(rounds, max_rounds))


def _measure_in_turns(sides: Sequence[Side], suite: Path, rounds: int, most: int, limit_s: float) -> None:
    """So many rounds of both, then further ones while a verdict is unclear and there is time."""
    begin_s = time.monotonic()
    done, block_s = 0, 0.0
    while done < rounds or _go_on(sides, done, most, limit_s - (time.monotonic() - begin_s), block_s):
        block_begin_s = time.monotonic()
        upto = rounds if done < rounds else min(done + BLOCK, most)
        for round_ in range(done, upto):
            if round_ >= rounds and _has_ended(sides):
                return
            for side in in_turns(sides, round_):
                _measure(side, suite, round_)
        block_s = (time.monotonic() - block_begin_s) / (upto - done) * BLOCK
        done = upto


def in_turns(sides: Sequence[Any], round_: int) -> Sequence[Any]:
    """The order of the sides in a round: ABBA."""
    return sides if round_ % 2 == 0 else sides[::-1]


def _go_on(sides: Sequence[Side], done: int, most: int, left_s: float, block_s: float) -> bool:
    """Whether further rounds are wanted, and fit; says what stays unclear where they do not."""
    unclear = _unclear(sides)
    if not unclear:
        return False
    fits = done < most and block_s <= left_s and not _has_ended(sides)
    then = "further rounds follow" if fits else "no further round fits --minutes, --max-rounds and the suite"
    typer.echo(f"--- unclear after {done} rounds: {', '.join(unclear)}; {then}", err=True)
    return fits


def _has_ended(sides: Sequence[Side]) -> bool:
    """Whether a side's run came to its end: its suite's budget is used up, or its intervals are narrow enough."""
    return any(read_run(side.run).end is not None for side in sides)


def _unclear(sides: Sequence[Side]) -> list[str]:
    """The rows of the comparison that the launches so far leave unclear; none where it cannot be made."""
    try:
        found = compare_runs(*(read_run(side.run) for side in sides), allowed=list(Aspect))
    except EsrbenchError:  # the comparison at the end says why
        return []
    return [row.name for row in found.rows if row.judgement and row.judgement.verdict is Verdict.UNCLEAR]


def _measure(side: Side, suite: Path, round_: int) -> None:
    """One more round of ``side``, which must be on record afterwards."""
    typer.echo(f"--- round {round_ + 1}, {side.name}", err=True)
    begin = ("--resume", side.run) if round_ else ("--suite", suite, "--out", side.run)
    before = _of_round(side, round_)
    code = side.esrbench("bench", *begin, "--rounds", 1)
    if code not in (0, WRONG_PICTURE):
        _stop(f"{side.name} could not be measured: esrbench bench ended with code {code}; what it said stands above")
    if code == WRONG_PICTURE and all(launch.status is not Status.WRONG for launch in side.launches()):
        _stop(f"{side.name} died in round {round_ + 1}: no wrong picture is on record; what it said stands above")
    if _of_round(side, round_) <= before:
        _stop(
            f"{side.name} has no launch of round {round_ + 1} on record, though esrbench bench ended with code {code}; "
            "it died before, or its suite's budget_s or targets were used up: what it said stands above"
        )


def _of_round(side: Side, round_: int) -> int:
    return sum(launch.round == round_ for launch in side.launches())


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
