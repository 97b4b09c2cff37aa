"""Artifacts kept by content: the same weights, exporter, options and versions are exported once.

CACHE/artifacts/<key>/       artifact.json and the files that it describes: whole, or not there
CACHE/checkpoints/<sha256>   the digest of the weights in the file of that sha256, so that a hit reads no checkpoint
"""

import hashlib
import inspect
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from esrbench import __version__, folding
from esrbench.artifact import SIDECAR, LocatedArtifact, read_sidecar
from esrbench.codec import Value, encode
from esrbench.errors import OutputError, RecordError
from esrbench.exporter import Exporter, ExportOptions
from esrbench.workplace import workplace

_KEY_LENGTH = 24  # hex digits: 96 bits of a sha256


class Recipe(Value, frozen=True, kw_only=True):
    """What decides an artifact's bytes."""

    model: str  # files are named after it
    weights_sha256: str
    exporter: str
    options: ExportOptions
    versions: dict[str, str]
    code_sha256: str  # of the exporter's package: an edited exporter must not be answered from yesterday's shelf
    esrbench_version: str = __version__

    def key(self) -> str:
        """A name for the artifact that this recipe makes."""
        return hashlib.sha256(encode(self)).hexdigest()[:_KEY_LENGTH]


def recipe(model: str, weights_sha256: str, exporter: Exporter, options: ExportOptions) -> Recipe:
    """The recipe by which ``exporter`` would write these weights here and now."""
    return Recipe(
        model=model,
        weights_sha256=weights_sha256,
        exporter=exporter.format,
        options=options,
        versions=exporter.versions(),
        code_sha256=_code_sha256(exporter),
    )


class Shelf:
    """The cache folder's artifacts."""

    def __init__(self, cache: Path) -> None:
        self._artifacts = cache / "artifacts"
        self._checkpoints = cache / "checkpoints"

    def weights_sha256(self, file_sha256: str) -> str | None:
        """The digest of the weights in a checkpoint file that was read before."""
        note = self._checkpoints / file_sha256
        try:
            return note.read_text(encoding="ascii") or None
        except OSError:
            return None

    def remember(self, file_sha256: str, weights_sha256: str) -> None:
        """Note the digest of the weights in a checkpoint file.

        Raises:
            OutputError: the cache folder cannot be written.
        """
        with workplace(self._checkpoints, ".noting-") as folder:
            note = folder / file_sha256
            note.write_text(weights_sha256, encoding="ascii")
            note.replace(self._checkpoints / file_sha256)

    def find(self, key: str) -> LocatedArtifact | None:
        """The artifact, or None where there is none or its files are no longer those that were written."""
        sidecar = self._artifacts / key / SIDECAR
        if not sidecar.is_file():
            return None
        try:
            return read_sidecar(sidecar)
        except (OutputError, RecordError):
            shutil.rmtree(sidecar.parent, ignore_errors=True)
            return None

    def workplace(self) -> AbstractContextManager[Path]:
        """An empty folder on the shelf's own disk, gone afterwards.

        Raises:
            OutputError: the cache folder cannot be written, or its disk is full.
        """
        return workplace(self._artifacts, ".exporting-")

    def keep(self, made: Path, key: str) -> LocatedArtifact:
        """Put the folder ``made`` on the shelf; another process that was faster wins.

        Raises:
            OutputError: the cache folder cannot be written.
        """
        found = self.find(key)
        if found is None:
            try:
                made.rename(self._artifacts / key)
            except OSError as error:  # somebody put it there this instant: a folder does not replace one with files
                found = self.find(key)
                if found is None:
                    reason = error.strerror or error
                    raise OutputError(f"{self._artifacts / key} cannot be written: {reason}; remove it") from error
        return found or read_sidecar(self._artifacts / key / SIDECAR)


def _code_sha256(exporter: Exporter) -> str:
    """Hash the sources that decide an artifact and its proof."""
    module = Path(inspect.getfile(type(exporter)))
    written_with = sorted(module.parent.glob("*.py")) if "." in type(exporter).__module__ else [module]
    own = [Path(__file__).with_name(name) for name in ("model.py", "half_precision.py", "proof.py", "proof_worker.py")]
    sources = [*written_with, Path(folding.__file__), *own]
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()
