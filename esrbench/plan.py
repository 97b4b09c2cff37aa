"""A run, prepared: what is launched, on what, and who watches."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from esrbench.launcher import Inputs
from esrbench.record import Case, Environment, LaunchRecord, Status
from esrbench.settings import Settings
from esrbench.suite import Suite
from esrbench.target import REFERENCE, Target


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a case is not launched at all."""

    status: Status
    reason: str
    remedy: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """From here on only processes are started and files written."""

    suite: Suite
    inputs: Inputs
    cases: tuple[Case, ...]
    refused: Mapping[Case, Refusal]
    late: frozenset[Case] = frozenset()  # known to be slow (software devices): launched last in round one
    once: frozenset[Case] = frozenset()  # never repeated: software devices, a sweep beside workloads
    candidates: Mapping[Target, tuple[Settings, ...]] = {}  # where a target has several settings: the default first
    reference_s: Mapping[str, float] = {}  # workload id -> about how long its reference takes to draw, where known
    machine: Environment | None = None

    @property
    def launchable(self) -> list[Case]:
        """The cases that are launched."""
        return [case for case in self.cases if case not in self.refused]

    def size_px(self, case: Case) -> int:
        """Pixels that the network sees at once."""
        workload = self.inputs.workloads[case.workload]
        return workload.tile_px**2 * workload.batch

    def is_in_sweep(self, case: Case) -> bool:
        """Whether its workload is one of a sweep's."""
        return self.inputs.workloads[case.workload].sweep

    @property
    def compared_with(self) -> frozenset[Case]:
        """The reference on each workload, the control and its twin: they lead every round."""
        twins = {(case.target, case.workload) for case in self.cases if case.control}
        return frozenset(
            case for case in self.cases if case.target == REFERENCE or (case.target, case.workload) in twins
        )


class Progress(Protocol):
    """What a run tells whoever watches it: between launches only, never while one runs."""

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """A launch is about to start; None: too early for an estimate."""

    def finished(self, record: LaunchRecord) -> None:
        """A launch's record is on disk."""

    def note(self, text: str) -> None:
        """Something that a reader of the result should know."""
