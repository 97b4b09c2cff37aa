"""``make study``: how far verdicts and intervals can be believed, on made-up machines; ``--real`` on this one.

Everything is seeded: the same numbers come out each time. What is printed is also what docs/measurement.md shows,
between its marks. Exit code 1: a demand is not met.
"""

import gc
import math
import os
import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any, NamedTuple

import typer
from apart_study import apart
from document import DOCS, fill
from estimators import METHODS, PASSES_UNDER, STATISTICS, logs_of, ratio_of, rounds_of
from fake_runs import fake_run
from finding import MAX_FALSE, MIN_FOUND, Finding, nine_in_ten, percent
from gate_study import gate
from noise_models import MODELS

from esrbench.comparison import compare_within
from esrbench.pairing import Axis
from esrbench.stats import MIN_STOP_ROUNDS
from esrbench.verdict import Bar, Verdict, judge

COVERAGE = (0.93, 0.97)
SLOWER = 1.05
PRECISION_PERCENT = 1.0
CLAIMS = {Verdict.FASTER, Verdict.SLOWER}

REAL_BUDGET_S = 3600
"""Of one real run; it ends sooner once every interval is narrow."""

COUNTS = (3, 4, 5, 6, 7, 8, 10, 20)
TABLE, TABLE_ROUNDS = 16, (6, 10, 30)


class Judged(NamedTuple):
    """One comparison of the study."""

    verdict: Verdict
    holds_truth: bool
    rounds: int


