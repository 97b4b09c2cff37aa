"""A run's folder under ``results/``: write-once files, each whole or absent.

results/NAME/
├── run.json                      what the run set out to do
├── launches/0000.json …          one a launch, written before the next one starts
├── tuning/TARGET.WORKLOAD.json   the settings that it is launched with, where there was a choice
├── pictures/                     input.WORKLOAD.png, reference.WORKLOAD.png, TARGET.WORKLOAD.png
├── logs/0000.txt …               what each launch's process printed
├── interrupted.0012.json         its user stopped the run before launch 12
├── resumed.0012.json             the run went on with launch 12
└── end.json                      absent when the run was cut short
"""

import os
import re
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from esrbench.codec import decode, encode
from esrbench.errors import OutputError, RecordError
from esrbench.migration import OLDEST, to_current
from esrbench.record import SCHEMA_VERSION, Case, LaunchRecord, Resumption, RunEnd, RunRecord, TuningRecord, is_software
from esrbench.system import files
from esrbench.target import Target

R = TypeVar("R", RunRecord, LaunchRecord, RunEnd, Resumption, TuningRecord)

RUN_FILE = "run.json"
END_FILE = "end.json"
LAUNCHES = "launches"
TUNING = "tuning"

_LAUNCH_NAME = re.compile(r"[0-9]+\.json")
_TUNING_NAME = re.compile(r"[^.].*\.json")
_NOTE_NAME = re.compile(r"end\.json|(interrupted|resumed)\.[0-9]+\.json")

MOST_BYTES = 16 << 20
"""Of one record. A launch of a second on tiles of 32 px has some 20 kB."""


class _Versioned(msgspec.Struct):
    """The one field that every version of every file has."""

    schema_version: int


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded run, read back."""

    folder: Path
    record: RunRecord
    launches: tuple[LaunchRecord, ...]  # in order of sequence
    end: RunEnd | None
    interruptions: tuple[RunEnd, ...] = ()  # each time that its user stopped it
    resumptions: tuple[Resumption, ...] = ()
    tunings: tuple[TuningRecord, ...] = ()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def label(self, target: Target) -> str:
        """The target, a software device named as such."""
        own = (launch for launch in self.launches if launch.case.target == target)
        return f"{target} (software)" if any(map(is_software, own)) else str(target)

    def picture(self, case: Case) -> Path | None:
        """The case's output picture, where it drew one."""
        path = self.folder / "pictures" / picture_name(case)
        return path if path.is_file() else None

    def input_picture(self, workload: str) -> Path | None:
        """The workload's input."""
        path = self.folder / "pictures" / f"input.{workload}.png"
        return path if path.is_file() else None

    def reference_picture(self, workload: str) -> Path | None:
        """The reference's output for a workload."""
        path = self.folder / "pictures" / f"reference.{workload}.png"
        return path if path.is_file() else None


class RunWriter:
    """Writes one run's folder; nothing that it wrote is ever written again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"
        self.logs = folder / "logs"

    @classmethod
    def create(cls, folder: Path, record: RunRecord) -> Self:
        """Make the folder and write ``run.json``.

        Raises:
            OutputError: there is something already, or it cannot be written.
        """
        check_new_folder(folder)
        writer = cls(folder)
        try:
            for part in (folder / LAUNCHES, writer.pictures, writer.logs):
                part.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the run cannot be written to {folder}: {error.strerror}; choose another --out"
            ) from error
        write_once(folder / RUN_FILE, encode(record))
        return writer

    def input_picture(self, workload: str) -> Path:
        """Where a workload's pixels are kept."""
        return self.pictures / f"input.{workload}.png"

    def launch(self, record: LaunchRecord) -> None:
        """Write a launch's record: it is on disk when this returns."""
        write_once(self.folder / LAUNCHES / f"{record.sequence:04d}.json", encode(record))

    def tuned(self, record: TuningRecord) -> None:
        """Write which settings a target is launched with."""
        folder = self.folder / TUNING
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
        write_once(folder / f"{file_stem(record.target, record.workload)}.json", encode(record))

    def end(self, record: RunEnd) -> None:
        """Write that the run came to its end."""
        write_once(self.folder / END_FILE, encode(record))

    def interrupted(self, record: RunEnd, sequence: int) -> None:
        """Write that its user stopped the run before launch ``sequence``; said once, however often that happens."""
        file = self.folder / f"interrupted.{sequence:04d}.json"
        if not file.exists():
            write_once(file, encode(record))

    def resumed(self, record: Resumption) -> None:
        """Write that the run goes on; the last time counts where no launch came of an earlier one."""
        file = self.folder / f"resumed.{record.sequence:04d}.json"
        file.unlink(missing_ok=True)
        write_once(file, encode(record))


