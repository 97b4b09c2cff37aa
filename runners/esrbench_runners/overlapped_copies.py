"""Batches in flight: while one is computed, the next is copied up and the last one down. Knows no device."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from esrbench.runner import Tiles


class Slot(Protocol):
    """The buffers of one batch in flight."""

    def begin(self, tiles: Tiles) -> None:
        """Hand the batch over: copy up, compute, copy down. Returns before that is done; ``tiles`` may change then."""

    def finish(self) -> Tiles:
        """Wait until it is done; the result is an array of its own. The slot is free again."""

    def drop(self) -> None:
        """Wait until nothing touches the buffers, whatever became of the batch. The slot is free again."""


def in_order(batches: Iterable[Tiles], free_slot: Callable[[Tiles], Slot], in_flight: int) -> Iterator[Tiles]:
    """What becomes of each batch, in order; at most ``in_flight`` of them are on their way at once.

    ``free_slot`` gives a slot for batches of this shape that nobody uses. However the iteration ends, at the last
    batch, by an error or because the consumer stops, no slot is left busy.
    """
    under_way: deque[Slot] = deque()
    try:
        for batch in batches:
            if len(under_way) == in_flight:
                yield under_way.popleft().finish()
            slot = free_slot(batch)
            under_way.append(slot)  # before it begins: a batch that fails half-way has begun
            slot.begin(batch)
        while under_way:
            yield under_way.popleft().finish()
    finally:
        for slot in under_way:
            slot.drop()
