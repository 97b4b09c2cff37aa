"""One picture in, one larger picture out: the way of the benchmark, drawn in full."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from esrbench import automatic, environment, export, images, measured, plugins, store, tiling, zoo
from esrbench.architecture import NetworkSpec
from esrbench.artifact import LocatedArtifact
from esrbench.codec import Value
from esrbench.errors import EsrbenchError, OutOfMemoryError, OutputError, UsageError
from esrbench.exporter import ExportOptions
from esrbench.images import Picture, Pixels
from esrbench.runner import LoadOptions, Session, Tiles, float_tiles
from esrbench.settings import DEFAULT, Settings
from esrbench.target import Target
from esrbench.tiling import TilePlan
from esrbench.wording import gigabytes

DEFAULT_MODEL = "realesrgan-x4plus"

HALO_PX = 16
"""Context at a seam, in pixels of the network's body, where its receptive field is wider.

Against the untiled result of realesrgan-x4plus, in 8 bits: 51.7 dB on the sample ``astronaut`` (512 px, 9 tiles), and
no seam to be seen. On fur, the worst of the samples tried, float output: 42 dB with 8, 44 dB with 16, 46 dB with 24.
"""

Say = Callable[[str], None]
"""Where to tell what is being done."""

Tick = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What to upscale, and how; None and ``auto`` leave the choice to esrbench."""

    source: Path
    destination: Path
    threads: int
    model: str = DEFAULT_MODEL  # a zoo name or a checkpoint file
    target: str = automatic.AUTO
    tile: int | None = None  # side in input pixels, halo included
    halo: int | None = None
    run: Path | None = None  # whose fastest target and tile to take, instead of what is likely to be
    memory_gb: float | None = None  # with `run`: of those that needed at most so much
    settings: Settings = DEFAULT  # of the runtime; with `run`: those that it was measured with


class Upscaled(Value, frozen=True, kw_only=True):
    """What was done."""

    destination: str
    width_px: int  # of the picture written
    height_px: int
    model: str
    target: Target
    device_name: str
    tile_px: int
    halo_px: int
    tiles: int
    load_s: float  # artifact on disk -> session ready
    upscale_s: float  # all tiles, in input and output pictures


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """A request that has passed every check that costs nothing."""

    picture: Picture
    spec: NetworkSpec
    plan: TilePlan


