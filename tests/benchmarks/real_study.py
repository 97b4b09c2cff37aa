"""``--real``: equal runtimes under two names, and ones slowed by 5 % and 10 %, measured on this machine for real.

Equal ones once as the machine is, once beside a process that keeps one core busy. Runs that are complete are not made
again, so that the study goes on where it was stopped.
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

from esrbench import suite as suites
from esrbench.compare import machine_name
from esrbench.record import Case
from esrbench.results.contents import END_FILE
from esrbench.rounds import speed_ratio
from esrbench.run_cases import noise_floor
from esrbench.store import Run, read_run
from esrbench.target import Precision, Target
from esrbench.verdict import Bar, Judgement, Verdict, judge
from esrbench.wording import counted

RESULTS = Path(__file__).parents[2] / "results"
FALSE_ALLOWED = 1  # of twenty
EQUAL_PRECISION_PERCENT = 1
SLOWED_PRECISION_PERCENT = 2
"""An interval of ± 2 % around a slowdown of 5 % excludes 1. Runs with torch end by their ratios to it, the suite's
reference; the others by each speed for itself, in which there is also what drifts."""

VERDICTS = (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME, Verdict.UNCLEAR)

SUITE = """
name = "real-study"
model = "realesrgan-x4plus-anime"
targets = {targets}
budget_s = {budget_s}
max_rounds = {rounds}
precision_percent = {precision}
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
    rounds: int  # of a run of equal ones
    slowed_rounds: int  # of the run of each slowed one, at most
    budget_s: float


class Bounds(NamedTuple):
    """When a run ends."""

    rounds: int
    precision_percent: float


class Compared(NamedTuple):
    """One line of the table of equal ones."""

    machine: str
    found: list[Judgement]

    @property
    def text(self) -> str:
        """The line."""
        verdicts = [one.verdict for one in self.found]
        rounds = [one.ratio.rounds for one in self.found if one.ratio]
        counts = " | ".join(str(verdicts.count(each)) for each in VERDICTS)
        return f"| {self.machine} | {counts} | {min(rounds)} to {max(rounds)} |"

    def missed(self) -> list[str]:
        """Which demand is not met."""
        false = sum(one.verdict in {Verdict.FASTER, Verdict.SLOWER} for one in self.found)
        return [f"{self.machine}: {false} of {len(self.found)} told apart"] if false > FALSE_ALLOWED else []


def equal_ones(plan: Plan) -> tuple[str, list[str]]:
    """Measure equal runtimes, and return the table and the demands that are not met."""
    quiet, busy = (_equal(plan, name) for name in ("quiet", "busy"))
    lines = [
        Compared("as it is", _judgements(quiet, plan.runtimes, TWIN)),
        Compared("one core kept busy", _judgements(busy, plan.runtimes, TWIN)),
    ]
    head = (
        f"{_machine_of(quiet[0])}: {', '.join(plan.runtimes)}; {counted(plan.runs, 'run')} on each machine.\n\n"
        f"| machine | {' | '.join(VERDICTS)} | rounds |\n| :-- |{' --: |' * (len(VERDICTS) + 1)}\n"
    )
    return head + "\n".join(line.text for line in lines), [miss for line in lines for miss in line.missed()]


def slowed_ones(plan: Plan) -> tuple[str, list[str]]:
    """Measure each runtime beside itself slowed, a run each, and return the table and the demands that are not met."""
    bounds = Bounds(plan.slowed_rounds, SLOWED_PRECISION_PERCENT)
    plans = {runtime: _suite([runtime], SLOWED, bounds, plan.budget_s) for runtime in plan.runtimes}
    runs = {runtime: run for runtime, suite in plans.items() for run in _runs([f"slowed-{runtime}"], suite)}
    found = {(runtime, label): _judged(runs[runtime], runtime, label) for runtime in runs for label in SLOWED}
    head = (
        f"{_machine_of(runs[plan.runtimes[0]])}; a run each, which ends when every interval is within "
        f"± {SLOWED_PRECISION_PERCENT} %, or after {plan.slowed_rounds} rounds.\n\n"
        "| runtime | slowed by | verdict | speed, of its own unslowed | rounds |\n| :-- | --: | :-- | --: | --: |\n"
    )
    lines = [
        f"| {runtime} | {EXTRA[label]:.0%} | {one.verdict} | {_ratio(one)} |" for (runtime, label), one in found.items()
    ]
    missed = [f"{name_of(*names)}: {one.verdict}" for names, one in found.items() if one.verdict is not Verdict.SLOWER]
    return head + "\n".join(lines), missed


def _ratio(judgement: Judgement) -> str:
    ratio = judgement.ratio
    if ratio is None or ratio.low is None or ratio.high is None:
        return "– | –"
    return f"{ratio.value:.3f} × ({ratio.low:.3f}–{ratio.high:.3f}) | {ratio.rounds}"


def _machine_of(run: Run) -> str:
    return f"{machine_name(run.record.environment)}, {run.record.created_at[:10]}, {run.record.model.name} at fp32"


def _equal(plan: Plan, name: str) -> list[Run]:
    names = [f"{name}-{number}" for number in range(1, plan.runs + 1)]
    suite = _suite(plan.runtimes, (TWIN,), Bounds(plan.rounds, EQUAL_PRECISION_PERCENT), plan.budget_s)
    return _runs(names, suite, busy=name == "busy")


def _judgements(runs: Sequence[Run], runtimes: Sequence[str], label: str) -> list[Judgement]:
    """Each runtime of each run against its second name."""
    return [_judged(run, runtime, label) for run in runs for runtime in runtimes]


def _judged(run: Run, runtime: str, label: str) -> Judgement:
    """As `esrbench compare` judges a pair alone: with the run's own noise floor."""
    base, head = (
        Case(target=Target.of(name, "cpu", Precision.FP32), workload=run.record.workloads[0].id)
        for name in (runtime, name_of(runtime, label))
    )
    floor = noise_floor(run)
    bar = Bar() if floor is None else msgspec.structs.replace(Bar(), noise=floor.size)
    return judge([speed_ratio(run.launches, base, head)], bar)[0]


def _runs(names: Sequence[str], suite: str, *, busy: bool = False) -> list[Run]:
    folders = [RESULTS / f"real-study-{name}" for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        environment = _environment(Path(scratch))
        file = Path(scratch) / "suite.toml"
        file.write_text(suite, encoding="utf-8")
        for folder in folders:
            if folder.exists() and read_run(folder).record.settings != suites.load(str(file)):
                raise SystemExit(f"{folder} was measured by another plan; move it away, or ask for what it has")
            if not (folder / END_FILE).exists():
                with _one_core_busy() if busy else nullcontext():
                    _measure(folder, file, environment, Path(scratch))
    return [read_run(folder) for folder in folders]


def _measure(folder: Path, suite: Path, environment: dict[str, str], scratch: Path) -> None:
    begin = ("--resume", folder) if folder.exists() else ("--suite", suite, "--out", folder)
    command = [sys.executable, "-P", "-m", "esrbench", "bench", *map(str, begin), "--reports", str(scratch / "reports")]
    subprocess.run(command, env=environment, check=True)


def _suite(runtimes: Sequence[str], labels: Sequence[str], bounds: Bounds, budget_s: float) -> str:
    names = [name for runtime in runtimes for name in (runtime, *(name_of(runtime, label) for label in labels))]
    targets = [str(Target.of(name, "cpu", Precision.FP32)) for name in names]
    precision = bounds.precision_percent
    return SUITE.format(targets=targets, budget_s=budget_s, rounds=bounds.rounds, precision=precision)


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
