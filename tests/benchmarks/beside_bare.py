"""esrbench's sessions beside bare scripts: `python tests/benchmarks/beside_bare.py [TARGET]… [--write]`.

A pair is two fresh processes: a script of `bare/`, which calls the library as its documentation says, and a session.
They draw the same tile in turns, each idle while the other works, so that whatever else the machine does falls on both.
A pair gives one number, the median of the ratios of neighbouring tiles; the interval is over pairs. ``--write`` keeps
all pairs in results/curated/beside-bare/ and puts the table into docs/settings.md. Exit code 1: a session is not shown
to be within 3 %.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from document import DOCS, fill
from served import served

from esrbench import environment, plugins, workload
from esrbench.artifact import LocatedArtifact
from esrbench.codec import Value, encode
from esrbench.compare import machine_name
from esrbench.environment import usable_cores
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.stats import Estimate, estimate
from esrbench.target import Target
from esrbench.workload import PreparedWorkload

MODEL, TILE_PX = "realesrgan-x4plus", 64
PAIRS, TILES, WARMUP_TILES = 6, 6, 3

WITHIN = 1.03
"""What a session may cost: no more than 3 %."""

SCRIPTS = {
    Target("torch@cpu:fp32"): "on_torch.py",
    Target("torch@cpu:bf16"): "on_torch.py",
    Target("torchscript@cpu:fp32"): "on_torchscript.py",
    Target("onnxruntime@cpu:fp32"): "on_onnxruntime.py",
    Target("ncnn@cpu:fp32"): "on_ncnn.py",
    Target("ncnn@cpu:bf16"): "on_ncnn.py",
    Target("openvino@cpu:fp32"): "on_openvino.py",
    Target("openvino@cpu:bf16"): "on_openvino.py",
}


RECORDS = DOCS.parent / "results" / "curated" / "beside-bare"


class Record(Value, frozen=True, kw_only=True):
    """All pairs of one measurement; a ratio is a session's time over its script's."""

    machine: str
    measured_on: str  # ISO 8601 date
    versions: dict[str, str]
    model: str
    tile_px: int
    ratios: dict[str, tuple[float, ...]]  # target -> one a pair

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Each target's ratio, with its interval over pairs."""
        return {target: _estimated(ratios) for target, ratios in self.ratios.items()}


class Bare:
    """A bare script: each question draws the tile once."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tile_s(self) -> float:
        """Seconds that the script measured, picture to picture."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())


def tile() -> PreparedWorkload:
    """One tile of a photo."""
    crop = (72, 192, TILE_PX, TILE_PX)
    return workload.prepare(
        image="astronaut", crop=crop, tile=TILE_PX, halo=0, batch=1, threads=usable_cores(), id="tile"
    )


def artifact_of(target: Target) -> LocatedArtifact:
    """What both sides load."""
    runner = plugins.runner(target.runtime)
    options = ExportOptions(precision=runner.artifact_precision(target))
    return ensure_artifact(MODEL, plugins.format_for(runner), options)


@contextmanager
def bare(target: Target, located: LocatedArtifact, picture: Path, threads: int) -> Iterator[Bare]:
    """The script of ``target``, started."""
    script = Path(__file__).with_name("bare") / SCRIPTS[target]
    process = subprocess.Popen(
        [sys.executable, str(script), str(located.path()), str(picture), str(threads), target.precision.value],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Bare(process)
    finally:
        process.kill()
        process.communicate()


def pair(target: Target, located: LocatedArtifact, prepared: PreparedWorkload) -> float:
    """A session's time over the bare script's, of two fresh processes that take turns."""
    threads = prepared.record.threads
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "tile.npy"
        np.save(picture, next(iter(prepared.batches())))
        with bare(target, located, picture, threads) as script, served(located, target, prepared) as session:
            for _ in range(WARMUP_TILES):
                script.tile_s()
                session.ask("tile_s")
            ratios = [_turn(script, session, first=index % 2 == 0) for index in range(TILES)]
    return statistics.median(ratios)


def compared(target: Target, pairs: int = PAIRS) -> Estimate:
    """A session's time over the bare script's: below 1, esrbench is faster. Its interval is over pairs."""
    located, prepared = artifact_of(target), tile()
    return _estimated([pair(target, located, prepared) for _ in range(pairs)])


def _estimated(ratios: Sequence[float]) -> Estimate:
    found = estimate(ratios)
    assert found is not None
    return found


def _turn(script: Bare, session: object, *, first: bool) -> float:
    if first:
        bare_s = script.tile_s()
        return session.ask("tile_s") / bare_s
    session_s = session.ask("tile_s")
    return session_s / script.tile_s()


def main(
    targets: Annotated[list[str] | None, typer.Argument(help="All that have a script, unless named.")] = None,
    pairs: Annotated[int, typer.Option(min=2, help="Of fresh processes, for each target.")] = 10,
    write: Annotated[bool, typer.Option(help="Keep the pairs, and put the table into docs/settings.md.")] = False,
) -> None:
    """Print each pair as it is measured, every target in turn, then the table."""
    chosen = [Target(text) for text in targets or SCRIPTS]
    artifacts, prepared = {target: artifact_of(target) for target in chosen}, tile()
    ratios: dict[Target, list[float]] = {target: [] for target in chosen}
    for _ in range(pairs):
        for target in chosen:
            ratios[target].append(pair(target, artifacts[target], prepared))
            typer.echo(f"{target} {ratios[target][-1]:.3f}", err=True)
    record = _record(ratios)
    typer.echo(table(record))
    if write:
        RECORDS.mkdir(parents=True, exist_ok=True)
        (RECORDS / f"{record.measured_on}.json").write_bytes(encode(record))
        fill(DOCS / "settings.md", "beside bare scripts", table(record))
    slower = [target for target, one in record.estimates.items() if one.high is None or one.high > WITHIN]
    for target in slower:
        typer.echo(f"not shown to be within {WITHIN:g} of its script: {target}", err=True)
    raise typer.Exit(1 if slower else 0)


def _record(ratios: Mapping[Target, Sequence[float]]) -> Record:
    libraries = dict.fromkeys(target.runtime.replace("torchscript", "torch") for target in ratios)
    return Record(
        machine=machine_name(environment.describe()),
        measured_on=date.today().isoformat(),
        versions={name: import_module(name).__version__ for name in libraries},
        model=MODEL,
        tile_px=TILE_PX,
        ratios={str(target): tuple(found) for target, found in ratios.items()},
    )


def table(record: Record) -> str:
    """Render the record as Markdown, a line a target."""
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    where = f"{record.machine}, {record.measured_on}, {versions}; {record.model}, a tile of {record.tile_px}²"
    head = (
        f"{where} ([pairs](../results/curated/beside-bare/{record.measured_on}.json)).\n\n"
        "| target | time of a session over its script's | pairs |\n| :-- | --: | --: |\n"
    )
    return head + "\n".join(
        f"| {target} | {one.value:.3f} ({one.low:.3f}–{one.high:.3f}) | {one.rounds} |"
        for target, one in record.estimates.items()
    )


if __name__ == "__main__":
    typer.run(main)
