"""Schedule the passes of a timed loop."""

from collections.abc import Callable, Iterator

Clock = Callable[[], int]
"""Nanoseconds from an arbitrary start, never backwards: ``time.perf_counter_ns``, or a scripted one in tests."""


def until(limit_ns: int, most: int, clock: Clock, chosen: int) -> Iterator[bool]:
    """Yield for each pass whether it takes the original pixels.

    Exactly one does. It is pass ``chosen``, from 0, or before that the one that is likely to be the last, as the pass
    before took so long. Where that was wrong, one more follows. The first pass begins whatever the limit, then at most
    ``most``.
    """
    begin_ns = before_ns = clock()
    due = True
    for index in range(most):
        now_ns = clock()
        spent_ns, last_took_ns = now_ns - begin_ns, now_ns - before_ns
        if not due and spent_ns >= limit_ns:
            return
        is_last = index + 1 == most or spent_ns + last_took_ns >= limit_ns
        takes_originals = due and (index == chosen or is_last)
        due, before_ns = due and not takes_originals, now_ns
        yield takes_originals


def expected(limit_ns: int, most: int, pass_ns: float) -> int:
    """Count the passes of ``pass_ns`` that fit the limit.

    At least one; 0 means that the time is not known, and gives one.
    """
    return max(1, min(most, int(limit_ns / pass_ns))) if pass_ns else 1


def timed(run: Callable[[], object], clock: Clock) -> int:
    """Return the nanoseconds of a run."""
    start = clock()
    run()
    return clock() - start
