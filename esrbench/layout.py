"""Tiles as images ↔ planes as most runtimes want them."""

import numpy as np
import numpy.typing as npt

from esrbench.runner import Tiles, float_tiles, like_input

Planes = npt.NDArray[np.float32]
"""``(N, 3, H, W)`` RGB float32, C-contiguous."""


def to_planes(tiles: Tiles) -> Planes:
    """``(N, H, W, 3)`` tiles as contiguous planes in [0, 1]."""
    return np.ascontiguousarray(float_tiles(tiles).transpose(0, 3, 1, 2))


def to_tiles(planes: npt.NDArray[np.floating], like: Tiles) -> Tiles:
    """``(N, 3, sH, sW)`` planes as contiguous tiles in the dtype of ``like``, as ``runner.like_input`` says."""
    return like_input(np.ascontiguousarray(planes.transpose(0, 2, 3, 1), dtype=np.float32), like)
