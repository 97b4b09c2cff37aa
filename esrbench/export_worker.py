"""The process of one export: a job on standard input, an answer in a file."""

import time
from pathlib import Path

from esrbench import __version__, checkpoints, child, memory, plugins
from esrbench.artifact import SIDECAR, Artifact, describe_file, write_sidecar
from esrbench.errors import UnavailableError
from esrbench.export import ExportAnswer, ExportJob
from esrbench.exporter import Exporter, Model
from esrbench.shelf import Shelf, recipe


def main() -> None:
    """Carry out the job."""
    memory.reset_peak_rss()
    child.serve(ExportJob, carry_out)


def carry_out(job: ExportJob) -> ExportAnswer:
    """Read the checkpoint; export it unless that was done before.

    Raises:
        CheckpointError: the weights cannot be read.
        ExportError: the exporter failed.
        UnavailableError: a library that it needs is not installed.
    """
    exporter = plugins.exporter(job.format)
    model = checkpoints.read(Path(job.checkpoint), job.model)
    key = recipe(model.name, model.weights_sha256, exporter, job.options).key()
    missing = Shelf(Path(job.cache)).find(key) is None
    if missing:
        _export(exporter, model, job)
    return ExportAnswer(key=key, weights_sha256=model.weights_sha256, exported=missing)


def _export(exporter: Exporter, model: Model, job: ExportJob) -> None:
    out = Path(job.out)
    out.mkdir()
    begin_ns = time.perf_counter_ns()
    try:
        files = exporter.export(model, job.options, out)
    except ImportError as error:
        missing = error.name or str(error)
        raise UnavailableError(
            f"{job.format} is written with {missing}, which cannot be imported here", f"pip install {missing}"
        ) from error
    export_s = (time.perf_counter_ns() - begin_ns) / 1e9
    artifact = Artifact(
        model=model.name,
        format=job.format,
        precision=job.options.precision,
        spec=model.spec,
        weights_sha256=model.weights_sha256,
        files=tuple(describe_file(path) for path in files.paths),
        exporter=exporter.format,
        options=files.options,
        io=job.options.io,
        shape=job.options.shape,
        versions={"esrbench": __version__} | files.versions,
        notes=files.notes,
        source=model.source,
        export_s=export_s,
        export_peak_rss_bytes=memory.peak_rss_bytes()[0],
    )
    write_sidecar(artifact, out / SIDECAR)


if __name__ == "__main__":
    main()
