"""Check whether a session answers repeated tiles from memory.

MLPerf Inference's compliance test TEST04 asks the same: one sample again and again must not be faster than many
(https://github.com/mlcommons/inference, ``compliance/TEST04``). There it is a run of its own; here it ends each launch.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from esrbench.passes import Clock, timed
from esrbench.record import Repeats
from esrbench.runner import Session
from esrbench.variants import Variants
from esrbench.wording import counted

SHARE_OF_THE_LOOP = 0.1
"""Of the time of the timed loop: a whole pass is repeated where it takes less, else one batch."""

ROUNDS = 8
"""One repeat clears an honest launch. Where it looks like memory, new tiles and repeats take turns: a neighbour would
have to slow down each new run and no repeat. With a core lost half of the time that is one launch in 60,000 (2⁻¹⁶);
four rounds of the fastest of several repeats blamed torch for it (24 ms and 52 ms, two cores with a load of six).
The same tiles are made once more before a repeat: while new ones are made, threads of a pool fall asleep, and waking
them beside a busy neighbour cost ncnn 4 ms."""

FACTOR = 2
"""Of the times. An honest repeat takes as long as a new run; one from memory is a copy, a hundred times faster."""


def of_pass(session: Session, tiles: Variants, clock: Clock, image_ns: Sequence[int], loop_ns: int) -> Repeats:
    """Repeat the last pass, or its last batch where slow."""
    new_ns = min(image_ns)
    batches = tiles.batches if new_ns < loop_ns * SHARE_OF_THE_LOOP else tiles.batches[-1:]
    count = sum(map(len, batches))
    run = partial(timed, lambda: deque(session.stream(batches), maxlen=0), clock)
    return check(run, tiles.new, tiles.again, tiles=count, new_ns=new_ns * count // tiles.tiles)


def of_tile(session: Session, tiles: Variants, clock: Clock, tile_ns: Sequence[int]) -> Repeats:
    """Repeat the last single tile."""
    run = partial(timed, partial(session.run, tiles.batches[-1][:1]), clock)
    return check(run, partial(tiles.new_batch, -1, 1), tiles.again, tiles=1, new_ns=min(tile_ns))


def check(
    run: Callable[[], int],
    renew: Callable[[], object],
    again: Callable[[], object],
    *,
    tiles: int | None,
    new_ns: int,
) -> Repeats:
    """Repeat a run on the same pixels, and compare times.

    ``again`` makes the last pixels once more, before each repeat. Where memory is suspected, ``renew`` makes new ones,
    and the comparison is repeated.

    ``run`` returns its nanoseconds; ``new_ns`` is the fastest run on new pixels so far, ``tiles`` as of
    :class:`Repeats`.
    """
    repeated_ns: list[int] = []
    while len(repeated_ns) < ROUNDS:
        if repeated_ns:
            renew()
            new_ns = min(new_ns, run())
        again()
        repeated_ns.append(run())
        if not _is_memory(new_ns, repeated_ns):
            break
    return Repeats(tiles=tiles, new_ns=new_ns, repeated_ns=tuple(repeated_ns))


def reason(checks: Sequence[Repeats]) -> str | None:
    """Say what was answered from memory, or None."""
    for each in checks:
        if _is_memory(each.new_ns, each.repeated_ns):
            seen, new = (f"{ns / 1e6:.3g} ms" for ns in (max(each.repeated_ns), each.new_ns))
            what = counted(each.tiles, "tile") if each.tiles else "a picture"
            return f"answers repeated tiles from memory: {seen} for {what} seen before, {new} for new pixels"
    return None


def _is_memory(new_ns: int, repeated_ns: Sequence[int]) -> bool:
    return bool(repeated_ns) and FACTOR * max(repeated_ns) < new_ns
