"""Read all files of a run's folder together."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from esrbench.errors import RecordError
from esrbench.record import LaunchRecord, Resumption, RunEnd, RunRecord, TuningRecord, file_stem
from esrbench.results import chain, recorded
from esrbench.results.chain import Link
from esrbench.results.consistency import contradictions, of_tuning
from esrbench.results.numbers import absurd
from esrbench.results.recorded import Recorded
from esrbench.system import files

R = TypeVar("R", LaunchRecord, Resumption, RunEnd, TuningRecord)

RUN_FILE = "run.json"
END_FILE = "end.json"
LAUNCHES = "launches"
TUNING = "tuning"
PICTURES = "pictures"
LOGS = "logs"

LAUNCH_NAME = re.compile(r"[0-9]+\.json")
_RECORD_NAME = re.compile(r"[^.].*\.json")
_INTERRUPTED_NAME = re.compile(r"interrupted\.[0-9]+\.json")
_RESUMED_NAME = re.compile(r"resumed\.[0-9]+\.json")

_SHOWN = 8
"""Findings of one run that are said; whoever mends them reads it again."""

_LONGEST = 300  # characters of one: it may quote a name of any length

_MOST_BYTES = 256 << 20
"""Of all records of a run: 10,000 launches. More would take minutes to read."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the records of a run, with names and digests."""

    run: Recorded[RunRecord]
    launches: tuple[Recorded[LaunchRecord], ...]  # in order of sequence
    end: Recorded[RunEnd] | None
    interruptions: tuple[Recorded[RunEnd], ...]
    resumptions: tuple[Recorded[Resumption], ...]
    tunings: tuple[Recorded[TuningRecord], ...]

    @property
    def chain(self) -> list[Link]:
        """Return ``run.json`` and the launches, with the digests they name."""
        own = Link(name=self.run.name, version=self.run.version, sha256=self.run.sha256)
        launches = (
            Link(name=file.name, version=file.version, sha256=file.sha256, previous_sha256=file.record.previous_sha256)
            for file in self.launches
        )
        return [own, *launches]

    @property
    def others(self) -> dict[str, str]:
        """Map the records beside the chain to their digests."""
        groups = (self.interruptions, self.resumptions, self.tunings)
        return {file.name: file.sha256 for group in groups for file in group}


def read(folder: Path) -> Contents:
    """Read every record of the run in ``folder``.

    Links, pipes and devices are refused.

    Raises:
        RecordError: no run lies there, one of its files cannot be read, or they contradict each other.
    """
    _check_size(folder)
    run = recorded.read(folder, RUN_FILE, RunRecord)
    for part in (PICTURES, LOGS):
        _names(folder, part, _RECORD_NAME)
    ends = [recorded.read(folder, END_FILE, RunEnd)] if os.path.lexists(folder / END_FILE) else []
    launches = [recorded.read(folder, name, LaunchRecord) for name in recorded.names(folder, LAUNCHES, LAUNCH_NAME)]
    found = Contents(
        run=run,
        launches=tuple(sorted(launches, key=lambda file: file.record.sequence)),
        end=next(iter(ends), None),
        interruptions=_all(folder, "", _INTERRUPTED_NAME, RunEnd),
        resumptions=_all(folder, "", _RESUMED_NAME, Resumption),
        tunings=tunings(folder),
    )
    _check(folder, found)
    return found


def tunings(folder: Path) -> tuple[Recorded[TuningRecord], ...]:
    """Read the settings that the run chose for its targets.

    Raises:
        RecordError: one of them cannot be read.
    """
    return _all(folder, TUNING, _RECORD_NAME, TuningRecord)


def others(folder: Path) -> dict[str, str]:
    """Map the files beside the chain to their digests.

    Logs are no part of a run.

    Raises:
        RecordError: one of them cannot be read.
    """
    notes = [name for form in (_INTERRUPTED_NAME, _RESUMED_NAME) for name in recorded.names(folder, "", form)]
    pictures = _names(folder, PICTURES, re.compile(r"[^.].*"))
    small = [*notes, *_names(folder, TUNING, _RECORD_NAME)]
    return {name: recorded.digest_of(folder, name) for name in small} | {
        name: recorded.digest_of(folder, name, recorded.MOST_PICTURE_BYTES) for name in pictures
    }


