"""Before round one: which settings is each target fastest with, by short launches in fresh processes."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from esrbench import choices
from esrbench.choices import Question
from esrbench.launcher import Trial, now
from esrbench.measure import LoopPlan
from esrbench.plan import Plan, Progress
from esrbench.record import Case, LaunchRecord, Status, TrialRecord, TuningRecord, file_stem
from esrbench.settings import Settings
from esrbench.stats import estimate
from esrbench.store import RunWriter, read_tunings
from esrbench.target import Target

WORTH = 1.03
"""Settings stay at the default for less than this: launches of one and the same case lie up to 3.4 % apart."""

MIN_PAIRS, MAX_PAIRS = 3, 5
"""Launches of the default and of its rival, in turns, that decide. The first launches, which picked the rival, are
not among them: the fastest of several is too often the luckiest."""

LONGEST_WARMUP_S = 5.0
LONGEST_MEASURE_S = 1.0
"""A trial warms up and measures as a launch of its suite does, but no longer than this."""

TIME_ENDED = "the time for tuning ended before it was tried"


class Tries(Protocol):
    """What a tuning needs of a launcher."""

    def trial(self, case: Case, settings: Settings, name: str, loop: LoopPlan, timeout_s: float) -> Trial:
        """Launch a case once with these settings."""

    def choose(self, target: Target, workload: str, settings: Settings) -> None:
        """Launch with these from now on."""


class Tuner:
    """Chooses settings for the cases of a plan that have a choice, and tells ``launcher``."""

    def __init__(
        self,
        plan: Plan,
        writer: RunWriter,
        launcher: Tries,
        progress: Progress,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._suite = plan.suite
        self._writer = writer
        self._launcher = launcher
        self._progress = progress
        self._clock_s = clock_s
        self._spent_s = 0.0

    def tune(self, launched: Sequence[LaunchRecord]) -> float:
        """Choose; returns the seconds that it took, before the run was cut short too.

        A run that has begun to measure goes on with what it recorded: its rounds would not compare otherwise. Of
        what was ``launched``, or refused, nothing is tried.

        Raises:
            OutputError: a choice cannot be written.
        """
        recorded = read_tunings(self._writer.folder)
        for tuned in recorded:
            self._launcher.choose(tuned.target, tuned.workload, tuned.chosen)
            self._spent_s += 0 if tuned.known else tuned.elapsed_s
        begun = any(launch.wall_ns is not None for launch in launched)
        if not begun and self._suite.tune is not False:
            settled = {(tuned.target, tuned.workload) for tuned in recorded}
            refused = {launch.case for launch in launched}
            for case in self._with_a_choice():
                if (case.target, case.workload) not in settled and case not in refused:
                    self._settle(case)
        return self._spent_s

    def _with_a_choice(self) -> list[Case]:
        """The control goes with its twin; software that is launched once is there for its picture, not its speed."""
        return [
            case
            for case in self._plan.launchable
            if not case.control and case.target in self._plan.candidates
            if case not in self._plan.once or case not in self._plan.late
        ]

    def _settle(self, case: Case) -> None:
        asked = self._question(case)
        known = choices.recall(asked) if asked else None
        if known is not None:
            tuned = msgspec.structs.replace(known, workload=case.workload, known=True)
        elif self._suite.tune and case not in self._plan.once:  # what is launched once is not tried several times
            tuned = self._tuned(case)
            if asked and is_complete(tuned.trials) and any(trial.image_s for trial in tuned.trials):
                choices.remember(asked, tuned)
        else:
            return
        self._writer.tuned(tuned)
        self._launcher.choose(case.target, case.workload, tuned.chosen)

    def _question(self, case: Case) -> Question | None:
        plan = self._plan
        if plan.machine is None or case not in plan.inputs.artifacts:
            return None
        artifact = plan.inputs.artifacts[case].artifact
        workload = plan.inputs.workloads[case.workload]
        candidates, environment = plan.candidates[case.target], plan.suite.environment
        return choices.question(case.target, candidates, artifact, workload, plan.machine, environment=environment)

    def _tuned(self, case: Case) -> TuningRecord:
        begin_s = self._clock_s()
        deadline_s = begin_s + self._suite.tune_s - self._spent_s
        trials = [TrialRecord(settings=each, status=None) for each in self._plan.candidates[case.target]]
        for index in range(len(trials)):
            self._try(case, trials, index, deadline_s)
        chosen = fastest(trials)
        while is_undecided(trials, chosen):
            self._try(case, trials, 0, deadline_s)
            self._try(case, trials, chosen, deadline_s)
            if self._clock_s() >= deadline_s:
                break
        chosen = chosen if is_worth_it(trials, chosen) else 0
        elapsed_s = self._clock_s() - begin_s
        self._spent_s += elapsed_s
        gain = estimate(ratios(trials, chosen)) if chosen else None
        return TuningRecord(
            target=case.target,
            workload=case.workload,
            chosen=trials[chosen].settings,
            trials=tuple(trials),
            speedup=gain.value if gain else None,
            tuned_at=now(),
            elapsed_s=elapsed_s,
        )

    def _try(self, case: Case, trials: list[TrialRecord], index: int, deadline_s: float) -> None:
        """Launch candidate ``index`` once more, and note in ``trials`` what came of it."""
        tried = trials[index]
        left_s = deadline_s - self._clock_s()
        if left_s <= 0:
            if tried.status is None:
                trials[index] = msgspec.structs.replace(tried, reason=TIME_ENDED)
            return
        title = f"{case.target} {case.workload} tries settings {index + 1} of {len(trials)}: {tried.settings.text}"
        self._progress.starting(title, sum(trial.status is None for trial in trials) or 1, None)
        name = f"tuning.{file_stem(case.target, case.workload)}.{index}.{len(tried.image_s)}"
        loop = LoopPlan(
            warmup_s=min(self._suite.warmup_s, LONGEST_WARMUP_S),
            measure_s=min(self._suite.measure_s, LONGEST_MEASURE_S),
        )
        outcome = self._launcher.trial(case, tried.settings, name, loop, min(self._suite.timeout_s, left_s)).outcome
        passes_ns = outcome.samples.image_ns if outcome.status is Status.OK and outcome.samples else ()
        if passes_ns:
            seconds = statistics.median(passes_ns) / 1e9
            trials[index] = msgspec.structs.replace(tried, status=Status.OK, image_s=(*tried.image_s, seconds))
        elif (
            outcome.status is not Status.TIMEOUT or not tried.image_s
        ):  # the tuning's time may have ended a later launch
            reason = outcome.reason or "it timed no whole pass"
            trials[index] = msgspec.structs.replace(tried, status=outcome.status, reason=reason, image_s=())


def fastest(trials: Sequence[TrialRecord]) -> int:
    """The candidate whose first launch was fastest, of those that draw the picture; 0 where none does."""
    return min(
        (index for index, trial in enumerate(trials) if trial.image_s),
        key=lambda index: trials[index].image_s[0],
        default=0,
    )


def is_undecided(trials: Sequence[TrialRecord], rival: int) -> bool:
    """Whether another pair of launches is needed: the rival looks faster by enough, and it is not certain yet."""
    if rival == 0 or not (trials[0].image_s and trials[rival].image_s):
        return False
    found = ratios(trials, rival)
    centre = estimate(found or [trials[0].image_s[0] / trials[rival].image_s[0]])
    return centre is not None and centre.value >= WORTH and len(found) < MAX_PAIRS and not is_worth_it(trials, rival)


def is_worth_it(trials: Sequence[TrialRecord], rival: int) -> bool:
    """Whether ``rival`` takes the default's place: certainly faster, and by enough; or the default draws no picture."""
    if rival == 0 or not trials[rival].image_s:
        return False
    if not trials[0].image_s:
        return True
    found = estimate(ratios(trials, rival))
    if found is None or found.rounds < MIN_PAIRS or found.low is None:
        return False
    return found.value >= WORTH and found.low > 1


def is_complete(trials: Sequence[TrialRecord]) -> bool:
    """Whether time left none of them out: only then does the choice hold for later runs."""
    return all(trial.status not in {None, Status.TIMEOUT} for trial in trials)


def ratios(trials: Sequence[TrialRecord], rival: int) -> list[float]:
    """Speed of the rival over the default's, pair by pair; the launches by which it was picked are left out."""
    return [base / head for base, head in zip(trials[0].image_s[1:], trials[rival].image_s[1:], strict=False)]
