"""What int8 costs and gains: dB on five photos, speed beside fp32 and bf16. The tables of docs/int8.md.

    python tests/benchmarks/int8_study.py [--rounds 9] [--tile 64 --tile 128] [--skip-layers]

The photos are none of those that the file is calibrated on. Speeds are of one process, the targets in turns within each
round; a ratio is the median over rounds of two neighbours' times. `esrbench bench` is what measures launches.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import onnx_ir
import typer

from esrbench import checkpoints, export, fidelity, images, plugins, zoo
from esrbench.architecture import RRDBNetSpec
from esrbench.artifact import INT8_CONVOLUTIONS, ONNX, LocatedArtifact, describe_file
from esrbench.exporter import ExportOptions
from esrbench.runner import LoadOptions, Session, Tiles, float_tiles
from esrbench.target import Precision, Target
from esrbench_exporters import calibration
from esrbench_exporters.onnx_quantised import ENDS, quantise

PHOTOS = ("astronaut", "brick", "camera", "grass", "retina")
TARGETS = tuple(
    map(
        Target,
        ("onnxruntime@cpu:fp32", "onnxruntime@cpu:int8", "openvino@cpu:fp32", "openvino@cpu:bf16", "openvino@cpu:int8"),
    )
)
PHOTO_PX = 64
THREADS = 2


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--model", default="realesrgan-x4plus")
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--tile", type=int, action="append")
    asked.add_argument("--skip-layers", action="store_true")
    options = asked.parse_args()
    artifacts = {
        precision: export.ensure_artifact(options.model, ONNX, ExportOptions(precision=precision))
        for precision in (Precision.FP32, Precision.INT8)
    }
    tell_pictures(artifacts)
    for tile in options.tile or (64, 128):
        tell_speeds(artifacts, tile, options.rounds)
    if not options.skip_layers:
        tell_layers(options.model, artifacts[Precision.FP32], options.rounds)


def photo(name: str, side: int = PHOTO_PX) -> Tiles:
    """The middle of a sample photo, (1, side, side, 3) in [0, 1]."""
    whole = images.sample(name)
    top, left = ((extent - side) // 2 for extent in whole.shape[:2])
    return float_tiles(whole[None, top : top + side, left : left + side])


def opened(target: Target, artifact: LocatedArtifact, tile: int) -> Session:
    """A session for one tile at a time."""
    options = LoadOptions(threads=THREADS, tile_shape=(1, tile, tile))
    return plugins.runner(target.runtime).load(artifact, target, options)


def artifact_of(target: Target, artifacts: dict[Precision, LocatedArtifact]) -> LocatedArtifact:
    """What its runner wants."""
    return artifacts[plugins.runner(target.runtime).artifact_precision(target)]


def decibels(session: Session, right: Sequence[Tiles]) -> list[float]:
    """PSNR of each photo."""
    return [psnr(session.run(photo(name)), whole) for name, whole in zip(PHOTOS, right, strict=True)]


def psnr(found: Tiles, right: Tiles) -> float:
    """In dB, of values whose range is 1."""
    return fidelity.psnr_db(float(np.mean((found.astype(np.float64) - right) ** 2)))


def drawn(artifacts: dict[Precision, LocatedArtifact]) -> list[Tiles]:
    """The five photos at fp32."""
    with opened(TARGETS[0], artifacts[Precision.FP32], PHOTO_PX) as session:
        return [session.run(photo(name)) for name in PHOTOS]


def tell_pictures(artifacts: dict[Precision, LocatedArtifact]) -> None:
    """dB of each target on each photo."""
    right = drawn(artifacts)
    typer.echo(f"| dB to fp32, {PHOTO_PX}² | {' | '.join(PHOTOS)} | worst |\n| :-- |{' --: |' * (len(PHOTOS) + 1)}")
    for target in TARGETS[1:]:
        with opened(target, artifact_of(target, artifacts), PHOTO_PX) as session:
            found = decibels(session, right)
            typer.echo(f"| {target} | {' | '.join(f'{value:.1f}' for value in (*found, min(found)))} |")
            typer.echo(f"<!-- {session.placement().nodes} -->")


def tell_speeds(artifacts: dict[Precision, LocatedArtifact], tile: int, rounds: int) -> None:
    """Times of a tile, and int8 beside the others of its runtime."""
    with ExitStack() as stack:
        sessions = {
            target: stack.enter_context(opened(target, artifact_of(target, artifacts), tile)) for target in TARGETS
        }
        times = timed(sessions, photo("astronaut", tile), rounds)
    typer.echo(f"\n| {tile}² | ms | int8 is |\n| :-- | --: | --: |")
    for target in TARGETS:
        beside = Target.of(target.runtime, "cpu", Precision.INT8)
        ratios = [theirs / ours for theirs, ours in zip(times[target], times[beside], strict=True)]
        faster = "" if target == beside else f"{statistics.median(ratios):.2f}× ({min(ratios):.2f}–{max(ratios):.2f})"
        typer.echo(f"| {target} | {statistics.median(times[target]):.0f} | {faster} |")


def timed(sessions: dict[Target, Session], tiles: Tiles, rounds: int) -> dict[Target, list[float]]:
    """Milliseconds of one tile, in turns; the first two of each session are not counted."""
    times: dict[Target, list[float]] = {target: [] for target in sessions}
    for number in range(rounds + 2):
        for target, session in sessions.items():
            begin_ns = time.perf_counter_ns()
            session.run(tiles)
            if number >= 2:
                times[target].append((time.perf_counter_ns() - begin_ns) / 1e6)
    return times


def tell_layers(model_name: str, whole: LocatedArtifact, rounds: int) -> None:
    """What it costs and gains to keep more layers in float."""
    file = zoo.locate(model_name)
    model = checkpoints.read(file.path, file.name)
    if not isinstance(model.spec, RRDBNetSpec):
        return
    spans = calibration.convolution_spans(model, calibration.pictures(model))
    right = drawn({Precision.FP32: whole})
    typer.echo(
        f"\n| in float | {' | '.join(PHOTOS)} | onnxruntime ms | openvino ms |\n| :-- |{' --: |' * (len(PHOTOS) + 2)}"
    )
    for title, kept in groups(model.spec):
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            artifact = variant(whole, spans, kept, Path(folder))
            sessions = {
                target: stack.enter_context(opened(target, artifact, PHOTO_PX))
                for target in TARGETS
                if target.precision is Precision.INT8
            }
            found = decibels(next(iter(sessions.values())), right)
            times = timed(sessions, photo("astronaut"), rounds)
        cells = [*(f"{value:.1f}" for value in found), *(f"{statistics.median(each):.0f}" for each in times.values())]
        typer.echo(f"| {title} | {' | '.join(cells)} |")


def groups(spec: RRDBNetSpec) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Title → convolutions that stay float; by their place in the order of execution."""
    names = [name.removesuffix(".weight") for name, shape in spec.parameter_shapes().items() if len(shape) == 4]

    def among(*starts: str) -> tuple[int, ...]:
        return tuple(place for place, name in enumerate(names) if name.startswith(starts))

    yield "first and last (as exported)", ENDS
    yield "these and conv_hr", (*ENDS, *among("conv_hr"))
    yield "these and conv_up1, conv_up2", (*ENDS, *among("conv_up"))
    yield "these, conv_up1, conv_up2, conv_hr", (*ENDS, *among("conv_up", "conv_hr"))
    yield "these and conv_body", (*ENDS, *among("conv_body"))
    yield "these and the first block", (*ENDS, *among("body.0."))
    yield "these and the last block", (*ENDS, *among(f"body.{spec.blocks - 1}."))
    yield "these and every conv5", (*ENDS, *(place for place, name in enumerate(names) if name.endswith("conv5")))


def variant(
    whole: LocatedArtifact, spans: Sequence[calibration.ConvolutionSpans], kept: tuple[int, ...], folder: Path
) -> LocatedArtifact:
    """The fp32 artifact with these convolutions left in float."""
    graph = onnx_ir.load(whole.path())
    count = quantise(graph, spans, kept)
    path = folder / "variant.onnx"
    onnx_ir.save(graph, path)
    artifact = msgspec.structs.replace(
        whole.artifact,
        precision=Precision.INT8,
        files=(describe_file(path),),
        options=whole.artifact.options | {INT8_CONVOLUTIONS: str(count)},
    )
    return LocatedArtifact(artifact=artifact, folder=str(folder))


if __name__ == "__main__":
    main()