def launch_name(sequence: int) -> str:
    """Return a launch's file name, in its run's folder."""
    return f"{LAUNCHES}/{sequence:04d}.json"


def _names(folder: Path, part: str, form: re.Pattern[str]) -> list[str]:
    """Return :func:`recorded.names` of a part that may be absent."""
    return recorded.names(folder, part, form) if os.path.lexists(folder / part) else []


def _all(folder: Path, part: str, form: re.Pattern[str], type_: type[R]) -> tuple[Recorded[R], ...]:
    return tuple(recorded.read(folder, name, type_) for name in _names(folder, part, form))


def _check_size(folder: Path) -> None:
    parts = [part for part in ("", LAUNCHES, TUNING) if (folder / part).is_dir()]
    try:
        found = [entry for part in parts for entry in files.entries(folder / part)]
        size = sum(entry.stat(follow_symlinks=False).st_size for entry in found)
    except OSError as error:
        raise RecordError(f"{folder} cannot be read as a run: {error.strerror}") from error
    if size > _MOST_BYTES:
        raise RecordError(f"{folder} has records of {size} bytes; a run of at most {_MOST_BYTES} is read")


def _check(folder: Path, found: Contents) -> None:
    said = (*_misnamed(found), *contradictions(found.run.record, _launches(found)), *_of_others(found), *_broken(found))
    findings = list(dict.fromkeys(said))
    if findings:
        more = f"\n  and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
        raise RecordError(
            f"{folder} contradicts itself, so nothing of it is reported, compared or continued:\n"
            + "\n".join(f"  {finding[:_LONGEST]}" for finding in findings[:_SHOWN])
            + f"{more}\nget the run again, or measure anew with esrbench bench"
        )


def _launches(found: Contents) -> list[LaunchRecord]:
    return [file.record for file in found.launches]


def _misnamed(found: Contents) -> Iterator[str]:
    """Name files whose names contradict their content."""
    for launch in found.launches:
        if launch.name != launch_name(launch.record.sequence):
            yield f"{launch.name} holds launch {launch.record.sequence}"
    for resumed in found.resumptions:
        if resumed.name != f"resumed.{resumed.record.sequence:04d}.json":
            yield f"{resumed.name} says that it went on with launch {resumed.record.sequence}"
        if resumed.record.sequence > len(found.launches):
            yield f"{resumed.name} lies behind the last launch, {len(found.launches) - 1}"
    cases = {(case.target, case.workload) for case in found.run.record.cases}
    for tuned in found.tunings:
        named = (tuned.record.target, tuned.record.workload)
        if named not in cases or tuned.name != f"{TUNING}/{file_stem(*named)}.json":
            yield f"{tuned.name} holds {tuned.record.target} on {tuned.record.workload!r}, unlike its name or its run"


def _of_others(found: Contents) -> Iterator[str]:
    """Name contradictions in the records beside the launches."""
    for tuned in found.tunings:
        yield from (f"{tuned.name}: {what}" for what in of_tuning(tuned.record))
    for note in (*found.resumptions, *found.interruptions, *([found.end] if found.end else ())):
        yield from (f"{note.name}: {what}" for what in absurd(note.record))


def _broken(found: Contents) -> Iterator[str]:
    links = found.chain
    yield from chain.breaks(links)
    for file in found.interruptions:
        number = int(file.name.split(".")[1])
        if number >= len(links):
            yield f"{file.name} is numbered after the last launch, {len(links) - 2}"
        else:
            yield from chain.breaks_at_end(file.name, file.version, file.record, links[: number + 1])
    if found.end is not None:
        yield from chain.breaks_at_end(found.end.name, found.end.version, found.end.record, links)
        if found.end.version >= chain.SINCE_VERSION:
            recorded_then = found.end.record.files.items()  # pictures are compared when they are shown, and may be gone
            then = {name: sha256 for name, sha256 in recorded_then if not name.startswith(f"{PICTURES}/")}
            yield from chain.changed(then, found.others)
