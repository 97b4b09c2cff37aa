"""Every error that esrbench raises on purpose.

    EsrbenchError
    ├── UsageError                 what the user gave is wrong                 exit code 2
    │   ├── UnknownNameError       no such model, target, format or suite; names the nearest
    │   ├── ImageError             a picture that cannot be read or written
    │   ├── CheckpointError        weights that cannot be read, or are not of a known network
    │   ├── TilingError            a tile plan that makes no sense
    │   ├── OutputError            a folder or file that cannot be written, or exists already
    │   └── RecordError            a result file that cannot be read back
    ├── ExportError                a model could not be written as an artifact  exit code 1
    ├── ArtifactError              an exported file is gone or was changed      status `error`
    ├── UnavailableError           the target cannot run on this machine        status `unavailable`
    ├── PlacementError             the work ran elsewhere than asked            status `fell_back`
    ├── CommandError               another program drew no picture              status `error` or `crashed`
    └── OutOfMemoryError           host or device memory ran out                status `oom`

A message says what was asked, what was found and what to do. Third-party errors are translated where they
enter, with ``raise ... from``; ``cli`` alone turns these into exit codes.
"""

import difflib
from collections.abc import Iterable


class EsrbenchError(Exception):
    """The root: catch it to catch everything that esrbench raises on purpose."""


class UsageError(EsrbenchError):
    """What the user asked for cannot be done as asked."""


class UnknownNameError(UsageError):
    """A name that nothing here bears."""

    def __init__(self, kind: str, asked: str, known: Iterable[str]) -> None:
        names = sorted(known)
        nearest = difflib.get_close_matches(asked.lower(), [name.lower() for name in names], n=1, cutoff=0.5)
        original = {name.lower(): name for name in names}
        hint = f"did you mean {original[nearest[0]]!r}? " if nearest else ""
        super().__init__(f"no {kind} is named {asked!r}; {hint}known: {', '.join(names) or 'none'}")


class ImageError(UsageError):
    """A picture that cannot be read or written."""


class CheckpointError(UsageError):
    """Weights that cannot be read, or do not belong to a network that esrbench knows."""


class TilingError(UsageError):
    """A tile, halo or image size that no plan can honour."""


class OutputError(UsageError):
    """A place that cannot be written to, or holds something already."""


class RecordError(UsageError):
    """A result file that cannot be read back."""


class ExportError(EsrbenchError):
    """A model could not be written in the format asked for."""


class ArtifactError(EsrbenchError):
    """Report an exported file that is gone or changed."""


class UnavailableError(EsrbenchError):
    """The target cannot run here: ``reason`` says why, ``remedy`` what to install or change."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class PlacementError(EsrbenchError):
    """The session would run, but not on the device or at the precision that was asked for."""

    def __init__(self, reason: str, remedy: str | None = None) -> None:
        super().__init__(f"{reason}; {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


class CommandError(EsrbenchError):
    """Another program that is measured drew no picture; ``exit_code``: of one that failed, negative for a signal."""

    def __init__(self, reason: str, *, exit_code: int = 0) -> None:
        super().__init__(reason)
        self.exit_code = exit_code


class OutOfMemoryError(EsrbenchError):
    """Host or device memory ran out while loading or running."""
