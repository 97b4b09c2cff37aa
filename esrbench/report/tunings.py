"""Which settings targets were measured with, from how many they were chosen, and what became of the others."""

from collections.abc import Sequence

import msgspec

from esrbench.record import TrialRecord, TuningRecord
from esrbench.store import Run
from esrbench.wording import NOT_MEASURED, counted, times


class TuningRow(msgspec.Struct, frozen=True, kw_only=True):
    """A target on a workload, in words."""

    target: str
    workload: str
    chosen: str
    candidates: int
    gain: str
    others: tuple[str, ...]
    origin: str


def tuning_rows(run: Run) -> list[TuningRow]:
    """One for each target with a choice, in the run's order."""
    return [_row(tuned) for tuned in _ordered(run)]


def tuning_notes(run: Run) -> list[str]:
    """A sentence for each target that is not measured with its default settings."""
    return [
        f"{row.target} on {row.workload} was measured with {row.chosen}, {_over_default(tuned)}: chosen from "
        f"{counted(row.candidates, 'candidate')}, {row.origin}."
        for tuned in _ordered(run)
        if tuned.chosen.values
        for row in [_row(tuned)]
    ]


def _over_default(tuned: TuningRecord) -> str:
    if tuned.speedup is None:
        return f"as its default ended {tuned.trials[0].status}"
    return f"{times(tuned.speedup)} as fast as its default"


def _ordered(run: Run) -> Sequence[TuningRecord]:
    order = [(case.target, case.workload) for case in run.record.cases]
    return sorted(run.tunings, key=lambda each: order.index((each.target, each.workload)))


def _row(tuned: TuningRecord) -> TuningRow:
    default = tuned.trials[0]
    return TuningRow(
        target=str(tuned.target),
        workload=tuned.workload,
        chosen=tuned.chosen.text,
        candidates=len(tuned.trials),
        gain=times(tuned.speedup) if tuned.speedup else NOT_MEASURED,
        others=tuple(_said(trial, default) for trial in tuned.trials if trial.settings != tuned.chosen),
        origin=f"by an earlier run, {tuned.tuned_at}" if tuned.known else "before round one",
    )


def _said(trial: TrialRecord, default: TrialRecord) -> str:
    if trial.image_s and default.image_s:
        return f"{trial.settings.text}: {times(default.image_s[0] / trial.image_s[0])}"
    if trial.image_s:
        return f"{trial.settings.text}: {trial.image_s[0]:.3g} s a pass"
    status = trial.status.value.replace("_", " ") if trial.status else "not tried"
    return f"{trial.settings.text}: {status}{f', {trial.reason}' if trial.reason else ''}"
