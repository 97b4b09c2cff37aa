"""Artifacts on demand: from the cache, or exported in a process of their own and proved in another."""

from pathlib import Path

import msgspec

from esrbench import cache as caches
from esrbench import child, plugins, proof, zoo
from esrbench.artifact import SIDECAR, Format, LocatedArtifact, read_sidecar, write_sidecar
from esrbench.codec import Value
from esrbench.containment import contained
from esrbench.errors import ExportError
from esrbench.exporter import ExportOptions, check_options
from esrbench.shelf import Shelf, recipe

WORKER = "esrbench.export_worker"


class ExportJob(Value, frozen=True, kw_only=True):
    """What the export's process is asked for."""

    checkpoint: str
    model: str
    format: Format
    options: ExportOptions
    cache: str
    out: str  # folder to make: the artifact and its sidecar


class ExportAnswer(Value, frozen=True, kw_only=True, tag=True):
    """What it did: exported into the job's ``out``, or found the artifact on the shelf."""

    key: str
    weights_sha256: str
    exported: bool


def ensure_artifact(
    ref: str, format_: Format, options: ExportOptions | None = None, *, cache: Path | None = None
) -> LocatedArtifact:
    """The artifact of model ``ref`` (a zoo name or a path) in this format, its digests checked.

    ``cache`` defaults to :func:`esrbench.cache.folder`. The export itself runs in a child process: it may take
    gigabytes, and what it needs is imported there only. Only what drew the network's picture in a runtime of its own
    is kept; where no such runtime is installed, the artifact says so.

    Raises:
        UnknownNameError: no such model or format.
        UnavailableError: the format is not written at this precision or with these options, or its exporter is broken.
        CheckpointError: the weights are absent, damaged, or of no network known here.
        ExportError: the exporter failed, with its last words, or the file draws another picture.
        OutputError: the cache cannot be written.
    """
    exporter, options = plugins.exporter(format_), options or ExportOptions()
    check_options(exporter, options)
    file = zoo.locate(ref)
    folder = cache or caches.folder()
    shelf = Shelf(folder)
    known = shelf.weights_sha256(file.sha256)
    with contained():
        key = recipe(file.name, known, exporter, options).key() if known else None
    found = shelf.find(key) if key else None
    if found is not None:
        return found
    with shelf.workplace() as work:
        made = work / "artifact"
        job = ExportJob(
            checkpoint=str(file.path.resolve()),
            model=file.name,
            format=format_,
            options=options,
            cache=str(folder.resolve()),
            out=str(made),
        )
        done = child.ask(WORKER, job, ExportAnswer, f"exporting {file.name} to {format_} {options.precision.value}")
        if done.exported:
            _prove(made / SIDECAR, file)
        shelf.remember(file.sha256, done.weights_sha256)
        return shelf.keep(made, done.key)


def _prove(sidecar: Path, file: zoo.WeightsFile) -> None:
    """Write the proof into the sidecar, or refuse what draws another picture."""
    located = read_sidecar(sidecar)
    found = proof.prove(file, located)
    wrong = found.proof and proof.fault(located, found.proof)
    if wrong:
        raise ExportError(f"{wrong}; the files are removed")
    proved = msgspec.structs.replace(located.artifact, proof=found.proof, unproved=found.unproved)
    write_sidecar(proved, sidecar)
