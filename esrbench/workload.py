"""The pixels that every target is given, cut the same way: prepared once, checked by hash in every launch."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench import images, tiling
from esrbench.errors import ImageError, UnknownNameError, UsageError
from esrbench.images import Pixels
from esrbench.record import Workload
from esrbench.tiling import TilePlan
from esrbench.wording import visible

Crop = tuple[int, int] | tuple[int, int, int, int]
"""(height, width) from the middle, or (top, left, height, width); in pixels."""


class PreparedWorkload(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A workload with its pixels."""

    record: Workload
    pixels: Pixels  # (H, W, 3) RGB
    plan: TilePlan

    def batches(self) -> Iterator[npt.NDArray[np.float32]]:
        """``(n, tile, tile, 3)`` float32 RGB in [0, 1], C-contiguous; ``n`` is the batch size, the last may be less.

        The plan's tiles come ``copies`` times: a batch that the picture cannot fill is filled with them again.
        """
        tiles = tiling.cut(self.pixels, self.plan)
        tiles = np.concatenate([tiles] * self.record.copies) if self.record.copies > 1 else tiles
        for start in range(0, len(tiles), self.record.batch):
            yield tiles[start : start + self.record.batch].astype(np.float32) / np.float32(255)

    def save(self, picture: Path) -> None:
        """Write the pixels as a PNG, from which :func:`load` makes this workload again."""
        images.write(picture, images.Picture(rgb=self.pixels))


def prepare(
    *,
    image: str,
    crop: Crop | None = None,
    tile: int,
    halo: int,
    batch: int,
    threads: int,
    id: str,
    multiple: int = 1,
    min_batches: int = 1,
    sweep: bool = False,
) -> PreparedWorkload:
    """The workload of a sample photo or a picture file; transparency is left out.

    ``image`` is taken as a sample's name where it is one, else as a path; ``./coffee`` is always a path. ``multiple``
    is the network's ``unshuffle``; the tiles come as often as ``min_batches`` full batches need.

    Raises:
        UsageError: no such picture, a crop that is not within it, a tile that cannot be, a batch or thread count
            below 1.
    """
    for what, count in (("batch", batch), ("thread count", threads)):
        if count < 1:
            raise UsageError(f"a {what} of {count} was asked for; it must be at least 1")
    pixels, top, left = _cropped(_pixels(image), crop, image)
    height, width, _ = pixels.shape
    plan = tiling.plan(height, width, tile=tile, halo=halo, multiple=multiple)
    record = Workload(
        id=id,
        image=image if image in images.SAMPLES else visible(Path(image).name),
        left_px=left,
        top_px=top,
        width_px=width,
        height_px=height,
        tile_px=tile,
        halo_px=halo,
        batch=batch,
        threads=threads,
        tiles=len(plan.windows),
        pixels_sha256=sha256_of_pixels(pixels),
        copies=-(-batch * min_batches // len(plan.windows)),
        sweep=sweep,
    )
    return PreparedWorkload(record=record, pixels=pixels, plan=plan)


def load(record: Workload, picture: Path, *, multiple: int = 1) -> PreparedWorkload:
    """The workload that ``record`` describes, of the pixels in ``picture``.

    Raises:
        ImageError: the picture cannot be read, or does not hold the pixels recorded.
    """
    pixels = images.read(picture).rgb
    found = sha256_of_pixels(pixels)
    if found != record.pixels_sha256:
        raise ImageError(
            f"{picture} does not hold the pixels of workload {record.id!r}: "
            f"sha256 {record.pixels_sha256} was recorded, {found} found; start the run anew"
        )
    height, width, _ = pixels.shape
    plan = tiling.plan(height, width, tile=record.tile_px, halo=record.halo_px, multiple=multiple)
    return PreparedWorkload(record=record, pixels=pixels, plan=plan)


def sha256_of_pixels(pixels: Pixels) -> str:
    """Hex digest of shape and values: pictures of equal bytes but another shape differ."""
    digest = hashlib.sha256("×".join(map(str, pixels.shape)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _pixels(image: str) -> Pixels:
    if image in images.SAMPLES:
        return images.sample(image)
    path = Path(image)
    if path.name == image and not path.suffix and not path.exists():  # a word: rather a sample's name misspelt
        raise UnknownNameError("sample photo or picture file", image, images.SAMPLES)
    return images.read(path).rgb


def _cropped(pixels: Pixels, crop: Crop | None, image: str) -> tuple[Pixels, int, int]:
    """The pixels of ``crop``, and its top and left."""
    if crop is None:
        return pixels, 0, 0
    full_height, full_width, _ = pixels.shape
    top, left, height, width = (
        crop if len(crop) == 4 else ((full_height - crop[0]) // 2, (full_width - crop[1]) // 2, *crop)
    )
    if min(height, width) < 1 or min(top, left) < 0 or top + height > full_height or left + width > full_width:
        raise UsageError(
            f"a crop of {width}×{height} pixels at left {left}, top {top} was asked for; "
            f"{image} has {full_width}×{full_height}"
        )
    return np.ascontiguousarray(pixels[top : top + height, left : left + width]), top, left