def main(
    comparisons: Annotated[int, typer.Option(help="Of each kind on each machine.")] = 1000,
    intervals: Annotated[int, typer.Option(help="For each coverage.")] = 4000,
    max_rounds: Annotated[int, typer.Option(help="Of a run on a made-up machine.")] = 60,
    jobs: Annotated[int, typer.Option(help="Processes.")] = os.cpu_count() or 1,
    real: Annotated[
        bool, typer.Option("--real", help="Measure real runtimes on this machine instead: two hours.")
    ] = False,
    runtimes: Annotated[str, typer.Option(help="With --real: which, by commas.")] = "torch,onnxruntime,openvino,ncnn",
    runs: Annotated[
        int, typer.Option(help="With --real: of equal runtimes; four of them make twenty comparisons; 0: none.")
    ] = 5,
    rounds: Annotated[int, typer.Option(help="With --real: of a run of equal ones, at most.")] = 7,
    slowed_rounds: Annotated[int, typer.Option(help="With --real: of each run of slowed ones, at most.")] = 60,
    write: Annotated[bool, typer.Option(help="Put the tables into docs/measurement.md.")] = False,
) -> None:
    """Print the tables of docs/measurement.md, and say which demands are not met."""
    if real:
        from real_study import Plan, equal_ones, slowed_ones

        plan = Plan(runtimes.split(","), runs, rounds, slowed_rounds, REAL_BUDGET_S)
        parts = {"real slowed": slowed_ones} | ({"real equal": equal_ones} if runs else {})
        findings = {name: Finding(*part(plan)) for name, part in parts.items()}
    else:
        with ProcessPoolExecutor(jobs, initializer=_settle) as pool:
            findings = {
                "verdicts": verdicts(comparisons, max_rounds, pool.map),
                "coverage": coverage(intervals, pool.map),
                "tables": tables(intervals // 4, pool.map),
                "gate": gate(comparisons // 2, pool.map),
                "apart": apart(comparisons // 2, pool.map),
                "launches": launches(intervals, pool.map),
            }
    for finding in findings.values():
        typer.echo(f"{finding.text}\n")
    unmet = [text for finding in findings.values() for text in finding.missed]
    for text in unmet:
        typer.echo(f"not met: {text}", err=True)
    if write and not real:  # real runs are recorded in results/, and cited once they are committed
        for name, finding in findings.items():
            fill(DOCS / "measurement.md", f"study {name}", finding.text)
    raise typer.Exit(1 if unmet else 0)


Map = Callable[..., Iterator[Any]]


def verdicts(comparisons: int, max_rounds: int, each: Map) -> Finding:
    """Whole runs through the harness until every interval is within ± 1 %, judged as `esrbench compare` does."""
    rows, missed = [], []
    for model in MODELS:
        equal, slowed = (_judged(model, slower, comparisons, max_rounds, each) for slower in (1.0, SLOWER))
        false = _share(equal, lambda one: one.verdict in CLAIMS)
        found = _share(slowed, lambda one: one.verdict is Verdict.SLOWER)
        denied = _share(slowed, lambda one: one.verdict in {Verdict.SAME, Verdict.FASTER})
        holds = _share([*equal, *slowed], lambda one: one.holds_truth)
        rounds = [one.rounds for one in slowed]
        counts = Counter(one.verdict for one in equal)
        rows.append(
            f"| {model} | {percent(false)} | {percent(counts[Verdict.SAME] / len(equal))} | {percent(found)} | "
            f"{percent(denied)} | {percent(holds)} | {statistics.median_low(rounds)} | {nine_in_ten(rounds)} |"
        )
        missed += [f"{model}: {percent(false)} false verdicts"] if false > MAX_FALSE else []
        missed += [f"{model}: {percent(denied)} of slowdowns denied"] if denied > MAX_FALSE else []
        missed += [f"{model}: {percent(found)} of slowdowns found"] if found < MIN_FOUND else []
        missed += _uncovered(f"{model}, stopped when narrow", holds, 2 * comparisons)
    head = (
        f"{comparisons} comparisons of equal targets and {comparisons} of one that takes 5 % longer, on each machine; "
        f"rounds end when every interval is within ± {PRECISION_PERCENT:g} %, at {max_rounds} at the latest.\n\n"
        "| machine | equal: faster or slower | equal: same | 5 % slower: slower | 5 % slower: same or faster "
        "| interval holds the truth | rounds, median | rounds, 90 % |\n| :-- |" + " --: |" * 7 + "\n"
    )
    return Finding(head + "\n".join(rows), tuple(missed))


def _judged(model: str, slower: float, comparisons: int, max_rounds: int, each: Map) -> list[Judged]:
    kind = [model] * comparisons, [slower] * comparisons, [max_rounds] * comparisons
    return list(each(_compared, *kind, range(comparisons), chunksize=20))


def _compared(model: str, slower: float, max_rounds: int, seed: int) -> Judged:
    chance = random.Random(f"{model} {slower} {seed}")
    machine = MODELS[model](chance)
    run = fake_run(machine, chance, slower, precision_percent=PRECISION_PERCENT, max_rounds=max_rounds, seed=seed)
    judgement = compare_within(run, Axis.TARGET).rows[0].judgement
    assert judgement is not None
    ratio = judgement.ratio
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    return Judged(judgement.verdict, ratio.low <= 1 / slower <= ratio.high, ratio.rounds)


def coverage(intervals: int, each: Map) -> Finding:
    """How often the interval of two equal cases holds 1, and how far it reaches, over so many rounds and no more."""
    rows, missed = [], []
    for model in MODELS:
        found = each(_coverage, [model] * len(COUNTS), COUNTS, [intervals] * len(COUNTS))
        for count, cells in zip(COUNTS, found, strict=True):
            rows.append(f"| {model} | {count} | " + " | ".join(_cell(cell) for cell in cells.values()) + " |")
            if count >= MIN_STOP_ROUNDS and (cell := cells["esrbench"]):
                missed += _uncovered(f"{model}, {count} rounds", cell[0], intervals)
    head = (
        f"{intervals} intervals each: how often they hold the truth, and their median reach.\n\n"
        f"| machine | rounds | {' | '.join(METHODS)} |\n| :-- | --: |{' --: |' * len(METHODS)}\n"
    )
    return Finding(head + "\n".join(rows), tuple(missed))


def _coverage(model: str, count: int, intervals: int) -> dict[str, tuple[float, float] | None]:
    """Method → share that holds 0, and median half width."""
    chance = random.Random(f"{model} {count}")
    drawn = [logs_of(model, chance, count) for _ in range(intervals)]
    cells: dict[str, tuple[float, float] | None] = {}
    for name, method in METHODS.items():
        ends = [found for logs in drawn if (found := method(logs))]
        held = sum(low <= 0 <= high for low, high in ends)
        reach = [(high - low) / 2 for low, high in ends]
        cells[name] = (held / len(ends), statistics.median(reach)) if ends else None
    return cells


def tables(count: int, each: Map) -> Finding:
    """Sixteen equal targets against one reference, judged together; then one of them 5 % slower than it should be."""
    rows = []
    for model in MODELS:
        found = list(each(_tables, [model] * len(TABLE_ROUNDS), TABLE_ROUNDS, [count] * len(TABLE_ROUNDS)))
        for rounds, (single, together, slower) in zip(TABLE_ROUNDS, found, strict=True):
            rows.append(f"| {model} | {rounds} | {percent(single)} | {percent(together)} | {percent(slower)} |")
    missed = [f"tables: {row}" for row in rows if float(row.split("|")[4].strip(" %")) > 100 * MAX_FALSE]
    head = (
        f"{count} tables each, so many rounds and no more.\n\n"
        f"| machine | rounds | equal: tables with a false verdict, each judged alone | the same, judged together | "
        "one of them 5 % slower: found among the others |\n| :-- | --: | --: | --: | --: |\n"
    )
    return Finding(head + "\n".join(rows), tuple(missed))


def _tables(model: str, rounds: int, count: int) -> tuple[float, float, float]:
    chance = random.Random(f"table {model} {rounds}")
    single = together = slower = 0
    for _ in range(count):
        seconds = rounds_of(model, chance, rounds, TABLE + 1)
        ratios = [ratio_of(seconds, head) for head in range(1, TABLE + 1)]
        single += any(judge([ratio], Bar())[0].verdict in CLAIMS for ratio in ratios)
        together += any(one.verdict in CLAIMS for one in judge(ratios, Bar()))
        slowed = [[*row[:-1], row[-1] * SLOWER] for row in seconds]
        ratios[-1] = ratio_of(slowed, TABLE)
        slower += judge(ratios, Bar())[-1].verdict is Verdict.SLOWER
    return single / count, together / count, slower / count


def launches(count: int, each: Map) -> Finding:
    """How far the number of a launch strays from launch to launch, by how it is taken from the passes."""
    rows = []
    cases = [(name, passes) for name in PASSES_UNDER for passes in (2, 5, 10, 30)]
    found = each(_launches, *zip(*cases, strict=True), [count] * len(cases))
    for (name, passes), cells in zip(cases, found, strict=True):
        rows.append(f"| {name} | {passes} | {' | '.join(cells)} |")
    head = (
        f"{count} launches each: where their number lies against that of an undisturbed launch of many passes, and how "
        "far it strays (standard deviation).\n\n"
        f"| passes | a launch | {' | '.join(STATISTICS)} |\n| :-- | --: |{' --: |' * len(STATISTICS)}\n"
    )
    return Finding(head + "\n".join(rows))


def _launches(name: str, passes: int, count: int) -> list[str]:
    chance = random.Random(f"passes {name} {passes}")
    drawn = [PASSES_UNDER[name](chance, passes) for _ in range(count)]
    cells = []
    for statistic in STATISTICS.values():
        logs = [math.log(value) for value in statistic(drawn)]
        cells.append(f"{statistics.median(logs) * 100:+.1f} ± {statistics.stdev(logs) * 100:.1f} %")
    return cells


def _share(judged: Sequence[Judged], true: Callable[[Judged], bool]) -> float:
    return sum(map(true, judged)) / len(judged)


def _uncovered(where: str, share: float, count: int) -> list[str]:
    """Outside the demand by more than chance makes of ``count`` trials in 99 studies of 100."""
    chance = 2.576 * math.sqrt(0.05 * 0.95 / count)
    if COVERAGE[0] - chance <= share <= COVERAGE[1] + chance:
        return []
    return [f"{where}: {percent(share)} of intervals hold the truth"]


def _cell(cell: tuple[float, float] | None) -> str:
    return "–" if cell is None else f"{percent(cell[0])}, ± {percent(cell[1])}"


def _settle() -> None:
    """Leave what was imported out of the garbage collection before each timed loop: it would be most of the study."""
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    typer.run(main)
