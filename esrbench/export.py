"""Artifacts on demand: from the cache, or exported in a process of their own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esrbench import cache as caches
from esrbench import plugins, zoo
from esrbench.artifact import Format, LocatedArtifact, read_sidecar, sha256_of, write_sidecar
from esrbench.codec import Value, decode, encode
from esrbench.errors import CheckpointError, EsrbenchError, ExportError, OutputError, RecordError, UnavailableError
from esrbench.exporter import ExportOptions, check_precision
from esrbench.process import THREAD_VARIABLES, signal_name
from esrbench.shelf import Shelf, recipe
from esrbench.target import Precision

WORKER = "esrbench.export_worker"
_TRANSLATED = {error.__name__: error for error in (CheckpointError, OutputError, UnavailableError)}


class ExportJob(Value, frozen=True, kw_only=True):
    """What the export's process is asked for."""

    checkpoint: str
    model: str
    format: Format
    options: ExportOptions
    cache: str
    out: str  # folder to make: the artifact and its sidecar
    answer: str  # file to write: an ExportAnswer


class ExportAnswer(Value, frozen=True, kw_only=True):
    """What it did: exported (into the job's ``out``), found the artifact on the shelf, or met an error."""

    key: str = ""
    weights_sha256: str = ""
    error_type: str | None = None
    error: str | None = None


def ensure_artifact(ref: str, format_: Format, precision: Precision, *, cache: Path | None = None) -> LocatedArtifact:
    """The artifact of model ``ref`` (a zoo name or a path) in this format and precision, its digests checked.

    ``cache`` defaults to :func:`esrbench.cache.folder`. The export itself runs in a child process: it may take
    gigabytes, and what it needs is imported there only.

    Raises:
        UnknownNameError: no such model or format.
        UnavailableError: the format is not written at this precision, or its exporter is broken.
        CheckpointError: the weights are absent, damaged, or of no network known here.
        ExportError: the exporter failed; its last words are in the message.
        OutputError: the cache cannot be written.
    """
    exporter, options = plugins.exporter(format_), ExportOptions(precision=precision)
    check_precision(exporter, options)
    file = zoo.locate(ref)
    folder = cache or caches.folder()
    shelf = Shelf(folder)
    known = shelf.weights_sha256(file.sha256)
    found = shelf.find(recipe(file.name, known, exporter, options).key()) if known else None
    if found is not None:
        return found
    with shelf.workplace() as work:
        made, answer = work / "artifact", work / "answer.json"
        job = ExportJob(
            checkpoint=str(file.path.resolve()),
            model=file.name,
            format=format_,
            options=options,
            cache=str(folder.resolve()),
            out=str(made),
            answer=str(answer),
        )
        done = _carried_out(job, f"exporting {file.name} to {format_} {precision.value}")
        shelf.remember(file.sha256, done.weights_sha256)
        return shelf.keep(made, done.key)


def export_to(ref: str, format_: Format, precision: Precision, out_dir: Path) -> LocatedArtifact:
    """Like :func:`ensure_artifact`, copied into ``out_dir``: the files, and ``MODEL.FORMAT.PRECISION.json``.

    Precisions other than fp32 are part of the files' names, so that one folder can hold them all.

    Raises:
        OutputError: the folder cannot be written, or holds other files of these names, which are left alone.
    """
    with _folder(out_dir):
        kept = ensure_artifact(ref, format_, precision)
        artifact = kept.artifact
        sidecar = out_dir / f"{artifact.model}.{artifact.format}.{artifact.precision.value}.json"
        _refuse_others(kept, out_dir, sidecar)
        try:
            _copy(kept, out_dir)
            write_sidecar(artifact, sidecar)
        except OSError as error:
            raise OutputError(f"{out_dir} cannot be written: {error.strerror}") from error
    return read_sidecar(sidecar)


def _carried_out(job: ExportJob, what: str) -> ExportAnswer:
    """Run the worker to its end and return its answer, or raise what it met."""
    command = [sys.executable, "-P", "-m", WORKER]  # -P: a file of the user's named like a library must not shadow it
    # One thread: an export converts, it hardly computes, and on a busy machine idle pools spin ten times longer.
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    ended = subprocess.run(command, input=encode(job), capture_output=True, check=False, env=environment)
    answer = Path(job.answer)
    if ended.returncode != 0 or not answer.is_file():
        raise ExportError(f"{what} failed: {_last_words(ended)}")
    done = decode(answer.read_bytes(), ExportAnswer, "the export worker's answer")
    if done.error_type is None:
        return done
    raise _TRANSLATED.get(done.error_type, ExportError)(done.error or f"{what} failed")


def _last_words(ended: "subprocess.CompletedProcess[bytes]") -> str:
    lines = [line.strip() for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
    if ended.returncode < 0:
        name = signal_name(ended.returncode)
        memory = "; memory may have run out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}"
    return lines[-1] if lines else f"its process ended with code {ended.returncode} and said nothing"


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    """``path`` exists and can be written before any work is done; folders made for nothing are removed again."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        _remove_empty(made)
        raise OutputError(f"{path} cannot be written: {error.strerror}; choose another --out") from error
    try:
        yield
    except (EsrbenchError, KeyboardInterrupt):
        _remove_empty(made)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _refuse_others(kept: LocatedArtifact, out_dir: Path, sidecar: Path) -> None:
    for file in kept.artifact.files:
        path = out_dir / file.name
        if path.exists() and not (path.is_file() and sha256_of(path) == file.sha256):
            raise OutputError(f"{path} exists and is another file; remove it or choose another --out")
    if sidecar.exists():
        try:
            read_sidecar(sidecar)
        except (RecordError, OutputError) as error:
            raise OutputError(f"{sidecar} exists and is something else; remove it or choose another --out") from error


def _copy(kept: LocatedArtifact, out_dir: Path) -> None:
    """Each file whole or not at all."""
    for index, file in enumerate(kept.artifact.files):
        path = out_dir / file.name
        if path.exists():
            continue
        partial = path.with_name(f".{file.name}.{os.getpid()}.partial")
        try:
            shutil.copyfile(kept.path(index), partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
