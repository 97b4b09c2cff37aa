"""Rounds, budget and statuses with a scripted launcher: no process is started, no real time passes."""

import pytest
from recorded import workload

from esrbench import harness
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import PYTORCH, Artifact, LocatedArtifact
from esrbench.errors import UnavailableError
from esrbench.harness import HUNG_FACTOR, Harness, Plan, Refusal
from esrbench.job import Outcome
from esrbench.launcher import Inputs
from esrbench.record import Case, LaunchRecord, Status
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import REFERENCE, Precision, Target

FAST, SLOW, REFUSED = (Target(f"fake@cpu{index}:fp32") for index in (1, 2, 3))


class Stage:
    """What the fakes share: the time, the records written, the limits that launches were given."""

    def __init__(self, seconds: dict[Target, float], status: dict[Target, Status] | None = None) -> None:
        self.now_s = 1000.0
        self.seconds = seconds
        self.status = status or {}
        self.written: list[LaunchRecord] = []
        self.limits_s: list[tuple[Target, int, float]] = []
        self.notes: list[str] = []
        self.reference = Status.OK

    def clock_s(self) -> float:
        return self.now_s

    # as a RunWriter

    def launch(self, record: LaunchRecord) -> None:
        self.written.append(record)

    def end(self, record) -> None:
        self.ended = record

    # as a Progress

    def starting(self, what, launches_left, seconds_left) -> None:
        assert launches_left > 0

    def finished(self, record) -> None:
        assert self.written[-1] is record  # on disk before anyone hears of it

    def note(self, text) -> None:
        self.notes.append(text)


def run(monkeypatch, stage, *, budget_s, max_rounds=5, refused=(), late=()):
    class ScriptedLauncher:
        def __init__(self, inputs, writer, scratch) -> None:
            assert scratch.is_dir()

        def draw_reference(self, workload, timeout_s):
            return Outcome(status=stage.reference, reason="scripted", remedy=None)

        def launch(self, case, *, sequence, round_, loop, timeout_s):
            stage.limits_s.append((case.target, round_, timeout_s))
            stage.now_s += stage.seconds[case.target]
            return LaunchRecord(
                case=case,
                sequence=sequence,
                round=round_,
                status=stage.status.get(case.target, Status.OK),
                started_at="2026-01-01T00:00:00+00:00",
                wall_ns=round(stage.seconds[case.target] * 1e9),
            )

    monkeypatch.setattr(harness, "Launcher", ScriptedLauncher)
    spec = SRVGGNetSpec(convs=1, features=4)
    artifact = LocatedArtifact(
        folder=".",
        artifact=Artifact(
            model="m",
            format=PYTORCH,
            precision=Precision.FP32,
            spec=spec,
            weights_sha256="0",
            files=(),
            exporter="fake",
            options={},
            versions={},
        ),
    )
    cases = tuple(Case(target=target, workload="t48b1") for target in [*stage.seconds, *refused])
    plan = Plan(
        suite=Suite(
            name="s",
            model="m",
            workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),),
            budget_s=budget_s,
            max_rounds=max_rounds,
            timeout_s=100,
            measure_s=1,
        ),
        inputs=Inputs(workloads={"t48b1": workload()}, pictures={}, artifacts={}, reference=artifact),
        cases=cases,
        refused={
            case: Refusal(status=Status.UNAVAILABLE, reason="not here") for case in cases if case.target in refused
        },
        late=frozenset(case for case in cases if case.target in late),
    )
    return Harness(plan, stage, stage, stage.clock_s).run()


def targets(stage, round_):
    return [record.case.target for record in stage.written if record.round == round_]


def test_every_case_is_launched_once_then_again_while_the_budget_lasts(monkeypatch):
    stage = Stage({REFERENCE: 5, FAST: 4})
    end = run(monkeypatch, stage, budget_s=60)
    assert [sorted(targets(stage, round_)) for round_ in range(5)] == [sorted([REFERENCE, FAST])] * 5
    assert end.elapsed_s == 45
    assert end.notes == ()


def test_a_case_too_slow_to_repeat_keeps_its_one_launch_and_is_named(monkeypatch):
    stage = Stage({REFERENCE: 5, FAST: 4, SLOW: 40})
    end = run(monkeypatch, stage, budget_s=80)
    assert SLOW in targets(stage, 0)
    assert SLOW not in targets(stage, 1)
    assert len([note for note in end.notes if SLOW in note and FAST not in note]) == 1


def test_no_launch_begins_after_the_budget_and_each_case_left_out_says_so(monkeypatch):
    stage = Stage({REFERENCE: 30, FAST: 30, SLOW: 30})
    run(monkeypatch, stage, budget_s=50)
    left_out = [record for record in stage.written if record.status is Status.TIMEOUT]
    assert len(left_out) == 1
    assert "budget of 50 s" in (left_out[0].reason or "")
    assert left_out[0].wall_ns is None


def test_a_launch_in_round_one_may_not_outlast_the_budget(monkeypatch):
    stage = Stage({REFERENCE: 30, FAST: 5})
    run(monkeypatch, stage, budget_s=40)
    assert next(limit_s for _, _, limit_s in stage.limits_s) == 40
    assert all(limit_s <= 40 for _, _, limit_s in stage.limits_s)


def test_a_later_launch_that_hangs_is_ended_long_before_the_suites_timeout(monkeypatch):
    stage = Stage({REFERENCE: 5})
    run(monkeypatch, stage, budget_s=25.1)
    later = [limit_s for _, round_, limit_s in stage.limits_s if round_ > 0]
    assert later
    assert all(5 * HUNG_FACTOR < limit_s <= 35 for limit_s in later)


def test_software_devices_come_last_in_round_one(monkeypatch):
    stage = Stage({SLOW: 5, REFERENCE: 5, FAST: 5})
    run(monkeypatch, stage, budget_s=20, late=[SLOW])
    assert targets(stage, 0)[-1] == SLOW


def test_refused_cases_are_recorded_first_and_never_launched(monkeypatch):
    stage = Stage({REFERENCE: 5})
    run(monkeypatch, stage, budget_s=20, refused=[REFUSED])
    assert (stage.written[0].case.target, stage.written[0].status) == (REFUSED, Status.UNAVAILABLE)
    assert REFUSED not in [target for target, _, _ in stage.limits_s]


def test_a_case_that_failed_is_not_repeated(monkeypatch):
    stage = Stage({REFERENCE: 5, FAST: 5}, status={FAST: Status.CRASHED})
    run(monkeypatch, stage, budget_s=60)
    assert targets(stage, 1) == [REFERENCE]


def test_sequences_are_gapless(monkeypatch):
    stage = Stage({REFERENCE: 5, FAST: 5})
    run(monkeypatch, stage, budget_s=60, refused=[REFUSED])
    assert [record.sequence for record in stage.written] == list(range(len(stage.written)))


def test_without_a_reference_nothing_is_measured(monkeypatch):
    stage = Stage({REFERENCE: 5})
    stage.reference = Status.CRASHED
    with pytest.raises(UnavailableError, match="could not draw the reference"):
        run(monkeypatch, stage, budget_s=60)
    assert stage.written == []
