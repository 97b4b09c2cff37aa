"""Read one file of a run, of any schema version."""

import re
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from esrbench.codec import decode, encode
from esrbench.errors import RecordError
from esrbench.migration import OLDEST, to_current
from esrbench.record import SCHEMA_VERSION, LaunchRecord, Resumption, RunEnd, RunRecord, TuningRecord
from esrbench.results.chain import digest
from esrbench.system import files

R = TypeVar("R", RunRecord, LaunchRecord, RunEnd, Resumption, TuningRecord)

MOST_BYTES = 16 << 20
"""Of one record. A launch of a second on tiles of 32 px has some 20 kB."""

MOST_PICTURE_BYTES = 1 << 30


class Recorded(msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """Hold a record with its file's name, version and digest."""

    name: str  # relative to the run's folder
    version: int  # of the schema that it was written in
    sha256: str
    record: R


class _Versioned(msgspec.Struct):
    """Hold the field that every version of every file has."""

    schema_version: int


def read(folder: Path, name: str, type_: type[R]) -> Recorded[R]:
    """Read a file of the run in ``folder``.

    Raises:
        RecordError: it is not there, no regular file, too large, or no such record.
    """
    path = folder / name
    try:
        data = files.read(path, MOST_BYTES)
    except OSError as error:
        raise RecordError(f"{folder} holds no readable run: {name}: {error.strerror}") from error
    version = decode(data, _Versioned, str(path)).schema_version
    if not OLDEST <= version <= SCHEMA_VERSION:
        raise RecordError(
            f"{path} has schema version {version}; this esrbench reads versions {OLDEST} to {SCHEMA_VERSION}: "
            "use the esrbench that wrote it"
        )
    found = decode(data, type_, str(path)) if version == SCHEMA_VERSION else _older(data, version, type_, path)
    return Recorded(name=name, version=version, sha256=digest(data), record=found)


def _older(data: bytes, version: int, type_: type[R], path: Path) -> R:
    raw = decode(data, dict, str(path))
    return decode(encode(to_current(raw, version)), type_, str(path))


def names(folder: Path, part: str, form: re.Pattern[str]) -> list[str]:
    """List the files of this form, as ``part/name``.

    Anything but files and folders there is refused.

    Raises:
        RecordError: it is no folder that can be read, or something else lies in it.
    """
    try:
        found = files.entries(folder / part)
    except OSError as error:
        raise RecordError(f"{folder / part} cannot be read as part of a run: {error.strerror}") from error
    return [f"{part}/{entry.name}" if part else entry.name for entry in found if form.fullmatch(entry.name)]


def digest_of(folder: Path, name: str, most_bytes: int = MOST_BYTES) -> str:
    """Return the hex sha256 of a file of a run.

    Raises:
        RecordError: it cannot be read.
    """
    try:
        return files.sha256(folder / name, most_bytes)
    except OSError as error:
        raise RecordError(f"{folder / name} cannot be read: {error.strerror}") from error


def encoded(record: R) -> bytes:
    """Encode a record; check that it can be read back.

    Raises:
        RecordError: it holds what its schema does not allow, such as a NaN.
    """
    data = encode(record)
    decode(data, type(record), "what is to be written")
    return data
