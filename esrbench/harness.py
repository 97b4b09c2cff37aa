"""A run: the reference first, then round after round of fresh processes, each launch on disk before the next starts."""

import time
from collections.abc import Callable, Iterable, Sequence

from esrbench import limits, rounds, schedule, scratch
from esrbench.errors import ArtifactError, UnavailableError
from esrbench.job import Outcome
from esrbench.launcher import Interrupted, Launcher, now
from esrbench.measure import LoopPlan
from esrbench.plan import Plan, Progress, Refusal
from esrbench.record import Case, LaunchRecord, RunEnd, Status, title
from esrbench.store import RunWriter
from esrbench.target import REFERENCE
from esrbench.tuning import Tuner
from esrbench.wording import counted, seconds_in_words

HUNG_FACTOR = 10
MIN_HUNG_S = 60.0
"""A launch that takes this many times what the same case took before, and at least so long, is ended lest it use up the
budget. Beside a busy neighbour on two cores, thread pools that spin made a launch six times as long (measured)."""


class Harness:
    """Runs a :class:`Plan` into one folder. ``clock_s`` is monotonic, in seconds.

    What is launched next follows from the plan, the budget and the launches so far alone: a run that was cut short
    goes on, from the ``launched`` that are on disk, as if it had not been.
    """

    def __init__(
        self,
        plan: Plan,
        writer: RunWriter,
        progress: Progress,
        clock_s: Callable[[], float] = time.monotonic,
        launched: Sequence[LaunchRecord] = (),
    ) -> None:
        self._plan = plan
        self._suite = plan.suite
        self._writer = writer
        self._progress = progress
        self._clock_s = clock_s
        self._launches = list(launched)
        self._deadline_s = 0.0
        self._notes: list[str] = []

    def run(self, rounds: int | None = None) -> RunEnd | None:
        """Measure every case; returns what is also on disk as ``end.json``.

        After ``rounds`` rounds it pauses and returns None: the run has no end yet, and is resumed as a killed one is.

        Raises:
            UnavailableError: the reference cannot be drawn, so nothing can be compared.
            OutputError: a file cannot be written; what was written before is whole.
            KeyboardInterrupt: the user stopped the run; that is on disk too.
        """
        try:
            paused = self._measure(rounds)
        except KeyboardInterrupt:
            self._writer.interrupted(self._end(interrupted=True), self._next_sequence())
            raise
        if paused:
            return None
        self._note_single_launches()
        return self._writer.end(self._end(interrupted=False))

    def _measure(self, rounds: int | None) -> bool:
        """Launch until the end, or for so many rounds; whether it paused there."""
        recorded = {launch.case for launch in self._launches}
        for case, refusal in self._plan.refused.items():
            if case not in recorded:
                self._not_launched(case, refusal)
        with scratch.folder() as folder:
            launcher = Launcher(self._plan.inputs, self._writer, folder)
            self._draw_references(launcher)
            self._tune(launcher)
            self._deadline_s = self._clock_s() + self._suite.budget_s - _spent_s(self._launches)
            measured = 0
            for round_ in range(self._suite.max_rounds):
                before = len(self._launches)
                if not self._round(launcher, round_):
                    return False
                measured += len(self._launches) > before
                if measured == rounds and round_ + 1 < self._suite.max_rounds:
                    return True
        return False

    def _tune(self, launcher: Launcher) -> None:
        """Choose settings, before the budget's clock starts."""
        tuner = Tuner(self._plan, self._writer, launcher, self._progress, self._clock_s)
        spent_s = tuner.tune(self._launches)
        if spent_s > 0:
            self._note(f"finding settings took {spent_s:.0f} s, apart from the budget")

    def _draw_references(self, launcher: Launcher) -> None:
        """Where memory does not suffice for one, nothing can be compared on its workload: its cases are refused."""
        missing: dict[str, Outcome] = {}
        for workload in self._plan.inputs.workloads:
            about_s = self._plan.reference_s.get(workload)
            about = "" if about_s is None else f"about {seconds_in_words(about_s)}, "
            what = f"{REFERENCE} draws the reference, {about}at most {seconds_in_words(self._suite.timeout_s)}"
            self._progress.starting(what, len(self._plan.launchable), None)
            outcome = launcher.draw_reference(workload, self._suite.timeout_s)
            if outcome.status is not Status.OK:
                missing[workload] = outcome
            if outcome.status not in {Status.OK, Status.OOM} or len(missing) == len(self._plan.inputs.workloads):
                raise UnavailableError(f"{REFERENCE} could not draw the reference: {outcome.reason}", outcome.remedy)
        for case in self._without_launched(self._plan.launchable, 0):
            if case.workload in missing:
                reason = f"nothing to compare it with: {REFERENCE} could not draw the reference"
                why = Refusal(status=Status.UNAVAILABLE, reason=f"{reason}: {missing[case.workload].reason}")
                self._not_launched(case, why)

    def _round(self, launcher: Launcher, round_: int) -> bool:
        """Launch what belongs to the round and was not launched before; False where no other follows."""
        if round_ > 0:
            return self._further_round(launcher, round_)
        self._first_round(launcher)
        return True

    def _first_round(self, launcher: Launcher) -> None:
        """Launch every case once, in the order of :meth:`_turn`."""
        order = schedule.shuffled(self._plan.launchable, 0, self._suite.seed)
        cases = self._without_launched(sorted(order, key=self._turn), 0)
        for position, case in enumerate(cases):
            left_s = self._deadline_s - self._clock_s()
            if left_s <= 0:
                reason = f"the budget of {self._suite.budget_s:g} s ended before its first launch"
                self._not_launched(case, Refusal(status=Status.TIMEOUT, reason=reason, remedy="raise --budget"))
                continue
            hopeless = limits.foreseen(case, self._plan.inputs.workloads, self._launches, left_s)
            if hopeless is not None:
                self._not_launched(case, hopeless)
                continue
            self._progress.starting(self._title(case), len(cases) - position, None)
            self._launch(launcher, case, 0, min(self._suite.timeout_s, max(left_s, 1.0)))

    def _turn(self, case: Case) -> tuple[bool, bool, bool, int]:
        """Return the sort key of a case in round one.

        Small tiles come first, then the control, a sweep, and slow cases; equal ones keep their random order. The
        control comes after what it would take the time from.
        """
        in_sweep = self._plan.is_in_sweep(case) and case in self._plan.once
        return case in self._plan.late, in_sweep, case.control, self._plan.size_px(case)

    def _further_round(self, launcher: Launcher, round_: int) -> bool:
        """Launch again what fits the budget; False where that is the end."""
        before = [launch for launch in self._launches if launch.round < round_]
        cost_s = schedule.costs_s(before, despite_failure=self._plan.compared_with)
        repeatable = {case: cost for case, cost in cost_s.items() if case not in self._plan.once}
        chosen = self._taking_part(before, repeatable, round_)
        if not chosen:
            return False
        # All are shuffled, then picked: the order is the seed's, whatever the cases happened to cost.
        order = schedule.shuffled(self._plan.launchable, round_, self._suite.seed)
        cases = self._without_launched([case for case in order if case in chosen], round_)
        left_out, leaderless = 0, set[str]()
        for position, case in enumerate(cases):
            if case.workload in leaderless or self._clock_s() + cost_s[case] > self._deadline_s:
                left_out += 1
                leaderless |= {case.workload} if case in self._plan.compared_with and not case.control else set()
                continue
            self._progress.starting(self._title(case), *self._left(cases[position:], chosen, cost_s, round_))
            hung_s = max(MIN_HUNG_S, HUNG_FACTOR * (cost_s[case] + self._suite.measure_s))
            self._launch(launcher, case, round_, min(self._suite.timeout_s, hung_s))
        if left_out:
            self._note(f"the budget ended in round {round_ + 1}: {counted(left_out, 'launch')} left out")
        return not left_out

    def _taking_part(self, before: Sequence[LaunchRecord], cost_s: dict[Case, float], round_: int) -> tuple[Case, ...]:
        """The cases of a round: once those that fit are known precisely, only what is not; none where that is the end.

        What the budget has left is told from the launches before the round alone, so that a run that goes on decides
        as it did before.
        """
        left_s = self._suite.budget_s - _spent_s(before)
        chosen = schedule.taking_part(cost_s, left_s, round_, self._plan.compared_with)
        percent = self._suite.precision_percent
        if percent is None or not chosen:
            return chosen
        wide = rounds.wide(before, cost_s, REFERENCE, percent / 100)
        if not set(wide).isdisjoint(chosen):
            return chosen
        leaders = {case for case in self._plan.compared_with if case.workload in {each.workload for each in wide}}
        unknown = {case: cost for case, cost in cost_s.items() if case in wide or case in leaders}
        chosen = schedule.taking_part(unknown, left_s, round_, leaders)
        if not chosen:
            self._note_known(round_, percent, wide)
        return chosen

    def _note_known(self, round_: int, percent: float, wide: Sequence[Case]) -> None:
        but = f" but those of {', '.join(map(self._title, wide))}, for which the budget is too small" if wide else ""
        self._note(f"ended after {counted(round_, 'round')}: every interval was within ± {percent:g} %{but}")

    def _left(
        self, cases: Sequence[Case], chosen: Sequence[Case], cost_s: dict[Case, float], round_: int
    ) -> tuple[int, float]:
        """Launches and seconds left, at most, as this round plans them."""
        round_s = sum(cost_s[case] for case in chosen)
        this_s = sum(cost_s[case] for case in cases)
        later = min(self._suite.max_rounds - round_ - 1, int((self._deadline_s - self._clock_s() - this_s) / round_s))
        return len(cases) + max(later, 0) * len(chosen), this_s + max(later, 0) * round_s

    def _launch(self, launcher: Launcher, case: Case, round_: int, timeout_s: float) -> None:
        loop = LoopPlan(warmup_s=self._suite.warmup_s, measure_s=self._suite.measure_s)
        sequence = self._next_sequence()
        try:
            record = launcher.launch(case, sequence=sequence, round_=round_, loop=loop, timeout_s=timeout_s)
        except Interrupted as stopped:
            self._keep(stopped.record)
            launcher.keep_picture(stopped.record)
            raise
        except ArtifactError as lost:
            self._without_artifact(case, str(lost))
            return
        self._keep(record)  # before its picture: a disk that is too full for that one still holds the numbers
        launcher.keep_picture(record)

    def _without_artifact(self, case: Case, reason: str) -> None:
        """Refuse a case whose artifact was lost before its launch.

        Where it was measured before, that stays, and a note says the rest.
        """
        if case not in {launch.case for launch in self._launches}:
            self._not_launched(case, Refusal(status=Status.ERROR, reason=reason))
            return
        note = f"{self._title(case)} was not launched again: {reason}"
        if note not in self._notes:
            self._note(note)

    def _not_launched(self, case: Case, refusal: Refusal) -> None:
        artifact = self._plan.inputs.artifacts.get(case)
        self._keep(
            LaunchRecord(
                case=case,
                sequence=self._next_sequence(),
                round=0,
                status=refusal.status,
                reason=refusal.reason,
                remedy=refusal.remedy,
                started_at=now(),
                artifact=artifact.artifact if artifact else None,
                software=case in self._plan.late,
            )
        )

    def _keep(self, record: LaunchRecord) -> None:
        self._writer.launch(record)
        self._launches.append(record)
        self._progress.finished(record)

    def _without_launched(self, cases: Sequence[Case], round_: int) -> list[Case]:
        launched = {launch.case for launch in self._launches if launch.round == round_}
        return [case for case in cases if case not in launched]

    def _next_sequence(self) -> int:
        return max((launch.sequence for launch in self._launches), default=-1) + 1

    def _end(self, *, interrupted: bool) -> RunEnd:
        elapsed_s = self._clock_s() - self._deadline_s + self._suite.budget_s if self._deadline_s else 0.0
        return RunEnd(ended_at=now(), elapsed_s=elapsed_s, notes=tuple(self._notes), interrupted=interrupted)

    def _note_single_launches(self) -> None:
        if self._suite.max_rounds == 1:
            return
        measured = [launch.case for launch in self._launches if launch.status is Status.OK]
        single = [case for case in dict.fromkeys(measured) if measured.count(case) == 1]
        for cases, why in (
            ([case for case in single if case in self._plan.once & self._plan.late], "as its device is software"),
            ([case for case in single if case not in self._plan.once], "as further rounds did not fit the budget"),
        ):
            if cases:
                self._note(f"launched once only, {why}: {', '.join(map(self._title, cases))}")

    def _title(self, case: Case) -> str:
        return title(case, software=case in self._plan.late)

    def _note(self, text: str) -> None:
        self._notes.append(text)
        self._progress.note(text)


def _spent_s(launches: Iterable[LaunchRecord]) -> float:
    return sum((launch.wall_ns or 0) / 1e9 for launch in launches)
