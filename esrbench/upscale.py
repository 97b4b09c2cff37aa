"""One picture in, one larger picture out: the way of the benchmark, drawn in full."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from esrbench import export, images, plugins, probe, tiling, zoo
from esrbench.architecture import NetworkSpec
from esrbench.codec import Value
from esrbench.errors import OutOfMemoryError, OutputError, UnavailableError, UsageError
from esrbench.images import Picture, Pixels
from esrbench.runner import Availability, DeviceType, LoadOptions, Session
from esrbench.target import Precision, Target
from esrbench.tiling import TilePlan

AUTO = "auto"

DEFAULT_MODEL = "realesrgan-x4plus"

HALO_PX = 16
"""Context at a seam, in pixels of the network's body, where its receptive field is wider."""

LARGEST_AUTO_TILE_PX = 192
"""Of the runtimes measured, the hungriest needs about 2.5 GB for such a tile of realesrgan-x4plus."""

_DEVICES = ("cuda", "vulkan")
_GPU_PRECISIONS = (Precision.FP16, Precision.BF16, Precision.TF32, Precision.FP32)
_CPU_PRECISIONS = (Precision.FP32,)
_RUNTIMES = {
    # Not yet measured side by side on a GPU; torch tunes nothing per tile shape, so one picture is done soonest.
    DeviceType.GPU: ("torch", "onnxruntime", "torchscript", "openvino", "ncnn"),
    # By speed on tiles of 128 and 256 pixels and two cores; ncnn as fast as openvino, but at three times the memory.
    DeviceType.CPU: ("openvino", "onnxruntime", "torch", "torchscript", "ncnn"),
}

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
    target: str = AUTO
    tile: int | None = None  # side in input pixels, halo included
    halo: int | None = None


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
    """
    work = _checked(request)
    found = choose_target(request.target)
    runner = plugins.runner(found.target.runtime)
    say(f"{found.target} on {found.device_name}")
    artifact = export.ensure_artifact(
        request.model, plugins.format_for(runner), runner.artifact_precision(found.target)
    )
    options = LoadOptions(threads=request.threads, tile_shape=(1, work.plan.tile, work.plan.tile))
    start = time.perf_counter()
    try:
        with runner.load(artifact, found.target, options) as session:
            loaded = time.perf_counter()
            device_name = session.placement().device_name
            larger = enlarged(work.picture, work.plan, work.spec.scale, session, tick)
            done = time.perf_counter()
    except (OutOfMemoryError, MemoryError) as error:
        raise OutOfMemoryError(
            f"memory ran out on {found.target} with tiles of {work.plan.tile} pixels: {error}; try a smaller --tile"
        ) from error
    images.write(request.destination, larger)
    return Upscaled(
        destination=str(request.destination),
        width_px=larger.width,
        height_px=larger.height,
        model=artifact.artifact.model,
        target=found.target,
        device_name=device_name,
        tile_px=work.plan.tile,
        halo_px=work.plan.halo,
        tiles=len(work.plan.windows),
        load_s=loaded - start,
        upscale_s=done - loaded,
    )


def enlarged(picture: Picture, plan: TilePlan, scale: int, session: Session, tick: Tick) -> Picture:
    """``picture`` drawn ``scale`` times as large by ``session``; transparency is enlarged by bicubic interpolation."""
    canvas = np.empty((scale * plan.height, scale * plan.width, 3), np.uint8)
    total = len(plan.windows)
    tick(0, total)
    for done, (window, batch) in enumerate(
        zip(plan.windows, session.stream(_batches(picture.rgb, plan)), strict=True), start=1
    ):
        tiling.paste(batch[0], window, plan, scale, canvas)
        tick(done, total)
    alpha = None if picture.alpha is None else _enlarged_alpha(picture.alpha, scale)
    return msgspec.structs.replace(picture, rgb=canvas, alpha=alpha)


def choose_target(text: str) -> Availability:
    """The target named ``text``, which can run here; for ``auto`` the one likely to be fastest.

    ``auto`` takes a GPU at fp16 where there is one, else the CPU at fp32, and never a software graphics device.

    Raises:
        UsageError: no such target.
        UnavailableError: it cannot run here, with the reason.
    """
    if text == AUTO:
        return best(probe.availabilities())
    target = Target(text)
    plugins.runner(target.runtime)
    found = probe.ask([target.runtime]).of(target)
    if not found.usable:
        raise UnavailableError(f"{target} cannot run here: {found.reason}", found.remedy)
    return found


def best(entries: tuple[Availability, ...]) -> Availability:
    """The target that ``auto`` means.

    Raises:
        UnavailableError: none of them will do.
    """
    ranked = sorted((rank, str(entry.target), entry) for entry in entries if (rank := _rank(entry)) is not None)
    if not ranked:
        raise UnavailableError("no runtime can run here", "see esrbench doctor")
    return ranked[0][2]


def auto_tile(height: int, width: int, *, halo: int, multiple: int) -> int:
    """The tile with which the network sees the fewest pixels in all, a larger one where two are equal.

    A picture a little larger than the largest tile is cut into smaller tiles, rather than into ones that overlap by
    nearly all of their area; one that is smaller than it is not padded more than the halo asks for.
    """
    smallest = -(-(2 * halo + multiple) // multiple) * multiple
    largest = max(LARGEST_AUTO_TILE_PX, 2 * smallest)

    def cost(tile: int) -> tuple[int, int]:
        return tiling.window_count(height, width, tile=tile, halo=halo, multiple=multiple) * tile**2, -tile

    return min(range(smallest, largest + 1, multiple), key=cost)


def _checked(request: Request) -> _Work:
    if request.threads < 1:
        raise UsageError(f"{request.threads} threads were asked for; a target needs at least 1")
    picture = images.read(request.source)
    if request.destination.exists() and request.destination.samefile(request.source):
        raise OutputError(f"{request.destination} is the picture to upscale; give another place for the result")
    spec = zoo.open_model(request.model).spec
    images.check_output(request.destination, picture.height * spec.scale, picture.width * spec.scale, picture.alpha)
    return _Work(picture=picture, spec=spec, plan=_plan(picture, spec, request.tile, request.halo))


def _plan(picture: Picture, spec: NetworkSpec, tile: int | None, halo: int | None) -> TilePlan:
    multiple = spec.unshuffle
    if halo is None:
        halo = min(spec.receptive_field_px, HALO_PX * multiple)
    if tile is None and halo >= 0:
        tile = auto_tile(picture.height, picture.width, halo=halo, multiple=multiple)
    return tiling.plan(picture.height, picture.width, tile=tile or 0, halo=halo, multiple=multiple)


def _rank(entry: Availability) -> tuple[int, ...] | None:
    """Lower is better; None: not for ``auto``."""
    runtimes = _RUNTIMES.get(entry.device_type) if entry.device_type else None
    gpu = entry.device_type is DeviceType.GPU
    precisions = _GPU_PRECISIONS if gpu else _CPU_PRECISIONS
    if not entry.usable or runtimes is None or entry.target.precision not in precisions:
        return None
    return (
        0 if gpu else 1,
        _place(entry.target.device_kind, _DEVICES),
        entry.target.device_index,
        precisions.index(entry.target.precision),
        _place(entry.target.runtime, runtimes),
    )


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


def _batches(rgb: Pixels, plan: TilePlan) -> Iterator[Pixels]:
    """``(1, tile, tile, 3)`` each: one tile at a time needs the least memory."""
    for tile in tiling.tiles_of(rgb, plan):
        batch = np.empty((1, *tile.shape), np.uint8)
        batch[0] = tile
        yield batch


def _enlarged_alpha(alpha: Pixels, scale: int) -> Pixels:
    height, width = alpha.shape
    return np.array(Image.fromarray(alpha).resize((width * scale, height * scale), Image.Resampling.BICUBIC))