def picture_name(case: Case) -> str:
    """File name of a case's output picture."""
    return f"{file_stem(case.target, case.workload)}.png"


def file_stem(target: Target, workload: str) -> str:
    """What files of a target on a workload are named after."""
    return f"{target.replace('@', '_').replace(':', '_')}.{workload}"


def read_tunings(folder: Path) -> tuple[TuningRecord, ...]:
    """The settings that a run's targets are launched with, where there was a choice.

    Raises:
        RecordError: one of them cannot be read.
    """
    if not (folder / TUNING).exists():
        return ()
    return tuple(_read(folder / TUNING / name, TuningRecord) for name in _names(folder / TUNING, _TUNING_NAME))


def check_new_folder(folder: Path) -> None:
    """Refuse a run folder that exists and is not empty.

    Raises:
        OutputError: say what is there.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(f"{folder} exists already; runs are write-once: choose another --out or remove it")


def write_once(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, durably; an existing one is never replaced.

    Raises:
        OutputError: the file exists, or the disk refused it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.unlink(missing_ok=True)  # left by a killed process of this number; it may be the same file as `path`
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # unlike a rename, it never replaces
        _sync_folder(path.parent)
    except FileExistsError as error:
        raise OutputError(f"{path} exists already; results are write-once") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name in it survive a power cut, where folders can be synchronised."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_run(folder: Path) -> Run:
    """A run as recorded, complete or cut short.

    Raises:
        RecordError: no run lies there, or one of its files cannot be read.
    """
    record = _read(folder / RUN_FILE, RunRecord)
    launches = sorted(
        (_read(folder / LAUNCHES / name, LaunchRecord) for name in _names(folder / LAUNCHES, _LAUNCH_NAME)),
        key=lambda launch: launch.sequence,
    )
    names = _names(folder, _NOTE_NAME)
    notes = {name: folder / name for name in names}
    return Run(
        folder=folder,
        record=record,
        launches=tuple(launches),
        end=_read(notes[END_FILE], RunEnd) if END_FILE in notes else None,
        interruptions=tuple(_read(path, RunEnd) for name, path in notes.items() if name.startswith("interrupted.")),
        resumptions=tuple(_read(path, Resumption) for name, path in notes.items() if name.startswith("resumed.")),
        tunings=read_tunings(folder),
    )


def _names(folder: Path, form: re.Pattern[str]) -> list[str]:
    """The files of a run's folder whose names have this form, in order; there is nothing but files and folders."""
    try:
        return [entry.name for entry in files.entries(folder) if form.fullmatch(entry.name)]
    except OSError as error:
        raise RecordError(f"{folder} cannot be read as part of a run: {error.strerror}") from error


def _read(path: Path, type_: type[R]) -> R:
    try:
        data = files.read(path, MOST_BYTES)
    except OSError as error:
        raise RecordError(f"{path.parent} holds no readable run: {path.name}: {error.strerror}") from error
    version = decode(data, _Versioned, str(path)).schema_version
    if not OLDEST <= version <= SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version}; this esrbench reads versions {OLDEST} to {SCHEMA_VERSION}: "
            "use the esrbench that wrote it"
        )
    if version < SCHEMA_VERSION:
        data = encode(to_current(decode(data, dict, str(path)), version))
    return decode(data, type_, str(path))
