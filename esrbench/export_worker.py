"""The process of one export: a job on standard input, an answer in a file."""

import sys
import time
from pathlib import Path

from esrbench import __version__, checkpoints, memory, plugins
from esrbench.artifact import SIDECAR, Artifact, describe_file, write_sidecar
from esrbench.codec import decode, encode
from esrbench.errors import EsrbenchError
from esrbench.export import ExportAnswer, ExportJob
from esrbench.exporter import Exporter, Model
from esrbench.process import die_with_parent
from esrbench.shelf import Shelf, recipe


def main() -> None:
    """Carry out the job; errors that esrbench knows are part of the answer, others a traceback."""
    die_with_parent()
    memory.reset_peak_rss()
    job = decode(sys.stdin.buffer.read(), ExportJob, "standard input")
    try:
        answer = carry_out(job)
    except EsrbenchError as error:
        answer = ExportAnswer(error_type=type(error).__name__, error=str(error))
    Path(job.answer).write_bytes(encode(answer))


def carry_out(job: ExportJob) -> ExportAnswer:
    """Read the checkpoint and export it, unless other files with the same weights were exported before.

    Raises:
        CheckpointError: the weights cannot be read.
        ExportError: the exporter failed.
    """
    exporter = plugins.exporter(job.format)
    model = checkpoints.read(Path(job.checkpoint), job.model)
    key = recipe(model.name, model.weights_sha256, exporter, job.options).key()
    if Shelf(Path(job.cache)).find(key) is None:
        _export(exporter, model, job)
    return ExportAnswer(key=key, weights_sha256=model.weights_sha256)


def _export(exporter: Exporter, model: Model, job: ExportJob) -> None:
    out = Path(job.out)
    out.mkdir()
    begin_ns = time.perf_counter_ns()
    files = exporter.export(model, job.options, out)
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
        versions={"esrbench": __version__} | files.versions,
        export_s=export_s,
        export_peak_rss_bytes=memory.peak_rss_bytes()[0],
    )
    write_sidecar(artifact, out / SIDECAR)


if __name__ == "__main__":
    main()