def upscale(request: Request, say: Say, tick: Tick) -> Upscaled:
    """Upscale a picture tile by tile and write it, whole or not at all.

    Colours and transparency are kept, grey stays grey. Whatever can be refused is refused before the work begins.

    Raises:
        UsageError: a picture, place, model, target, tile or halo that cannot be.
        UnavailableError: the target cannot run here.
        OutOfMemoryError: a tile, or the picture itself, does not fit into memory.
        EsrbenchError: the target drew NaN.
    """
    request = _as_measured(request, say) if request.run is not None else request
    work = _checked(request)
    found = automatic.usable_target(request.target)
    say(f"{found.target} on {found.device_name}")
    format_, precision = plugins.artifact_for(found.target)
    say(f"exporting {request.model} to {format_} {precision.value}, or taking it from the cache")
    artifact = export.ensure_artifact(request.model, format_, ExportOptions(precision=precision))
    try:
        larger, done = _drawn(request, work, artifact, found.target, tick)
    except (OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(
            f"memory ran out on {found.target} with tiles of {work.plan.tile} pixels: {error}; try a smaller --tile"
        ) from error
    images.write(request.destination, larger)
    return done


def enlarged(picture: Picture, plan: TilePlan, scale: int, session: Session, tick: Tick) -> Picture:
    """``picture`` drawn ``scale`` times as large by ``session``; transparency is enlarged by bicubic interpolation.

    Raises:
        EsrbenchError: the session drew something that is no picture.
    """
    canvas = np.empty((scale * plan.height, scale * plan.width, 3), np.uint8)
    total = len(plan.windows)
    tick(0, total)
    drawn = session.stream(_batches(picture.rgb, plan))
    for done, (window, batch) in enumerate(zip(plan.windows, drawn, strict=True), start=1):
        tiling.paste(_eight_bit(batch), window, plan, scale, canvas)
        tick(done, total)
    alpha = None if picture.alpha is None else _enlarged_alpha(picture.alpha, scale)
    return msgspec.structs.replace(picture, rgb=canvas, alpha=alpha)


def _as_measured(request: Request, say: Say) -> Request:
    """``request`` with the target, tile and halo that its run recommends in the place of ``auto``."""
    assert request.run is not None
    spot = measured.recommended(
        store.read_run(request.run),
        environment.describe(),
        zoo.open_rgb_model(request.model).weights_sha256,
        target=None if request.target == automatic.AUTO else request.target,
        tile_px=request.tile,
        budget_gb=request.memory_gb,
    )
    plugins.check_settings(spot.target, spot.settings, str(request.run))
    peak = gigabytes(spot.memory_mb)
    say(f"as measured in {request.run}: {spot.target}, tiles of {spot.tile_px} px, {peak} beside the picture itself")
    halo = spot.halo_px if request.halo is None else request.halo
    return msgspec.structs.replace(
        request, target=str(spot.target), tile=spot.tile_px, halo=halo, settings=spot.settings
    )


def _checked(request: Request) -> _Work:
    if request.threads < 1:
        raise UsageError(f"{request.threads} threads were asked for; a target needs at least 1")
    picture = images.read(request.source)
    if request.destination.exists() and request.destination.samefile(request.source):
        raise OutputError(f"{request.destination} is the picture to upscale; give another place for the result")
    spec = zoo.open_rgb_model(request.model).spec
    images.check_output(request.destination, picture.height * spec.scale, picture.width * spec.scale, picture.alpha)
    return _Work(picture=picture, spec=spec, plan=_plan(picture, spec, request.tile, request.halo))


def _plan(picture: Picture, spec: NetworkSpec, tile: int | None, halo: int | None) -> TilePlan:
    multiple = spec.unshuffle
    if halo is None:
        halo = min(spec.receptive_field_px, HALO_PX * multiple)
    if tile is None and halo >= 0:
        tile = automatic.cheapest_tile(picture.height, picture.width, halo=halo, multiple=multiple)
    if tile is not None and halo >= 0:
        tile = min(tile, _whole(picture, halo, multiple))
    return tiling.plan(picture.height, picture.width, tile=tile or 0, halo=halo, multiple=multiple)


def _whole(picture: Picture, halo: int, multiple: int) -> int:
    """Side of the smallest tile that holds the whole picture: a larger one would be padding."""
    needed = max(picture.height, picture.width, 2 * halo + 1)
    return -(-needed // multiple) * multiple


def _drawn(
    request: Request, work: _Work, artifact: LocatedArtifact, target: Target, tick: Tick
) -> tuple[Picture, Upscaled]:
    """The larger picture, not yet written, and what was done."""
    options = LoadOptions(
        threads=request.threads, tile_shape=(1, work.plan.tile, work.plan.tile), settings=request.settings
    )
    start = time.perf_counter()
    with plugins.runner(target.runtime).load(artifact, target, options) as session:
        device_name = session.placement().device_name
        loaded = time.perf_counter()
        larger = enlarged(work.picture, work.plan, work.spec.scale, session, tick)
        done = time.perf_counter()
    return larger, Upscaled(
        destination=str(request.destination),
        width_px=larger.width,
        height_px=larger.height,
        model=artifact.artifact.model,
        target=target,
        device_name=device_name,
        tile_px=work.plan.tile,
        halo_px=work.plan.halo,
        tiles=len(work.plan.windows),
        load_s=loaded - start,
        upscale_s=done - loaded,
    )


def _batches(rgb: Pixels, plan: TilePlan) -> Iterator[npt.NDArray[np.float32]]:
    """``(1, tile, tile, 3)`` each: one tile at a time needs the least memory."""
    for tile in tiling.tiles_of(rgb, plan):
        yield np.ascontiguousarray(float_tiles(tile)[np.newaxis])


def _eight_bit(batch: Tiles) -> Pixels:
    """The one tile of ``batch``: floats go through the network, as a NaN cannot be told from black in bytes."""
    bad = batch.size - int(np.isfinite(batch).sum())
    if bad:
        raise EsrbenchError(f"{bad} of the {batch.size} values of a tile are NaN or infinite; try another --target")
    pixels: Pixels = np.rint(np.clip(batch[0], 0, 1) * 255).astype(np.uint8)
    return pixels


def _enlarged_alpha(alpha: Pixels, scale: int) -> Pixels:
    height, width = alpha.shape
    return np.array(Image.fromarray(alpha).resize((width * scale, height * scale), Image.Resampling.BICUBIC))
