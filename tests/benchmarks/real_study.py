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
EQUAL = "equal"
VERDICTS = (Verdict.FASTER, Verdict.SLOWER, Verdict.SAME, Verdict.UNCLEAR)

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
    rounds: int  # of a run of equal ones; to find a slowdown of 5 % takes twice as many
    budget_s: float


class Compared(NamedTuple):
    """One line of the table."""

    machine: str
    what: str
    found: list[Judgement]

    @property
    def text(self) -> str:
        """The line."""
        verdicts = [one.verdict for one in self.found]
        rounds = [one.ratio.rounds for one in self.found if one.ratio]
        counts = " | ".join(str(verdicts.count(each)) for each in VERDICTS)
        return f"| {self.machine} | {self.what} | {counts} | {min(rounds)} to {max(rounds)} |"

    def missed(self) -> list[str]:
        """Which demands are not met."""
        verdicts = [one.verdict for one in self.found]
        if self.what == EQUAL:
            false = sum(verdict in {Verdict.FASTER, Verdict.SLOWER} for verdict in verdicts)
            text, met = f"{false} of {len(verdicts)} told apart", false <= FALSE_ALLOWED
        else:
            caught = verdicts.count(Verdict.SLOWER)
            text, met = f"{caught} of {len(verdicts)} caught", caught == len(verdicts)
        return [] if met else [f"{self.machine}, {self.what}: {text}"]


def real_study(plan: Plan) -> tuple[str, list[str]]:
    """Measure, and return the table and the demands that are not met."""
    slowed = _runs(plan, ["slowed"], SLOWED, 2 * plan.rounds, busy=False)
    quiet, busy = (_equal(plan, name) for name in ("quiet", "busy"))
    lines = [
        Compared("as it is", EQUAL, _judgements(quiet, plan, TWIN)),
        *(Compared("as it is", f"{EXTRA[each]:.0%} slower", _judgements(slowed, plan, each)) for each in SLOWED),
        Compared("one core kept busy", EQUAL, _judgements(busy, plan, TWIN)),
    ]
    record = quiet[0].record
    head = (
        f"{machine_name(record.environment)}, {record.created_at[:10]}: {', '.join(plan.runtimes)} at fp32 on "
        f"{record.model.name}; {counted(plan.runs, 'run')} of equal runtimes on each machine, one of slowed ones.\n\n"
        f"| machine | compared | {' | '.join(VERDICTS)} | rounds |\n| :-- | :-- |{' --: |' * (len(VERDICTS) + 1)}\n"
    )
    return head + "\n".join(line.text for line in lines), [miss for line in lines for miss in line.missed()]


def _equal(plan: Plan, name: str) -> list[Run]:
    names = [f"{name}-{number}" for number in range(1, plan.runs + 1)]
    return _runs(plan, names, (TWIN,), plan.rounds, busy=name == "busy")


def _judgements(runs: Sequence[Run], plan: Plan, label: str) -> list[Judgement]:
    """Each runtime of each run against its second name."""
    return [_judged(run, runtime, label) for run in runs for runtime in plan.runtimes]


def _judged(run: Run, runtime: str, label: str) -> Judgement:
    """As `esrbench compare` judges a pair alone: with the run's own noise floor."""
    base, head = (
        Case(target=Target.of(name, "cpu", Precision.FP32), workload=run.record.workloads[0].id)
        for name in (runtime, name_of(runtime, label))
    )
    floor = noise_floor(run)
    bar = Bar() if floor is None else msgspec.structs.replace(Bar(), noise=floor.size)
    return judge([speed_ratio(run.launches, base, head)], bar)[0]


def _runs(plan: Plan, names: Sequence[str], labels: Sequence[str], rounds: int, *, busy: bool) -> list[Run]:
    folders = [RESULTS / f"real-study-{name}" for name in names]
    with tempfile.TemporaryDirectory() as scratch:
        environment = _environment(Path(scratch))
        suite = Path(scratch) / "suite.toml"
        suite.write_text(_suite(plan, labels, rounds), encoding="utf-8")
        for folder in folders:
            if not (folder / END_FILE).exists():
                with _one_core_busy() if busy else nullcontext():
                    _measure(folder, suite, environment, Path(scratch))
    return [read_run(folder) for folder in folders]


def _measure(folder: Path, suite: Path, environment: dict[str, str], scratch: Path) -> None:
    begin = ("--resume", folder) if folder.exists() else ("--suite", suite, "--out", folder)
    command = [sys.executable, "-P", "-m", "esrbench", "bench", *map(str, begin), "--reports", str(scratch / "reports")]
    subprocess.run(command, env=environment, check=True)


def _suite(plan: Plan, labels: Sequence[str], rounds: int) -> str:
    names = [name for runtime in plan.runtimes for name in (runtime, *(name_of(runtime, label) for label in labels))]
    targets = [str(Target.of(name, "cpu", Precision.FP32)) for name in names]
    return SUITE.format(targets=targets, budget_s=plan.budget_s, rounds=rounds)


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
