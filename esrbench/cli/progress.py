"""What a person sees while a run goes on: a bar with the time left on a terminal, plain lines elsewhere.

Both are drawn between launches only: a bar that animates itself would use the cores that are being measured.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from esrbench.cli.console import Console
from esrbench.plan import Progress as RunProgress
from esrbench.record import LaunchRecord, Samples, Status, is_software, title
from esrbench.wording import seconds_in_words


class Lines:
    """A line a launch."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """Say what starts, and how much is left."""
        left = f", about {seconds_in_words(seconds_left)} left" if seconds_left is not None else ""
        self._say(f"{what} … ({launches_left} to go{left})")

    def finished(self, record: LaunchRecord) -> None:
        """Say how it ended."""
        self._say(_result(record))

    def note(self, text: str) -> None:
        """Say it."""
        self._say(f"note: {text}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class Bar:
    """One bar, redrawn between launches."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._lines = Lines(console)
        self._progress = progress
        self._task = progress.add_task("", total=None, left="")
        self._done = 0

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """Show what runs, how far the run is and how long it will take."""
        left = f"about {seconds_in_words(seconds_left)} left" if seconds_left is not None else "first round"
        self._progress.update(
            self._task,
            description=what,
            completed=self._done,
            total=self._done + launches_left,
            left=left,
            refresh=True,
        )

    def finished(self, record: LaunchRecord) -> None:
        """Print the launch's line above the bar."""
        if record.wall_ns is not None:
            self._done += 1
        self._progress.update(self._task, completed=self._done)
        self._lines.finished(record)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._lines.note(text)


@contextmanager
def watching(console: Console) -> Iterator[RunProgress]:
    """The progress that suits ``console``."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    what = TextColumn("{task.description}", markup=False)
    with Progress(*columns, what, console=console, auto_refresh=False, transient=True) as progress:
        yield Bar(console, progress)


def _result(record: LaunchRecord) -> str:
    name = title(record.case, software=is_software(record))
    if record.status is not Status.OK or record.samples is None:
        return f"{name}: {record.status.value}: {record.reason}"
    wall_s = (record.wall_ns or 0) / 1e9
    return f"{name}: ok, {_pace(record.samples)}, {wall_s:.1f} s from start to end"


def _pace(samples: Samples) -> str:
    if not samples.tile_ns:  # of a command
        return f"{statistics.median(samples.image_ns) / 1e6:.0f} ms a picture"
    return f"{statistics.median(samples.tile_ns) / 1e6:.0f} ms a tile"
