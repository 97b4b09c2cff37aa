"""What surrounds the numbers, in words: what has none and why, and what to think of the noise."""

from collections.abc import Callable, Sequence

import msgspec

from esrbench.advice import advice
from esrbench.case_summary import CaseSummary, ranking, summarise
from esrbench.measure import MIN_STEADY_TILES
from esrbench.record import NewShape, Warmup
from esrbench.report.command_notes import command_notes
from esrbench.report.environment_notes import environment_notes
from esrbench.report.thread_notes import thread_notes
from esrbench.report.tunings import tuning_notes
from esrbench.run_cases import noise_floor, reference_case, throughput_by_round
from esrbench.stats import spread
from esrbench.store import Run
from esrbench.target import Target
from esrbench.wording import counted, interval, times

UNQUIET = 0.2
"""Ten launches in a row on a quiet shared machine lay 9 % apart, drift included; more than twice that is no drift."""


WIDE = 2.0
"""Upper over lower end of an interval that is too wide to rank by: runtimes here differ by less than that."""


ABOVE_ROOF_PERCENT = 102.0
"""What a target may reach of the attainable rate and still be within the noise of the two."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Cases without a speed that share a status, a reason and a remedy."""

    status: str
    reason: str
    remedy: str | None
    labels: tuple[str, ...]


def gaps(rows: Sequence[CaseSummary]) -> list[Gap]:
    """What was not measured and why, in the order of the rows."""
    found: dict[tuple[str, str, str | None], list[str]] = {}
    for row in rows:
        if not row.ranked:
            reason = row.reason or ("it timed no whole pass" if row.status_word == "ok" else "no reason was recorded")
            found.setdefault((row.status_word, reason, row.remedy), []).append(_name(row, rows))
    return [
        Gap(status=status, reason=reason, remedy=remedy, labels=tuple(dict.fromkeys(labels)))
        for (status, reason, remedy), labels in found.items()
    ]


def trust(run: Run) -> list[str]:
    """List what limits the trust in every number."""
    notes = [note for note in (_noise_floor(run), _wide_intervals(ranking(summarise(run)))) if note]
    return [*notes, *environment_notes(run.record), *thread_notes(run), *tuning_notes(run), *advice(run)]


def noise_notes(run: Run, rows: Sequence[CaseSummary]) -> list[str]:
    """How far the numbers can be trusted, and what the run itself had to say."""
    notes = trust(run)
    notes += [note for workload in run.record.workloads if (note := _reference_noise(run, workload.id))]
    notes += [note for note in (_above_roof(rows),) if note]
    rounds = {row.rounds for row in rows if row.ranked}
    if rounds and max(rounds) < 2:
        notes.append(
            "Each case was launched once: differences of a few per cent may be noise, and none has an interval."
        )
    elif rounds and min(rounds) != max(rounds):
        notes.append(f"Not every case has as many rounds as the others: from {min(rounds)} to {max(rounds)}.")
    if any(row.is_software for row in rows):
        notes.append(
            "A software device is a graphics device that is really the CPU: its picture counts, its speed does not."
        )
    notes += command_notes(run, rows)
    notes += [note for note in (_unsettled(run), _hardly_warm(run), *_new_shapes(run)) if note]
    return [*notes, *_story(run)]


def _noise_floor(run: Run) -> str | None:
    floor, control = noise_floor(run), run.record.control
    if floor is None or control is None:
        return None
    measured = f"Noise floor: {control.target} on {control.workload}, measured under two names, is "
    found = interval(floor.low, floor.high)
    if found is None or floor.low is None or floor.high is None:
        return f"{measured}{times(floor.value)} as fast as itself, in one round: how far noise reaches is not known."
    if not floor.is_known:
        over = f"over {counted(floor.rounds, 'round')} that disagree: how far noise reaches is not known."
        return f"{measured}{times(floor.value)} as fast as itself, {over}"
    reach = max(floor.high - 1, 1 - floor.low)
    return (
        f"{measured}{times(floor.value)} as fast as itself ({found}, {counted(floor.rounds, 'round')}): "
        f"a difference of less than {reach:.1%} may be noise."
    )


def _unsettled(run: Run) -> str | None:
    """Targets whose tiles went on varying: neither proof of a slow warm-up nor of noise, so it is said."""
    found = _mostly(run, lambda warmup: None if _is_short(warmup) else not warmup.steady)
    if not found:
        return None
    return f"Most warm-ups ended with their time, tiles still varying by more than 2 %: {', '.join(found)}."


def _hardly_warm(run: Run) -> str | None:
    """Targets whose warm-ups were over before there was anything to compare."""
    found = _mostly(run, lambda warmup: _is_short(warmup) and not warmup.steady)
    if not found:
        return None
    return (
        f"Most warm-ups ended with their time after fewer than {MIN_STEADY_TILES} tiles of a shape, too few to tell "
        f"whether they were steady: {', '.join(found)}."
    )


