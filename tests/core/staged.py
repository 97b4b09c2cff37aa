"""A run without processes: a scripted launcher, a scripted clock, a real folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from recorded import environment, fidelity_of, placement_of, samples, workload

from esrbench import harness, store
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import PYTORCH, Artifact, LocatedArtifact
from esrbench.harness import Harness
from esrbench.job import Job, Outcome
from esrbench.launcher import Inputs, Trial
from esrbench.plan import Plan, Refusal
from esrbench.process import Ended
from esrbench.record import Case, LaunchRecord, ModelRecord, RunEnd, RunRecord, Samples, Status, Workload
from esrbench.settings import Settings
from esrbench.store import Run, RunWriter
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import REFERENCE, Precision, Target
from esrbench.workload import PreparedWorkload

Seconds = Callable[[Case, int], float]
"""How long a case's launch in a round takes; its passes take a tenth of that."""

ARTIFACT = LocatedArtifact(
    folder=".",
    artifact=Artifact(
        model="m",
        format=PYTORCH,
        precision=Precision.FP32,
        spec=SRVGGNetSpec(convs=1, features=4),
        weights_sha256="0",
        files=(),
        exporter="fake",
        options={},
        versions={},
    ),
)


def job_in(folder: Path, prepared: PreparedWorkload, target: Target, artifact: LocatedArtifact, **fields: Any) -> Job:
    """Make a launch's job whose files lie in ``folder``, the workload's pixels among them."""
    prepared.save(folder / "input.png")
    return Job(
        target=target,
        artifact=artifact,
        workload=prepared.record,
        input_picture=str(folder / "input.png"),
        reference=str(folder / "reference.npy"),
        picture=str(folder / "picture.png"),
        **{"makes_reference": False, "spawned_ns": 0, **fields},
    )


