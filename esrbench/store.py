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
from pathlib import Path
from typing import Self

import msgspec

from esrbench.errors import OutputError, RecordError
from esrbench.record import (
    Case,
    LaunchRecord,
    Resumption,
    RunEnd,
    RunRecord,
    TuningRecord,
    file_stem,
    is_software,
)
from esrbench.results import contents, recorded
from esrbench.results.chain import SINCE_VERSION
from esrbench.results.contents import (
    END_FILE,
    LAUNCH_NAME,
    LAUNCHES,
    LOGS,
    PICTURES,
    RUN_FILE,
    TUNING,
    launch_name,
)
from esrbench.target import Target
from esrbench.wording import visible


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded run, read back."""

    folder: Path
    record: RunRecord
    launches: tuple[LaunchRecord, ...]  # in order of sequence
    end: RunEnd | None
    interruptions: tuple[RunEnd, ...] = ()  # each time that its user stopped it
    resumptions: tuple[Resumption, ...] = ()
    tunings: tuple[TuningRecord, ...] = ()
    chained: bool = False  # every file names the digest of the one before it; runs of schema 1 and 2 do not

    @property
    def name(self) -> str:
        """The folder's name."""
        return visible(self.folder.name)

    def label(self, target: Target) -> str:
        """The target, a software device named as such."""
        own = (launch for launch in self.launches if launch.case.target == target)
        return f"{target} (software)" if any(map(is_software, own)) else str(target)

    def picture(self, case: Case) -> Path | None:
        """Return the case's output picture, where it drew one.

        Raises:
            RecordError: of the three: it is not the picture that the run's end names.
        """
        return self._picture(picture_name(case))

    def input_picture(self, workload: str) -> Path | None:
        """Return the workload's input."""
        return self._picture(f"input.{workload}.png")

    def reference_picture(self, workload: str) -> Path | None:
        """Return the reference's output for a workload."""
        return self._picture(f"reference.{workload}.png")

    def _picture(self, file: str) -> Path | None:
        name = f"{PICTURES}/{file}"
        if not (self.folder / name).is_file():
            return None  # a run is often passed on without its pictures
        digests = self.end.files if self.end else {}
        if digests and digests.get(name) != recorded.digest_of(self.folder, name, recorded.MOST_PICTURE_BYTES):
            raise RecordError(f"{self.folder / name} is not the picture that the run drew; remove it to report the run")
        return self.folder / name


class RunWriter:
    """Writes one run's folder; nothing that it wrote is ever written again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = folder / PICTURES
        self.logs = folder / LOGS

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
        write_once(folder / RUN_FILE, recorded.encoded(record))
        return writer

    def input_picture(self, workload: str) -> Path:
        """Where a workload's pixels are kept."""
        return self.pictures / f"input.{workload}.png"

    def launch(self, record: LaunchRecord) -> None:
        """Write a launch's record to disk, chained to the previous one."""
        chained = msgspec.structs.replace(record, previous_sha256=self._last_sha256(record.sequence))
        write_once(self.folder / launch_name(record.sequence), recorded.encoded(chained))

    def tuned(self, record: TuningRecord) -> None:
        """Write which settings a target is launched with."""
        folder = self.folder / TUNING
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}") from error
        write_once(folder / f"{file_stem(record.target, record.workload)}.json", recorded.encoded(record))

    def end(self, record: RunEnd) -> RunEnd:
        """Write and return the run's end, with all its digests."""
        launches = len(recorded.names(self.folder, LAUNCHES, LAUNCH_NAME))
        whole = msgspec.structs.replace(record, files=contents.others(self.folder))
        return self._finish(self.folder / END_FILE, whole, launches)

    def interrupted(self, record: RunEnd, sequence: int) -> None:
        """Write that its user stopped the run before launch ``sequence``; said once, however often that happens."""
        file = self.folder / f"interrupted.{sequence:04d}.json"
        if not file.exists():
            self._finish(file, record, sequence)

    def _finish(self, file: Path, record: RunEnd, launches: int) -> RunEnd:
        whole = msgspec.structs.replace(record, launches=launches, last_sha256=self._last_sha256(launches))
        write_once(file, recorded.encoded(whole))
        return whole

    def _last_sha256(self, launches: int) -> str:
        """Return the digest of the chain's last file."""
        return recorded.digest_of(self.folder, launch_name(launches - 1) if launches else RUN_FILE)

    def resumed(self, record: Resumption) -> None:
        """Write that the run goes on; the last time counts where no launch came of an earlier one."""
        file = self.folder / f"resumed.{record.sequence:04d}.json"
        file.unlink(missing_ok=True)
        write_once(file, recorded.encoded(record))


def picture_name(case: Case) -> str:
    """File name of a case's output picture."""
    return f"{file_stem(case.target, case.workload)}.png"


def read_tunings(folder: Path) -> tuple[TuningRecord, ...]:
    """Read the settings that the run chose for its targets.

    Raises:
        RecordError: one of them cannot be read.
    """
    return tuple(file.record for file in contents.tunings(folder))


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
    """Read a run as recorded, complete or cut short.

    Raises:
        RecordError: no run lies there, one of its files cannot be read, or it contradicts itself.
    """
    found = contents.read(folder)
    return Run(
        folder=folder,
        record=found.run.record,
        launches=tuple(file.record for file in found.launches),
        end=found.end.record if found.end else None,
        interruptions=tuple(file.record for file in found.interruptions),
        resumptions=tuple(file.record for file in found.resumptions),
        tunings=tuple(file.record for file in found.tunings),
        chained=all(link.version >= SINCE_VERSION for link in found.chain),
    )
