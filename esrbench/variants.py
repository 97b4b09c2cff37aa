"""Make tiles that a session has not seen before."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Made = TypeVar("Made")

DARKEST = 0.75
"""A variant keeps at least this share of its original's brightness: the work of a network is the same."""


class Variants:
    """Hold batches whose tiles differ each time.

    A new tile is its original, rolled along height and width, dimmed and stamped with one pixel, all at random. So no
    value stays where it was: a cache finds nothing again, by all of a tile's bytes or by a few of them, also where the
    picture is flat or black. Nothing is allocated, as the peak of memory is measured.
    """

    def __init__(self, originals: Iterable[Floats], seed: int = 0) -> None:
        """Take float32 batches ``(n, H, W, 3)`` in [0, 1]."""
        self._originals = tuple(originals)
        self._random = np.random.default_rng(seed)
        self.batches = tuple(original.copy() for original in self._originals)
        self.originals()

    @property
    def tiles(self) -> int:
        """Count the tiles of all batches."""
        return sum(map(len, self.batches))

    def new(self) -> tuple[Floats, ...]:
        """Make every tile new; return the batches."""
        return self._made(lambda: tuple(self._varied(index, None) for index in range(len(self.batches))))

    def new_batch(self, index: int, tiles: int | None = None) -> Floats:
        """Make a batch's first ``tiles``, or all, new; return them."""
        return self._made(partial(self._varied, index, tiles))

    def originals(self) -> tuple[Floats, ...]:
        """Put the original tiles back; return the batches."""
        return self._made(self._restored)

    def again(self) -> None:
        """Make the last tiles once more, the same ones: it takes as long as to make new ones."""
        state, make = self._last
        self._random.bit_generator.state = state
        make()

    def chosen(self, count: int) -> int:
        """Choose one of ``count`` at random, from 0."""
        return int(self._random.integers(count))

    def _made(self, make: Callable[[], Made]) -> Made:
        self._last = (self._random.bit_generator.state, make)
        return make()

    def _restored(self) -> tuple[Floats, ...]:
        for original, batch in zip(self._originals, self.batches, strict=True):
            np.copyto(batch, original)
        return self.batches

    def _varied(self, index: int, tiles: int | None) -> Floats:
        batch = self.batches[index][:tiles]
        for original, tile in zip(self._originals[index], batch, strict=False):
            self._vary(original, tile)
        return batch

    def _vary(self, original: Floats, out: Floats) -> None:
        height, width, _ = original.shape
        chances = self._random.random(8)
        top, y = (int(chance * height) for chance in chances[:2])
        left, x = (int(chance * width) for chance in chances[2:4])
        share = np.float32(1 - (1 - DARKEST) * chances[4])
        for rows, to_rows in ((slice(top, None), slice(0, height - top)), (slice(0, top), slice(height - top, None))):
            for columns, to_columns in (
                (slice(left, None), slice(0, width - left)),
                (slice(0, left), slice(width - left, None)),
            ):
                np.multiply(original[rows, columns], share, out=out[to_rows, to_columns])
        out[y, x] = chances[5:]
