"""A run: the reference first, then round after round of fresh processes, each launch on disk before the next starts."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from esrbench import schedule
from esrbench.errors import UnavailableError
from esrbench.launcher import Inputs, Launcher, now
from esrbench.measure import LoopPlan
from esrbench.record import Case, LaunchRecord, RunEnd, Status
from esrbench.store import RunWriter
from esrbench.suite import Suite
from esrbench.target import REFERENCE

MEASURED = frozenset({Status.OK, Status.WRONG})

HUNG_FACTOR = 5
"""A launch that takes this many times what the same case took in round one is ended, lest it use up the budget."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a case is not launched at all."""

    status: Status
    reason: str
    remedy: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A run, prepared: from here on only processes are started and files written."""

    suite: Suite
    inputs: Inputs
    cases: tuple[Case, ...]
    refused: Mapping[Case, Refusal]
    late: frozenset[Case] = frozenset()  # known to be slow (software devices): launched last in round one


class Progress(Protocol):
    """What a run tells whoever watches it: between launches only, never while one runs."""

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """A launch is about to start; None: too early for an estimate."""

    def finished(self, record: LaunchRecord) -> None:
        """A launch's record is on disk."""

    def note(self, text: str) -> None:
        """Something that a reader of the result should know."""


class Harness:
    """Runs a :class:`Plan` into one folder. ``clock_s`` is monotonic, in seconds."""

    def __init__(
        self, plan: Plan, writer: RunWriter, progress: Progress, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan = plan
        self._suite = plan.suite
        self._writer = writer
        self._progress = progress
        self._clock_s = clock_s
        self._sequence = 0
        self._notes: list[str] = []

    def run(self) -> RunEnd:
        """Measure every case; returns what is also on disk as ``end.json``.

        Raises:
            UnavailableError: the reference cannot be drawn, so nothing can be compared.
        """
        for case, refusal in self._plan.refused.items():
            self._not_launched(case, refusal)
        with tempfile.TemporaryDirectory(prefix="esrbench-") as scratch:
            launcher = Launcher(self._plan.inputs, self._writer, Path(scratch))
            self._draw_references(launcher)
            begin_s = self._clock_s()
            deadline_s = begin_s + self._suite.budget_s
            cost_s = self._first_round(launcher, deadline_s)
            self._further_rounds(launcher, cost_s, deadline_s)
        end = RunEnd(ended_at=now(), elapsed_s=self._clock_s() - begin_s, notes=tuple(self._notes))
        self._writer.end(end)
        return end

    def _draw_references(self, launcher: Launcher) -> None:
        for workload in self._plan.inputs.workloads:
            self._progress.starting(f"{REFERENCE} draws the reference", len(self._launchable()), None)
            outcome = launcher.draw_reference(workload, self._suite.timeout_s)
            if outcome.status is not Status.OK:
                raise UnavailableError(f"{REFERENCE} could not draw the reference: {outcome.reason}", outcome.remedy)

    def _first_round(self, launcher: Launcher, deadline_s: float) -> dict[Case, float]:
        """Launch every case once; returns how many seconds each took that measured."""
        order = schedule.shuffled(self._launchable(), 0, self._suite.seed)
        cost_s: dict[Case, float] = {}
        for position, case in enumerate(sorted(order, key=self._plan.late.__contains__)):
            left_s = deadline_s - self._clock_s()
            if left_s <= 0:
                reason = f"the budget of {self._suite.budget_s:g} s ended before its first launch"
                self._not_launched(case, Refusal(status=Status.TIMEOUT, reason=reason, remedy="raise --budget"))
                continue
            self._progress.starting(_title(case), len(order) - position, None)
            timeout_s = min(self._suite.timeout_s, max(left_s, 1.0))
            record = self._launch(launcher, case, 0, self._suite.measure_s, timeout_s)
            if record.status in MEASURED and record.wall_ns is not None:
                cost_s[case] = record.wall_ns / 1e9
        return cost_s

    def _further_rounds(self, launcher: Launcher, cost_s: Mapping[Case, float], deadline_s: float) -> None:
        """Repeat the cases that fit, in rounds, until the budget is used."""
        left_s = deadline_s - self._clock_s()
        chosen = schedule.repeated(cost_s, left_s, self._suite.max_rounds)
        costs = {case: cost_s[case] for case in chosen}
        rounds = schedule.further_rounds(costs, left_s, self._suite.max_rounds)
        measure_s = schedule.longer_measure_s(self._suite.measure_s, costs, rounds, left_s)
        if self._suite.max_rounds > 1:
            self._note_single_launches([case for case in cost_s if rounds == 0 or case not in costs])
        launches = [
            (round_, case)
            for round_ in range(1, rounds + 1)
            for case in schedule.shuffled(chosen, round_, self._suite.seed)
        ]
        for position, (round_, case) in enumerate(launches):
            if self._clock_s() + costs[case] > deadline_s:
                self._note(f"the budget ended in round {round_ + 1}: {len(launches) - position} launches were left out")
                return
            seconds_left = min(deadline_s - self._clock_s(), sum(costs[later] for _, later in launches[position:]))
            self._progress.starting(_title(case), len(launches) - position, seconds_left)
            hung_s = HUNG_FACTOR * (costs[case] + measure_s)
            self._launch(launcher, case, round_, measure_s, min(self._suite.timeout_s, hung_s))

    def _launch(self, launcher: Launcher, case: Case, round_: int, measure_s: float, timeout_s: float) -> LaunchRecord:
        loop = LoopPlan(warmup_s=self._suite.warmup_s, measure_s=measure_s)
        record = launcher.launch(case, sequence=self._sequence, round_=round_, loop=loop, timeout_s=timeout_s)
        return self._keep(record)

    def _not_launched(self, case: Case, refusal: Refusal) -> None:
        artifact = self._plan.inputs.artifacts.get(case)
        self._keep(
            LaunchRecord(
                case=case,
                sequence=self._sequence,
                round=0,
                status=refusal.status,
                reason=refusal.reason,
                remedy=refusal.remedy,
                started_at=now(),
                artifact=artifact.artifact if artifact else None,
            )
        )

    def _keep(self, record: LaunchRecord) -> LaunchRecord:
        self._writer.launch(record)
        self._sequence += 1
        self._progress.finished(record)
        return record

    def _launchable(self) -> list[Case]:
        return [case for case in self._plan.cases if case not in self._plan.refused]

    def _note_single_launches(self, cases: list[Case]) -> None:
        if cases:
            names = ", ".join(_title(case) for case in cases)
            self._note(f"launched once only, as further rounds did not fit the budget: {names}")

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._progress.note(text)


def _title(case: Case) -> str:
    return f"{case.target} {case.workload}"