class Clock:
    """Monotonic seconds that pass only in launches, and between them as scripted."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watcher:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.said: list[str] = []
        self.left: list[tuple[int, float | None]] = []
        self.finished_: list[LaunchRecord] = []

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        assert launches_left > 0
        self.said.append(what)
        self.left.append((launches_left, seconds_left))

    def finished(self, record: LaunchRecord) -> None:
        self.finished_.append(record)

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class Stage:
    """What a run meets, and what came of it."""

    folder: Path
    seconds: Mapping[Target, float] | Seconds
    budget_s: float = 1000.0
    max_rounds: int = 5
    timeout_s: float = 100
    precision_percent: float | None = None
    targets: tuple[Target, ...] = ()
    refused: tuple[Target, ...] = ()
    late: tuple[Target, ...] = ()
    once: tuple[Target, ...] = ()
    control: bool = False
    status: Mapping[Target | Case, Status] = field(default_factory=dict)
    reference: Status = Status.OK
    candidates: Mapping[Target, Mapping[Settings, float]] = field(default_factory=dict)  # seconds of a pass
    chosen: dict[tuple[Target, str], Settings] = field(default_factory=dict)
    workloads: tuple[Workload, ...] = (workload(),)
    without_reference: frozenset[str] = frozenset()  # workloads for which memory does not suffice to draw it
    swept_once: bool = False  # the workloads of a sweep are launched once
    before_launch: Callable[[int], None] = lambda sequence: None
    between_s: float = 0.0  # that pass between two launches, in no launch's time
    after_launch: Callable[[LaunchRecord], None] = lambda record: None
    before_picture: Callable[[LaunchRecord], None] = lambda record: None
    reference_s: Mapping[str, float] = field(default_factory=dict)
    limits_s: list[tuple[Target, int, float]] = field(default_factory=list)
    watcher: Watcher = field(default_factory=Watcher)

    @property
    def cases(self) -> tuple[Case, ...]:
        named = [*(self.targets or self.seconds), *self.refused]
        twin = [Case(target=REFERENCE, workload=self.workloads[0].id, control=True)] if self.control else []
        return (*(Case(target=target, workload=each.id) for each in self.workloads for target in named), *twin)

    @property
    def plan(self) -> Plan:
        def of(targets):
            return frozenset(case for case in self.cases if case.target in targets)

        return Plan(
            suite=Suite(
                name="s",
                model="m",
                workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),),
                budget_s=self.budget_s,
                max_rounds=self.max_rounds,
                precision_percent=self.precision_percent,
                timeout_s=self.timeout_s,
                measure_s=1,
                tune=bool(self.candidates) or None,
            ),
            inputs=Inputs(
                workloads={each.id: each for each in self.workloads}, pictures={}, artifacts={}, reference=ARTIFACT
            ),
            cases=self.cases,
            refused={
                case: Refusal(status=Status.UNAVAILABLE, reason="not here")
                for case in self.cases
                if case.target in self.refused
            },
            late=of(self.late),
            once=of(self.once) | (self._swept if self.swept_once else frozenset()),
            candidates={target: tuple(each) for target, each in self.candidates.items()},
            reference_s=self.reference_s,
        )

    def run(self, monkeypatch, writer: RunWriter | None = None, rounds: int | None = None) -> RunEnd | None:
        """Run it, or go on with what lies in the folder; for so many rounds."""
        monkeypatch.setattr(harness, "Launcher", lambda *_: Launcher(self))
        launched = store.read_run(self.folder).launches if (self.folder / store.RUN_FILE).exists() else ()
        writer = writer or (RunWriter(self.folder) if launched else RunWriter.create(self.folder, self._record()))
        self.clock = Clock()
        return Harness(self.plan, writer, self.watcher, self.clock, launched).run(rounds)

    @property
    def _swept(self) -> frozenset[Case]:
        swept = {each.id for each in self.workloads if each.sweep}
        return frozenset(case for case in self.cases if case.workload in swept)

    @property
    def recorded(self) -> Run:
        return store.read_run(self.folder)

    def launched(self, round_: int) -> list[Target]:
        """Targets launched in a round, in order."""
        launches = self.recorded.launches
        return [launch.case.target for launch in launches if launch.round == round_ and launch.wall_ns is not None]

    def seconds_of(self, case: Case, round_: int) -> float:
        return self.seconds(case, round_) if callable(self.seconds) else self.seconds[case.target]

    def _record(self) -> RunRecord:
        return RunRecord(
            esrbench_version="0",
            created_at="2026-01-01T00:00:00+00:00",
            suite="s",
            seed=0,
            budget_s=self.budget_s,
            model=ModelRecord(
                name="m", spec=SRVGGNetSpec(convs=1, features=4), weights_sha256="0", source="made for a test"
            ),
            reference=REFERENCE,
            workloads=self.workloads,
            cases=self.cases,
            environment=environment(),
            settings=self.plan.suite,
        )


def samples_of(wall_s: float) -> Samples:
    """Times that fit into a launch: a pass takes a tenth of it."""
    return msgspec.structs.replace(
        samples(wall_s / 10), load_ns=1000, first_tile_ns=1000, cold_ns=2000, tile_ns=(1000,)
    )


class Launcher:
    """Starts nothing; time passes as scripted."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def draw_reference(self, workload, timeout_s):
        status = Status.OOM if workload in self._stage.without_reference else self._stage.reference
        return Outcome(status=status, reason="scripted", remedy=None)

    def choose(self, target, workload, settings):
        self._stage.chosen[target, workload] = settings

    def trial(self, case, settings, name, loop, timeout_s):
        self._stage.clock.now_s += self._stage.seconds_of(case, 0)
        outcome = Outcome(status=Status.OK, samples=samples(self._stage.candidates[case.target][settings]))
        return Trial(outcome=outcome, ended=Ended(exit_code=0, timed_out=False, wall_ns=0))

    def launch(self, case, *, sequence, round_, loop, timeout_s):
        self._stage.before_launch(sequence)
        self._stage.limits_s.append((case.target, round_, timeout_s))
        wall_s = self._stage.seconds_of(case, round_)
        self._stage.clock.now_s += wall_s + self._stage.between_s
        status = self._stage.status.get(case) or self._stage.status.get(case.target, Status.OK)
        record = LaunchRecord(
            case=case,
            sequence=sequence,
            round=round_,
            status=status,
            started_at=harness.now(),
            wall_ns=round(wall_s * 1e9),
            exit_code=0,
        )
        if status is Status.OK:
            record = msgspec.structs.replace(
                record,
                samples=samples_of(wall_s),
                placement=placement_of(case.target),
                fidelity=fidelity_of(case.target),
            )
        self._stage.after_launch(record)
        return record

    def keep_picture(self, record):
        self._stage.before_picture(record)
