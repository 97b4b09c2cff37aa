"""``--real``: equal runtimes under two names, and ones slowed by 5 % and 10 %, measured on this machine for real.

Once as the machine is, once beside a process that keeps one core busy. Runs that are complete are not made again, so
that the study goes on where it was stopped.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
from slowed import EXTRA, SLOWED, TWIN, install, name_of

from esrbench.case_summary import noise_floor
from esrbench.compare import machine_name
from esrbench.record import Case
from esrbench.rounds import speed_ratio
from esrbench.store import END_FILE, Run, read_run
from esrbench.target import Precision, Target
from esrbench.verdict import Bar, Judgement, Verdict, judge
from esrbench.wording import counted

RESULTS = Path(__file__).parents[2] / "results"
FALSE_ALLOWED = 1  # of twenty

SUITE = """
name = "real-study"
model = "realesrgan-x4plus-anime"
targets = {targets}
budget_s = {budget_s}
max_rounds = {rounds}
precision_percent = 1
timeout_s = 120
warmup_s = 1
measure_s = 0.7
tune = false
roofline = false

[[workloads]]
image = "astronaut"
crop = [72, 192, 48, 80]
tile = 48
halo = 8
"""


class Plan(NamedTuple):
    """What the study measures."""

    runtimes: Sequence[str]
    runs: int  # of equal runtimes in each condition; a run compares every runtime once
    rounds: int
    budget_s: float


class Condition(NamedTuple):
    """One line of the table."""

    name: str
    equal: list[Run]
    slowed: list[Run]
    must_catch: bool  # else a slowed runtime may also be `unclear`

    def judged(self, label: str, runtimes: Sequence[str]) -> list[Judgement]:
        """Each runtime of each run against its second name."""
        runs = self.equal if label == TWIN else self.slowed
        return [_judged(run, runtime, label) for run in runs for runtime in runtimes]


def real_study(plan: Plan) -> tuple[str, list[str]]:
    """Measure, and return the table and the demands that are not met."""
    conditions = [_condition(plan, "quiet", "as it is"), _condition(plan, "busy", "one core kept busy")]
    lines, missed = [], []
    for condition in conditions:
        line, misses = _line(condition, plan)
        lines.append(line)
        missed += misses
    record = conditions[0].equal[0].record
    head = (
        f"{machine_name(record.environment)}, {record.created_at[:10]}: {', '.join(plan.runtimes)} at fp32 on "
        f"{record.model.name}; on each machine {counted(plan.runs, 'run')} of equal runtimes and one of slowed ones, "
        f"of up to {plan.rounds} rounds.\n\n"
        "| machine | equal: faster or slower | equal: same | 5 % slower: slower | 10 % slower: slower | "
        "slowed: same or faster | rounds, fewest to most |\n| :-- | --: | --: | --: | --: | --: | --: |\n"
    )
    return head + "\n".join(lines), missed


def _condition(plan: Plan, name: str, title: str) -> Condition:
    busy = name == "busy"
    equal = _runs(plan, [f"{name}-{number}" for number in range(1, plan.runs + 1)], (TWIN,), busy=busy)
    slowed = _runs(plan, [f"{name}-slowed"], SLOWED, busy=busy)
    return Condition(title, equal, slowed, must_catch=not busy)


def _line(condition: Condition, plan: Plan) -> tuple[str, list[str]]:
    judged = {label: condition.judged(label, plan.runtimes) for label in EXTRA}
    equal, *slowed = ([one.verdict for one in judged[label]] for label in (TWIN, *SLOWED))
    false = sum(verdict in {Verdict.FASTER, Verdict.SLOWER} for verdict in equal)
    caught = [found.count(Verdict.SLOWER) for found in slowed]
    denied = sum(verdict in {Verdict.FASTER, Verdict.SAME} for found in slowed for verdict in found)
    rounds = [one.ratio.rounds for found in judged.values() for one in found if one.ratio]
    shares = [f"{count} of {len(found)}" for count, found in zip(caught, slowed, strict=True)]
    line = (
        f"| {condition.name} | {false} of {len(equal)} | {equal.count(Verdict.SAME)} | {' | '.join(shares)} | "
        f"{denied} | {min(rounds)} to {max(rounds)} |"
    )
    missed = [f"{false} of {len(equal)} equal runtimes told apart"] if false > FALSE_ALLOWED else []
    missed += [f"{denied} slowed runtimes called same or faster"] if denied else []
    if condition.must_catch and sum(caught) < sum(map(len, slowed)):
        missed.append(f"slowed runtimes caught: {', '.join(shares)}")
    return line, [f"{condition.name}: {miss}" for miss in missed]


def _judged(run: Run, runtime: str, label: str) -> Judgement:
    """As `esrbench compare` judges a pair alone: with the run's own noise floor."""
    base, head = (
        Case(target=Target.of(name, "cpu", Precision.FP32), workload=run.record.workloads[0].id)
        for name in (runtime, name_of(runtime, label))
    )
    floor = noise_floor(run)
    bar = Bar() if floor is None else msgspec.structs.replace(Bar(), noise=floor.size)
    return judge([speed_ratio(run.launches, base, head)], bar)[0]


def _runs(plan: Plan, names: Sequence[str], labels: Sequence[str], *, busy: bool) -> list[Run]:
    folders = [RESULTS / f"real-study-{name}" for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        environment = _environment(Path(scratch))
        suite = Path(scratch) / "suite.toml"
        suite.write_text(_suite(plan, labels), encoding="utf-8")
        for folder in folders:
            if not (folder / END_FILE).exists():
                with _one_core_busy() if busy else nullcontext():
                    _measure(folder, suite, environment, Path(scratch))
    return [read_run(folder) for folder in folders]


def _measure(folder: Path, suite: Path, environment: dict[str, str], scratch: Path) -> None:
    begin = ("--resume", folder) if folder.exists() else ("--suite", suite, "--out", folder)
    command = [sys.executable, "-P", "-m", "esrbench", "bench", *map(str, begin), "--reports", str(scratch / "reports")]
    subprocess.run(command, env=environment, check=True)


def _suite(plan: Plan, labels: Sequence[str]) -> str:
    names = [name for runtime in plan.runtimes for name in (runtime, *(name_of(runtime, label) for label in labels))]
    targets = [str(Target.of(name, "cpu", Precision.FP32)) for name in names]
    return SUITE.format(targets=targets, budget_s=plan.budget_s, rounds=plan.rounds)


def _environment(scratch: Path) -> dict[str, str]:
    install(scratch / "site")
    paths = [str(scratch / "site"), str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def _one_core_busy() -> Iterator[None]:
    """Another process that never rests."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as neighbour:
        try:
            yield
        finally:
            neighbour.kill()
