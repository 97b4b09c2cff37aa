"""Two runs, or the cases of one, side by side: a judgement of each pair, and what became of what was measured."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

import msgspec

from esrbench.among import caveat, ratios_apart
from esrbench.codec import Value
from esrbench.errors import UsageError
from esrbench.likeness import Aspect, Difference, refuse_unlike
from esrbench.pairing import Axis, Pair, pairs_of, pairs_within
from esrbench.ratio import Ratio, paired_ratio
from esrbench.record import Case, Status
from esrbench.rounds import Boundary
from esrbench.run_cases import noise_floor
from esrbench.side import UNITS, Side, sides_of, speeds_by_round
from esrbench.store import Run
from esrbench.verdict import Bar, Judgement, judge
from esrbench.wording import interval, times


class Presence(StrEnum):
    """Whether there is anything to compare."""

    BOTH = "both"
    VANISHED = "vanished"  # measured in the base, not in the head
    WRONG = "wrong"  # measured in the base; in the head it draws another picture
    APPEARED = "appeared"  # measured in the head only
    NEITHER = "neither"


class Row(Value, frozen=True, kw_only=True):
    """A pair of cases and what there is to say of it."""

    name: str
    presence: Presence
    base: Side
    head: Side
    judgement: Judgement | None = None  # where both were measured

    @property
    def label(self) -> str:
        """The case; a software device is named as such."""
        return f"{self.name} (software)" if self.base.is_software or self.head.is_software else self.name


class Comparison(Value, frozen=True, kw_only=True):
    """What `esrbench compare` found."""

    base: str  # names of the runs; the same where the cases of one run are compared
    head: str
    axis: Axis | None  # within one run
    boundary: Boundary
    unit: str  # of the sides' levels
    paired: bool  # launches of the same round with each other
    bar: Bar
    allowed: tuple[Difference, ...]  # in what the runs are unlike, by leave
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def compare_runs(
    base: Run, head: Run, *, boundary: Boundary = Boundary.IMAGE, bar: Bar | None = None, allowed: Iterable[Aspect] = ()
) -> Comparison:
    """The cases of two runs against each other, paired within rounds where the runs took turns.

    Raises:
        UsageError: the runs are unlike in what was not allowed, or have no case in common.
    """
    unlike = refuse_unlike(base, head, allowed)
    return _compared(base, head, pairs_of(base, head), axis=None, boundary=boundary, bar=bar or Bar(), allowed=unlike)


def compare_within(
    run: Run, axis: Axis, against: str | None = None, *, boundary: Boundary = Boundary.IMAGE, bar: Bar | None = None
) -> Comparison:
    """The targets, tiles or precisions of one run against a base among them.

    Raises:
        UsageError: there is nothing to compare along ``axis``, or its cases do not compare at ``boundary``.
    """
    if axis is Axis.TILE and boundary is not Boundary.IMAGE:
        raise UsageError(f"tiles were to be compared by {boundary}: tiles of unlike size do unlike work; use image")
    pairs = pairs_within(run, axis, against)
    return _compared(run, run, pairs, axis=axis, boundary=boundary, bar=bar or Bar())


def took_turns(base: Run, head: Run) -> bool:
    """Whether the runs were interleaved: every launch of a round, of both, began before any of the next round did."""
    starts = [_starts_by_round(run) for run in (base, head)]
    shared = sorted(starts[0].keys() & starts[1].keys())
    merged = [starts[0][round_] + starts[1][round_] for round_ in shared]
    return len(merged) > 1 and all(max(earlier) <= min(later) for earlier, later in pairwise(merged))


def _starts_by_round(run: Run) -> dict[int, list[datetime]]:
    starts: dict[int, list[datetime]] = {}
    for launch in run.launches:
        if launch.wall_ns is not None:  # None: there was no process
            starts.setdefault(launch.round, []).append(datetime.fromisoformat(launch.started_at))
    return starts


def _compared(
    base: Run,
    head: Run,
    pairs: Sequence[Pair],
    *,
    axis: Axis | None,
    boundary: Boundary,
    bar: Bar,
    allowed: tuple[Difference, ...] = (),
) -> Comparison:
    runs = (base,) if base is head else (base, head)
    paired = base is head or took_turns(base, head)
    floors = [(run, floor) for run in runs if (floor := noise_floor(run, boundary))]
    bar = msgspec.structs.replace(bar, noise=max([bar.noise, *(floor.size for _, floor in floors)]))
    side_of_base, side_of_head = sides_of(base, boundary), sides_of(head, boundary)
    sides = [(side_of_base(pair.base), side_of_head(pair.head)) for pair in pairs]
    presences = [_presence(*both) for both in sides]
    compared = [place for place, presence in enumerate(presences) if presence is Presence.BOTH]
    speeds = (
        _speeds(base, [pairs[place].base for place in compared], boundary),
        _speeds(head, [pairs[place].head for place in compared], boundary),
    )
    ratios = [paired_ratio(*both) for both in zip(*speeds, strict=True)] if paired else ratios_apart(*speeds)
    judgements = dict(zip(compared, judge(ratios, bar), strict=True))
    return Comparison(
        base=base.name,
        head=head.name,
        axis=axis,
        boundary=boundary,
        unit=UNITS[boundary],
        paired=paired,
        bar=bar,
        allowed=allowed,
        rows=tuple(
            Row(name=pair.name, presence=presence, base=both[0], head=both[1], judgement=judgements.get(place))
            for place, (pair, presence, both) in enumerate(zip(pairs, presences, sides, strict=True))
        ),
        notes=(
            *_notes(runs, paired=paired, compared=len(compared)),
            *(_control(run, floor) for run, floor in floors),
        ),
    )


def _speeds(run: Run, cases: Iterable[Case | None], boundary: Boundary) -> list[dict[int, float]]:
    return [speeds_by_round(run, case, boundary) for case in cases if case is not None]


def _presence(base: Side, head: Side) -> Presence:
    if not base.is_measured:
        return Presence.APPEARED if head.is_measured else Presence.NEITHER
    if head.is_measured:
        return Presence.BOTH
    return Presence.WRONG if head.status is Status.WRONG else Presence.VANISHED


def _notes(runs: Sequence[Run], *, paired: bool, compared: int) -> tuple[str, ...]:
    """What a reader must know; runs that took turns are paused after every round, and have no end for that reason."""
    paused = () if paired and len(runs) > 1 else tuple(run for run in runs if run.end is None)
    notes = [f"{run.name} has no end on record: it was paused or cut short" for run in paused]
    notes += [
        f"{run.name} was resumed although this had changed: {'; '.join(each.changes)}"
        for run in runs
        for each in run.resumptions
        if each.changes
    ]
    if not paired:
        notes.append(
            f"not paired: {' and '.join(f'{run.name} ({run.record.created_at})' for run in runs)} did not take turns, "
            "so what happened to the machine between them is in every ratio; Welch's interval on the logarithms of the "
            f"launches. {caveat(compared)}"
        )
    return tuple(notes)


def _control(run: Run, floor: Ratio) -> str:
    """How far apart the same case measured twice came out."""
    control = run.record.control
    target = control.target if control else "a case"
    found = f" ({interval(floor.low, floor.high)})" if floor.low is not None else ""
    return f"{run.name} measured {target} under two names, and noise alone made it {times(floor.value)}{found}"
