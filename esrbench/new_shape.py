"""Time a shape that a warm session has not met."""

import textwrap
from collections.abc import Sequence
from functools import partial

from esrbench.measure import LoopPlan
from esrbench.passes import Clock, timed
from esrbench.record import NewShape
from esrbench.runner import Session, Tiles
from esrbench.variants import Variants

REASON_LENGTH = 120


def meet_new_shape(
    session: Session, tiles: Variants, plan: LoopPlan, clock: Clock, *, multiple: int, tile_ns: Sequence[int]
) -> NewShape:
    """Time two new tiles of half the side.

    For the end of a launch: a runtime that compiles for it, or refuses it, disturbs nothing then. ``multiple`` is
    the network's ``unshuffle``, ``tile_ns`` the times of single tiles, from which it is told what the new shape takes.
    """
    tile = tiles.batches[0][:1]
    smaller = _half(tile, multiple)
    side_px = smaller.shape[1]
    if side_px == tile.shape[1]:
        return NewShape(reason=f"the model takes no smaller tile than {side_px} px")
    expected_s = min(tile_ns) / 1e9 * smaller.size / tile.size
    if expected_s > plan.warmup_s:
        reason = f"a tile of {side_px} px would take longer than the {plan.warmup_s:g} s of the warm-up"
        return NewShape(side_px=side_px, reason=reason)
    try:
        first_ns, again_ns = (
            timed(partial(session.run, _half(tiles.new_batch(0, 1), multiple)), clock) for _ in range(2)
        )
    except Exception as error:  # whatever a runtime raises at a shape that it was not loaded for
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return NewShape(
            side_px=side_px, reason=f"refused: {textwrap.shorten(lines[0], REASON_LENGTH, placeholder=' …')}"
        )
    return NewShape(side_px=side_px, first_ns=first_ns, again_ns=again_ns)


def _half(tile: Tiles, multiple: int) -> Tiles:
    side = -(-tile.shape[1] // (2 * multiple)) * multiple
    return tile[:, :side, :side].copy()
