"""What a person sees while a file is fetched: a bar on a terminal, a line a quarter elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from esrbench.cli.console import Console
from esrbench.download import Watcher

_PARTS = 4  # lines a download


class TransferLines:
    """A line whenever another quarter is here."""

    def __init__(self, console: Console, name: str) -> None:
        self._console = console
        self._name = name
        self._part: int | None = None

    def received(self, held_bytes: int, total_bytes: int | None) -> None:
        """Say it at the start, and when a quarter was reached."""
        part = held_bytes * _PARTS // total_bytes if total_bytes else 0
        if part == self._part:
            return
        self._part = part
        of = f" of {total_bytes / 1e6:.1f}" if total_bytes else ""
        self._say(f"{self._name}: {held_bytes / 1e6:.1f}{of} MB")

    def retrying(self, reason: str) -> None:
        """Say why there is another attempt."""
        self._say(f"{self._name}: {reason}; trying again")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class TransferBar:
    """One bar, gone when the file is here."""

    def __init__(self, progress: Progress, task: TaskID, lines: TransferLines) -> None:
        self._progress = progress
        self._task = task
        self._lines = lines

    def received(self, held_bytes: int, total_bytes: int | None) -> None:
        """Draw it."""
        self._progress.update(self._task, completed=held_bytes, total=total_bytes)

    def retrying(self, reason: str) -> None:
        """Print a line above the bar."""
        self._lines.retrying(reason)


@contextmanager
def watching(console: Console, name: str) -> Iterator[Watcher]:
    """What suits ``console``, for the download of model ``name``."""
    lines = TransferLines(console, name)
    if not console.is_terminal:
        yield lines
        return
    figures = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    what = TextColumn("{task.description}", markup=False)
    with Progress(what, BarColumn(), *figures, console=console, transient=True) as progress:
        yield TransferBar(progress, progress.add_task(name, total=None), lines)
