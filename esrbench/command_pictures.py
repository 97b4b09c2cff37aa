"""Write the pictures that a command is timed on.

Each stands in the same file and differs from those before; one is the workload's own.
"""

from pathlib import Path

import numpy as np

from esrbench import images
from esrbench.images import Picture, Pixels
from esrbench.variants import Floats, Variants


class Pictures:
    """Write the next picture to ``file``, before a call begins."""

    def __init__(self, pixels: Pixels, folder: Path, seed: int) -> None:
        """Take the workload's ``(H, W, 3)`` pixels and a folder."""
        self.file = folder / "picture.png"
        self.shape = pixels.shape[:2]
        self._pixels = self._written = pixels
        self._variants = Variants([pixels[np.newaxis].astype(np.float32) / np.float32(255)], seed)

    def new(self) -> None:
        """Write a picture that no call has seen."""
        self._write(_bytes(self._variants.new()[0][0]))

    def original(self) -> None:
        """Write the workload's own picture."""
        self._write(self._pixels)

    def again(self) -> None:
        """Write the last picture once more."""
        self._write(self._written)

    def new_corner(self, side_px: int) -> Pixels:
        """Cut a corner of at most ``side_px`` from new pixels."""
        side = min(side_px, *self.shape)
        return _bytes(self._variants.new()[0][0, :side, :side])

    def chosen(self, count: int) -> int:
        """Choose one of ``count`` calls at random, from 0."""
        return self._variants.chosen(count)

    def _write(self, pixels: Pixels) -> None:
        self._written = pixels
        images.write(self.file, Picture(rgb=pixels))


def _bytes(picture: Floats) -> Pixels:
    pixels: Pixels = np.rint(picture * np.float32(255)).astype(np.uint8)
    return pixels
