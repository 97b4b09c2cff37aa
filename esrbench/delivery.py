"""Artifacts in a folder of the user's: copied whole, described beside, nothing of theirs overwritten."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esrbench.artifact import Format, LocatedArtifact, read_sidecar, sha256_of
from esrbench.codec import encode
from esrbench.errors import EsrbenchError, OutputError, RecordError
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions


def export_to(ref: str, format_: Format, options: ExportOptions, out_dir: Path) -> LocatedArtifact:
    """Like :func:`esrbench.export.ensure_artifact`, copied into ``out_dir``: the files, and a ``.json`` beside them.

    What is not the default is part of the files' names, so that one folder can hold every variant.

    Raises:
        OutputError: the folder cannot be written, or holds other files of these names, which are left alone.
    """
    with _folder(out_dir):
        kept = ensure_artifact(ref, format_, options)
        artifact = kept.artifact
        sidecar = out_dir / f"{artifact.files[0].name}.json"
        _refuse_others(kept, out_dir, sidecar)
        try:
            _deliver(kept, out_dir, sidecar)
        except OSError as error:
            raise OutputError(f"{out_dir} cannot be written: {error.strerror}") from error
    return read_sidecar(sidecar)


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


def _deliver(kept: LocatedArtifact, out_dir: Path, sidecar: Path) -> None:
    """Every file and their description, or none: all are written under other names before the first gets its own."""
    written: dict[Path, Path] = {}  # under its own name -> under another
    try:
        for index, file in enumerate(kept.artifact.files):
            path = out_dir / file.name
            if not path.exists():
                written[path] = _partial(path)
                shutil.copyfile(kept.path(index), written[path])
        written[sidecar] = _partial(sidecar)
        written[sidecar].write_bytes(encode(kept.artifact))
        for path, partial in written.items():
            partial.replace(path)
    finally:
        for partial in written.values():
            partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.partial")
