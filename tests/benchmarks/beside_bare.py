"""esrbench's sessions beside bare scripts: `python tests/benchmarks/beside_bare.py [TARGET]… [--write]`.

A pair is two fresh processes: a script of `bare/`, which calls the library as its documentation says, and a session.
They draw the same tile in turns, each idle while the other works, so that whatever else the machine does falls on both.
A pair gives one number, the median of the ratios of neighbouring tiles; the interval is over pairs. What is printed is
also what docs/settings.md shows, between its marks. Exit code 1: a session is not shown to be within 3 %.
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
    write: Annotated[bool, typer.Option(help="Put the table into docs/settings.md.")] = False,
) -> None:
    """Print each pair as it is measured, every target in turn, then the table."""
    chosen = [Target(text) for text in targets or SCRIPTS]
    artifacts, prepared = {target: artifact_of(target) for target in chosen}, tile()
    ratios: dict[Target, list[float]] = {target: [] for target in chosen}
    for _ in range(pairs):
        for target in chosen:
            ratios[target].append(pair(target, artifacts[target], prepared))
            typer.echo(f"{target} {ratios[target][-1]:.3f}", err=True)
    found = {target: _estimated(each) for target, each in ratios.items()}
    text = table(found)
    typer.echo(text)
    if write:
        fill(DOCS / "settings.md", "beside bare scripts", text)
    slower = [target for target, one in found.items() if one.high is None or one.high > WITHIN]
    for target in slower:
        typer.echo(f"not shown to be within {WITHIN:g} of its script: {target}", err=True)
    raise typer.Exit(1 if slower else 0)


def table(found: Mapping[Target, Estimate]) -> str:
    """A line a target."""
    libraries = dict.fromkeys(target.runtime.replace("torchscript", "torch") for target in found)
    versions = ", ".join(f"{name} {import_module(name).__version__}" for name in libraries)
    where = f"{machine_name(environment.describe())}, {date.today().isoformat()}, {versions}"
    head = (
        f"{where}; {MODEL}, a tile of {TILE_PX}².\n\n"
        "| target | time of a session over its script's | pairs |\n| :-- | --: | --: |\n"
    )
    return head + "\n".join(
        f"| {target} | {one.value:.3f} ({one.low:.3f}–{one.high:.3f}) | {one.rounds} |" for target, one in found.items()
    )


if __name__ == "__main__":
    typer.run(main)
