"""Runs on one machine over time: each target's throughput, and what changed between the runs."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from esrbench.case_summary import CaseSummary, summarise
from esrbench.codec import Value
from esrbench.compare import instruction_sets, machine_name
from esrbench.comparison import compare_runs
from esrbench.errors import UsageError
from esrbench.likeness import Aspect, Difference, differences
from esrbench.pairing import pairs_of
from esrbench.record import Case, Workload
from esrbench.run_cases import workload_of
from esrbench.store import Run
from esrbench.target import Target
from esrbench.verdict import Judgement


class Point(Value, frozen=True, kw_only=True):
    """What one run measured of a series; None is "not measured"."""

    at: int  # place of the run among the machine's
    status: str  # in words
    throughput_mpix_s: float | None = None
    low: float | None = None
    high: float | None = None
    continues: bool = False  # the same weights and pixels, and measured, as in the run before


class Series(Value, frozen=True, kw_only=True):
    """A target on tiles of one size and batch."""

    model: str
    target: Target
    tile_px: int
    batch: int
    points: tuple[Point, ...]  # of the runs that name it
    is_software: bool = False  # a graphics device that is really the CPU, in any of the runs
    change: Judgement | None = None  # of the last run's speed against the one's before; None: it does not continue it


class Visit(Value, frozen=True, kw_only=True):
    """One run on the machine."""

    run: str
    made_at: str  # ISO 8601, UTC
    esrbench_version: str
    changes: tuple[Difference, ...]  # from the run before: weights, workload, threads, versions, the machine itself


class History(Value, frozen=True, kw_only=True):
    """The runs of one machine, oldest first."""

    machine: str
    visits: tuple[Visit, ...]
    series: tuple[Series, ...]  # those with a speed in any run, fastest in its last one first


def histories(runs: Iterable[Run]) -> tuple[History, ...]:
    """The machines that several of these runs were made on, in the order of their first runs.

    A machine is told by its processor and its instruction sets, its cores and its graphics devices; what else changes
    about it, a kernel or a driver, is a change between two of its runs. (A hypervisor may call two generations of
    processors by one name.)
    """
    machines: dict[tuple[object, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.record.created_at):
        machines.setdefault(_machine(run), []).append(run)
    names = Counter(machine_name(found[-1].record.environment) for found in machines.values())
    return tuple(_history(found, names) for found in machines.values() if len(found) > 1)


def _machine(run: Run) -> tuple[object, ...]:
    facts = run.record.environment
    gpus = tuple(gpu.partition(", driver ")[0] for gpu in facts.gpus)
    return facts.cpu, facts.cpu_features, facts.cpu_cores, facts.usable_cores, gpus


def _history(runs: Sequence[Run], names: Mapping[str, int]) -> History:
    before = [None, *runs[:-1]]
    found = [_series(runs, key) for key in dict.fromkeys(key for run in runs for key in _keys(run))]
    found = sorted((each for each in found if _last(each) is not None), key=_rank)
    changes = _changes(*runs[-2:])
    facts = runs[-1].record.environment
    name = machine_name(facts)
    return History(
        machine=name if names[name] == 1 else f"{name} ({instruction_sets(facts)})",
        visits=tuple(_visit(run, previous) for run, previous in zip(runs, before, strict=True)),
        series=tuple(
            msgspec.structs.replace(each, change=changes.get(_series_key(each)))
            if each.points[-1].continues and each.points[-1].at == len(runs) - 1
            else each
            for each in found
        ),
    )


def _visit(run: Run, previous: Run | None) -> Visit:
    return Visit(
        run=run.name,
        made_at=run.record.created_at,
        esrbench_version=run.record.esrbench_version,
        changes=() if previous is None else differences(previous, run),
    )


Key = tuple[str, Target, int, int]


def _keys(run: Run) -> list[Key]:
    return [_key(run, row) for row in summarise(run)]


def _key(run: Run, row: CaseSummary) -> Key:
    return run.record.model.name, row.target, row.tile_px, row.batch


def _series_key(series: Series) -> Key:
    return series.model, series.target, series.tile_px, series.batch


def _series(runs: Sequence[Run], key: Key) -> Series:
    points: list[Point] = []
    is_software = False
    last: tuple[str, Workload] | None = None
    for at, run in enumerate(runs):
        row = next((row for row in summarise(run) if _key(run, row) == key), None)
        if row is None:
            last = None
            continue
        is_software |= row.is_software
        work = run.record.model.weights_sha256, workload_of(run, Case(target=row.target, workload=row.workload))
        points.append(_point(at, row, continues=work == last))
        last = work if row.ranked else None
    model, target, tile_px, batch = key
    return Series(
        model=model, target=target, tile_px=tile_px, batch=batch, points=tuple(points), is_software=is_software
    )


def _changes(base: Run, head: Run) -> dict[Key, Judgement]:
    """Compare the two newest runs as ``esrbench compare`` does."""
    try:
        rows = compare_runs(base, head, allowed=Aspect).rows
    except UsageError:  # no case in common
        return {}
    judged = {pair.head: row.judgement for pair, row in zip(pairs_of(base, head), rows, strict=True) if row.judgement}
    keys = ((_key(head, row), Case(target=row.target, workload=row.workload)) for row in summarise(head))
    return {key: judgement for key, case in keys if (judgement := judged.get(case))}


def _point(at: int, row: CaseSummary, *, continues: bool) -> Point:
    if not row.ranked:
        return Point(at=at, status=row.status_word)
    return Point(
        at=at,
        status=row.status_word,
        throughput_mpix_s=row.throughput_mpix_s,
        low=row.throughput_low,
        high=row.throughput_high,
        continues=continues,
    )


def _last(series: Series) -> float | None:
    """The newest speed there is."""
    speeds = [point.throughput_mpix_s for point in series.points if point.throughput_mpix_s is not None]
    return speeds[-1] if speeds else None


def _rank(series: Series) -> tuple[str, int, int, float]:
    return series.model, series.tile_px, series.batch, -(_last(series) or 0.0)