def _is_short(warmup: Warmup) -> bool:
    return len(warmup.times_ns) < MIN_STEADY_TILES


def _mostly(run: Run, holds: Callable[[Warmup], bool | None]) -> list[str]:
    """Targets for more than half of whose warm-ups it ``holds``; None does not count."""
    found: dict[str, list[bool]] = {}
    for launch in run.launches:
        for warmup in launch.samples.warmups if launch.samples else ():
            if warmup.steady is not None and (held := holds(warmup)) is not None:
                found.setdefault(run.label(launch.case.target), []).append(held)
    return [target for target, held in found.items() if held.count(True) > len(held) / 2]


def _new_shapes(run: Run) -> list[str]:
    """Why a target has no time for a new shape in any launch, or what went wrong after it; the first reason of each."""
    found: dict[Target, list[NewShape]] = {}
    for launch in run.launches:
        if launch.samples and launch.samples.new_shape:
            found.setdefault(launch.case.target, []).append(launch.samples.new_shape)
    said: dict[tuple[str, str], list[str]] = {}
    for target, shapes in found.items():
        late = next((shape.reason for shape in shapes if shape.first_ns and shape.reason), None)
        never = None if any(shape.first_ns for shape in shapes) else shapes[0].reason
        what = "Measured, and then not all went well" if late else "No new shape was timed"
        if reason := late or never:
            reason = reason.replace(f"{target}: ", "")  # it is named beside the reason
            said.setdefault((what, reason), []).append(run.label(target))
    return [f"{what} for {', '.join(targets)}: {reason}." for (what, reason), targets in said.items()]


def _story(run: Run) -> list[str]:
    """How the run went: stopped, resumed, changed, ended."""
    unchanged = [str(each.sequence) for each in run.resumptions if not each.changes]
    notes = [f"The run was resumed with launch {', '.join(unchanged)}."] if unchanged else []
    notes += [
        f"The run was resumed with launch {each.sequence}, although this had changed: {'; '.join(each.changes)}."
        for each in run.resumptions
        if each.changes
    ]
    if not run.chained:
        notes.append("Its files carry no digests (schema 1 or 2): what was changed in them since cannot be told.")
    if run.end is not None:
        return [*notes, *run.end.notes]
    stopped = "Its user stopped the run" if run.interruptions else "The run was cut short, or paused by --rounds"
    return [*notes, f"{stopped}: it has no end on record, and cases or rounds may be missing."]


def _reference_noise(run: Run, workload: str) -> str | None:
    case = reference_case(run, workload)
    speeds = list(throughput_by_round(run, case).values())
    apart = spread(speeds)
    if apart is None:
        return None
    found = f"The {counted(len(speeds), 'launch')} of {case.target} on {workload} lie {apart:.1%} apart"
    if apart > UNQUIET:
        return f"{found}: something else kept this machine busy, or its clock changed. Measure again when it is quiet."
    return f"{found}; speed-ups are taken within a round, where a slow drift cancels."


def _above_roof(rows: Sequence[CaseSummary]) -> str | None:
    found = {row.label: row.attainable_percent for row in rows if (row.attainable_percent or 0) > ABOVE_ROOF_PERCENT}
    if not found:
        return None
    named = ", ".join(f"{label} {percent:.0f} %" for label, percent in found.items())
    return (
        f"More than the device was found to reach: {named}. Something disturbed the probe, or the runtime uses a "
        "convolution of fewer operations, such as Winograd's."
    )


def _wide_intervals(rows: Sequence[CaseSummary]) -> str | None:
    """Name the speeds that are known to a factor only."""
    several = len({row.workload for row in rows}) > 1
    factors = {
        f"{row.label} on {row.workload}" if several else row.label: factor
        for row in rows
        if row.ranked and (factor := _factor(row)) >= WIDE
    }
    if not factors:
        return None
    named = ", ".join(f"{name} ({factor:.1f})" for name, factor in factors.items())
    return (
        f"Speeds known only to the factor in brackets: {named}. Their rounds disagree, as something disturbed at "
        "least one launch; measure again when the machine is quiet, with more rounds."
    )


def _factor(row: CaseSummary) -> float:
    """Return the ratio of the narrower interval's ends.

    Of throughput and speed-up; 1 without an interval.
    """
    ends = ((row.throughput_low, row.throughput_high), (row.speedup_low, row.speedup_high))
    return min((high / low for low, high in ends if low is not None and high is not None), default=1.0)


def _name(row: CaseSummary, rows: Sequence[CaseSummary]) -> str:
    """The target; its workload too where only some of its cases are missing."""
    same = [other for other in rows if other.target == row.target]
    if all(not other.ranked and other.reason == row.reason for other in same):
        return row.label
    return f"{row.label} ({row.workload})"
