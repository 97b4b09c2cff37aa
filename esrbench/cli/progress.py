"""What a person sees while a run goes on: a bar with the time left on a terminal, plain lines elsewhere.

Both are drawn between launches only: a bar that animates itself would use the cores that are being measured.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from esrbench.harness import Progress as HarnessProgress
from esrbench.record import LaunchRecord, Status


class Lines:
    """A line a launch."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """Say what starts, and how much is left."""
        left = f", about {_duration(seconds_left)} left" if seconds_left is not None else ""
        self._console.print(f"{what} … ({launches_left} launches to go{left})", highlight=False)

    def finished(self, record: LaunchRecord) -> None:
        """Say how it ended."""
        self._console.print(f"  {_result(record)}", highlight=False)

    def note(self, text: str) -> None:
        """Say it."""
        self._console.print(f"note: {text}", highlight=False)


class Bar:
    """One bar, redrawn between launches."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._lines = Lines(console)
        self._progress = progress
        self._task = progress.add_task("", total=None, left="")
        self._done = 0

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """Show what runs, how far the run is and how long it will take."""
        left = f"about {_duration(seconds_left)} left" if seconds_left is not None else "first round"
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
        self._progress.console.print(f"{record.case.target} {record.case.workload}: {_result(record)}", highlight=False)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._lines.note(text)


@contextmanager
def watching(console: Console) -> Iterator[HarnessProgress]:
    """The progress that suits ``console``."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.description}"))
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        yield Bar(console, progress)


def _result(record: LaunchRecord) -> str:
    if record.status is not Status.OK or record.samples is None:
        return f"{record.status.value}: {record.reason}"
    best_ms = min(record.samples.tile_ns) / 1e6
    wall_s = (record.wall_ns or 0) / 1e9
    return f"ok, {best_ms:.0f} ms a tile, {wall_s:.1f} s in all"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
