"""A run from the command line: its turn on the machine, its folder, its report, and what stops it."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec

from esrbench import environment, prepare, resume, store, turn
from esrbench.cli.console import Console
from esrbench.cli.progress import watching
from esrbench.cli.report import present
from esrbench.errors import EsrbenchError, OutputError
from esrbench.harness import Harness
from esrbench.likeness import Aspect
from esrbench.plan import Plan
from esrbench.provision import Say
from esrbench.record import LaunchRecord, RunEnd, Status
from esrbench.report.folder import check_place
from esrbench.results.contents import END_FILE, LAUNCHES, RUN_FILE
from esrbench.store import RunWriter
from esrbench.suite import Suite

WRONG_PICTURE = 1
NOTHING_MEASURED = 3
INTERRUPTED = 130  # 128 + SIGINT, as shells count

Begun = tuple[Plan, RunWriter, Sequence[LaunchRecord]]
"""What is measured, where to, and what was measured before."""


class Work(Protocol):
    """A new run, or the rest of one."""

    def place(self) -> Path:
        """The run's folder."""

    def begin(self, folder: Path, say: Say) -> Begun | None:
        """Prepare it; None where nothing is left to measure."""


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that does not exist yet."""

    suite: Suite
    threads: int | None
    out: Path | None

    def place(self) -> Path:
        """``--out``, or a name from the time of day.

        Raises:
            OutputError: something lies there.
        """
        folder = self.out or new_folder(Path("results"), datetime.now().astimezone())
        store.check_new_folder(folder)
        return folder

    def begin(self, folder: Path, say: Say) -> Begun:
        """Check, export, and make the folder."""
        prepared = prepare.prepare(self.suite, self.threads or environment.usable_cores(), say)
        return *prepare.begin(prepared, folder), ()


class RestOfRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a run that was cut short has not measured yet."""

    folder: Path
    allowed: frozenset[Aspect]
    asked: resume.Asked  # now, as for the run's first part

    def place(self) -> Path:
        """The run's own folder.

        Raises:
            RecordError: no run lies there.
        """
        store.read_run(self.folder)
        return self.folder

    def begin(self, folder: Path, say: Say) -> Begun | None:
        """Check that all is as it was."""
        if store.read_run(folder).end is not None:
            say(f"{folder} came to its end: nothing is left to measure")
            return None
        resumed = resume.resume(folder, self.allowed, say, self.asked)
        return resumed.plan, resumed.writer, resumed.run.launches


def measure(work: Work, reports: Path, *, rounds: int | None, wait: bool, as_json: bool) -> int:
    """Measure ``work`` when it is its turn, and report it under ``reports``; returns the exit code.

    After ``rounds`` rounds, a run that is not at its end pauses without a report.
    """
    console = Console(stderr=True)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    folder = work.place()
    try:
        check_place(reports / folder.name)
        with turn.taken(str(folder), say, wait=wait):
            folder = work.place()  # once more: what was free may be taken after a wait
            begun = work.begin(folder, say)
            paused = begun is not None and _run(begun, console, rounds) is None
        run = store.read_run(folder)
        if paused:
            say(f"paused: {_kept(folder)}")
        else:
            present([run], reports / folder.name, as_json=as_json)
    except KeyboardInterrupt:
        return _interrupted(folder, reports / folder.name, say, as_json=as_json)
    return _exit_code({launch.status for launch in run.launches})


def new_folder(parent: Path, at: datetime) -> Path:
    """A folder in ``parent`` that is not there yet, named by the time; a clock that was set back names none twice."""
    name = at.strftime("%Y%m%d-%H%M%S")
    names = itertools.chain([name], (f"{name}-{count}" for count in itertools.count(2)))
    return next(parent / name for name in names if not (parent / name).exists())


def _run(begun: Begun, console: Console, rounds: int | None) -> RunEnd | None:
    plan, writer, launched = begun
    try:
        with watching(console) as progress:
            return Harness(plan, writer, progress, launched=launched).run(rounds)
    except OutputError as error:
        raise OutputError(f"{error}; {_kept(writer.folder)}") from error


def _interrupted(folder: Path, report: Path, say: Say, *, as_json: bool) -> int:
    """Report what there is; the user may stop that too."""
    if not (folder / RUN_FILE).is_file():
        say("interrupted before anything was measured")
        return INTERRUPTED
    if (folder / END_FILE).is_file():
        say(f"interrupted: the run is complete, its report is not; `esrbench report {folder}` writes it")
        return INTERRUPTED
    try:
        say(f"interrupted: {_kept(folder)}; the report follows, another Ctrl-C leaves it out")
        present([store.read_run(folder)], report, as_json=as_json)
    except KeyboardInterrupt:
        say(f"no report was written; `esrbench report {folder}` writes it")
    except EsrbenchError as error:
        say(str(error))
    return INTERRUPTED


def _kept(folder: Path) -> str:
    kept = len(list((folder / LAUNCHES).glob("[0-9]*.json")))
    return f"{kept} launches are kept, and `esrbench bench --resume {folder}` goes on from there"


def _exit_code(statuses: set[Status]) -> int:
    if Status.WRONG in statuses:
        return WRONG_PICTURE
    return 0 if Status.OK in statuses else NOTHING_MEASURED
