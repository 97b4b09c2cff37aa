"""Cut a picture into windows of one shape, and put what the network made of them together again: numpy only.

Along one axis, with ``tile`` 8 and ``halo`` 2 (the core is ``tile - 2 * halo``), on 17 pixels:

    picture    0 1 2 3 4 5 6 7 8 9 . . . . . . 16
    window 0   [0 1 2 3 4 5]6 7                     starts at the border: keeps its border pixels
    window 1           4 5[6 7 8 9]. .              keeps its core
    window 2                   8 9[. . . .]. .
    window 3                     . . . .[. . .]     slides inward to end at the border: keeps the rest

Every window has the same shape, so that no runtime meets a second one, and the picture's own borders are window
borders, where the network pads with zeros as it would in a whole-image pass. What is kept lies at least ``halo``
pixels inside its window wherever the picture goes on. Only a picture smaller than the tile is padded, by reflection.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from esrbench.codec import Value
from esrbench.errors import TilingError

Array = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


class Window(Value, frozen=True, kw_only=True):
    """Where a tile is cut, and the part of the picture that is kept of it; all in input pixels."""

    top: int
    left: int
    keep_top: int  # kept rows: keep_top .. keep_bottom, the end excluded
    keep_bottom: int
    keep_left: int
    keep_right: int


class TilePlan(Value, frozen=True, kw_only=True):
    """The windows of a picture, row by row; made by :func:`plan`."""

    height: int  # of the picture
    width: int
    tile: int  # side of a window, halo included
    halo: int
    multiple: int  # of which sides and positions of windows are multiples
    windows: tuple[Window, ...]

    @property
    def padded_shape(self) -> tuple[int, int]:
        """(height, width) of the area that the windows cover; the picture unless it had to be padded."""
        return (
            max(self.tile, _round_up(self.height, self.multiple)),
            max(self.tile, _round_up(self.width, self.multiple)),
        )


def plan(height: int, width: int, *, tile: int, halo: int, multiple: int = 1) -> TilePlan:
    """The fewest windows of side ``tile`` that cover a picture with ``halo`` pixels of context at every seam.

    ``multiple`` is the network's ``unshuffle``: windows then start and end where a whole-image pass folds the pixels.

    Raises:
        TilingError: a size is not positive, the halo is negative, nothing is left between two halos, or the tile is
            no multiple of ``multiple``.
    """
    _check(height, width, tile, halo, multiple)
    rows = _axis(height, tile, halo, multiple)
    columns = _axis(width, tile, halo, multiple)
    windows = tuple(
        Window(top=top, left=left, keep_top=up, keep_bottom=down, keep_left=begin, keep_right=end)
        for top, up, down in rows
        for left, begin, end in columns
    )
    return TilePlan(height=height, width=width, tile=tile, halo=halo, multiple=multiple, windows=windows)


def window_count(height: int, width: int, *, tile: int, halo: int, multiple: int = 1) -> int:
    """How many windows :func:`plan` would make; the same errors."""
    _check(height, width, tile, halo, multiple)
    return len(_axis(height, tile, halo, multiple)) * len(_axis(width, tile, halo, multiple))


def cut(image: Array, plan: TilePlan) -> Array:
    """``(H, W, C)`` → ``(N, tile, tile, C)`` of the same dtype, C-contiguous, in the order of ``plan.windows``.

    Raises:
        TilingError: the picture has another size than the plan.
    """
    tiles = np.empty((len(plan.windows), plan.tile, plan.tile, image.shape[-1]), image.dtype)
    for index, tile in enumerate(tiles_of(image, plan)):
        tiles[index] = tile
    return tiles


def tiles_of(image: Array, plan: TilePlan) -> Iterator[Array]:
    """As :func:`cut`, one ``(tile, tile, C)`` view after the other: memory for one picture, whatever its size."""
    if image.ndim != 3 or image.shape[:2] != (plan.height, plan.width):
        raise TilingError(f"the plan is for a picture of {plan.height}×{plan.width}, this one is {_by(image.shape)}")
    grown = padded(image, plan.padded_shape)
    side = plan.tile
    return (grown[at.top : at.top + side, at.left : at.left + side] for at in plan.windows)


def padded(image: Array, shape: tuple[int, int]) -> Array:
    """``(H, W, C)`` continued by reflection at the bottom and on the right to ``shape``; itself where it has it."""
    if image.shape[:2] == shape:
        return image
    rows, columns = (
        # numpy reflects again and again where the padding is wider than the picture, and repeats a single pixel.
        np.pad(np.arange(side), (0, wanted - side), mode="reflect")
        for side, wanted in zip(image.shape[:2], shape, strict=True)
    )
    grown: Array = image[np.ix_(rows, columns)]
    return grown


def divisible(height: int, width: int, multiple: int) -> tuple[int, int]:
    """The smallest shape of at least this size whose sides ``multiple`` divides."""
    return _round_up(height, multiple), _round_up(width, multiple)


def stitch(tiles: Array, plan: TilePlan, scale: int) -> Array:
    """``(N, scale * tile, scale * tile, C)`` → ``(scale * H, scale * W, C)``, same dtype: each pixel from one core.

    Raises:
        TilingError: number or shape of the tiles is not the plan's.
    """
    if tiles.ndim != 4 or len(tiles) != len(plan.windows):
        raise TilingError(f"the plan has {len(plan.windows)} tiles, these are {_by(tiles.shape)}")
    canvas = np.empty((scale * plan.height, scale * plan.width, tiles.shape[3]), tiles.dtype)
    for window, tile in zip(plan.windows, tiles, strict=True):
        paste(tile, window, plan, scale, canvas)
    return canvas


def paste(tile: Array, window: Window, plan: TilePlan, scale: int, canvas: Array) -> None:
    """Write the kept part of one upscaled tile where it belongs in ``canvas``, ``(scale * H, scale * W, C)``.

    Raises:
        TilingError: the tile is not ``scale`` times the plan's.
    """
    if tile.shape[:2] != (scale * plan.tile, scale * plan.tile):
        raise TilingError(f"a tile of side {plan.tile} at scale {scale} came back as {_by(tile.shape)}")
    up, down = window.keep_top * scale, window.keep_bottom * scale
    begin, end = window.keep_left * scale, window.keep_right * scale
    top, left = window.top * scale, window.left * scale
    canvas[up:down, begin:end] = tile[up - top : down - top, begin - left : end - left]


def _axis(length: int, tile: int, halo: int, multiple: int) -> list[tuple[int, int, int]]:
    """(start, first kept, end of kept) of each window along one axis."""
    step = (tile - 2 * halo) // multiple * multiple
    last = _round_up(length, multiple) - tile  # where the last window starts; below 0: one window, padded
    starts = [*range(0, last, step), max(last, 0)]
    ends = [*(start + tile - halo for start in starts[:-1]), length]
    return list(zip(starts, [0, *ends[:-1]], ends, strict=True))


def _check(height: int, width: int, tile: int, halo: int, multiple: int) -> None:
    if height < 1 or width < 1:
        raise TilingError(f"a picture of {height}×{width} pixels cannot be cut into tiles; it needs at least 1×1")
    if tile < 1 or halo < 0:
        raise TilingError(f"tile {tile} with halo {halo}: a tile is at least 1 pixel, a halo at least 0")
    if tile <= 2 * halo:
        raise TilingError(
            f"tile {tile} with halo {halo} leaves nothing between the halos; "
            f"use a tile of more than {2 * halo} or a halo under {math.ceil(tile / 2)}"
        )
    if tile % multiple:
        raise TilingError(
            f"tile {tile} is no multiple of {multiple}, as this model asks for; use {_round_up(tile, multiple)}"
        )
    if tile - 2 * halo < multiple:
        raise TilingError(
            f"tile {tile} with halo {halo} leaves {tile - 2 * halo} pixels between the halos, this model needs "
            f"{multiple}; use a tile of {_round_up(2 * halo + multiple, multiple)}"
        )


def _round_up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
