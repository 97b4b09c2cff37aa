"""What a run must find as it was before it goes on."""

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from recorded import TORCH, placement, rewritten
from sides import QUIET, at, changed, rounds_of, run_of
from typer.testing import CliRunner

from esrbench.cli import app
from esrbench.cli import bench as _bench  # noqa: F401  (registers the command)
from esrbench.command import Command
from esrbench.errors import UsageError
from esrbench.record import Status, TrialRecord, TuningRecord
from esrbench.resume import _changes, _check_environment
from esrbench.settings import Settings
from esrbench.store import Run
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import Target


@pytest.fixture
def tuned(tmp_path: Path) -> Run:
    """Its settings were chosen, and its runtime told of them."""
    suite = Suite(name="s", model="m", max_rounds=9, workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),))
    proof = msgspec.structs.replace(placement(), options={"graph": "1"})
    run = run_of(tmp_path / "run", {}, extra=rounds_of(TORCH, QUIET, placement=proof))
    chosen = TuningRecord(
        target=Target(TORCH),
        workload="t48b1",
        chosen=Settings(values={"graph": "1"}),
        trials=(TrialRecord(settings=Settings(values={"graph": "1"}), status=Status.OK, image_s=(1.0,)),),
        tuned_at=at(0),
        elapsed_s=1.0,
    )
    return msgspec.structs.replace(changed(run, settings=suite), tunings=(chosen,))


def now(run: Run) -> Any:
    return SimpleNamespace(record=run.record, refused={})


def test_a_tuned_run_goes_on_as_it_began(tuned: Run) -> None:
    """Nothing is chosen anew, so there is nothing to compare the choice with."""
    assert _changes(tuned, now(tuned), ()) == ()


def test_another_processor_of_the_same_name_is_refused(tuned: Run) -> None:
    other = now(changed(tuned, environment={"cpu_features": ("avx2", "avx512f")}))
    with pytest.raises(UsageError, match="instruction sets: avx2, now avx2, avx512f"):
        _changes(tuned, other, ())


@pytest.mark.parametrize(
    ("recorded", "asked", "says"),
    [
        ({"LD_PRELOAD": "/evil.so"}, {}, "ran with --env LD_PRELOAD=/evil.so"),
        ({}, {"A": "1"}, "leave --env out"),
        ({"A": "1 2"}, {"A": "2"}, "--env 'A=1 2'"),
    ],
)
def test_a_run_goes_on_with_the_variables_of_its_record_only_when_they_are_asked_for_again(
    tuned: Run, recorded: dict[str, str], asked: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        _check_environment(tuned, recorded, asked)
    _check_environment(tuned, recorded, recorded)


TOOL = "tool@cpu:fp32=sh -c 'id > PWNED' {input} {output}"


def holding(run: Run, command: Command) -> Run:
    """The run, on disk without its end, with a program in its record."""
    suite = msgspec.structs.replace(run.record.settings, commands=(command,))
    return rewritten(changed(msgspec.structs.replace(run, end=None, tunings=()), settings=suite))


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was prepared: nothing is, so that whatever would follow is not reached."""
    calls: list[object] = []

    def prepare(*given: object, **named: object) -> None:
        calls.append(given)
        raise UsageError("prepared")

    monkeypatch.setattr("esrbench.prepare.prepare", prepare)
    return calls


def resumed(run: Run, *options: str) -> str:
    done = CliRunner().invoke(
        app, ["bench", "--resume", str(run.folder), "--reports", str(run.folder.parent / "reports"), *options]
    )
    assert isinstance(done.exception, UsageError)
    return str(done.exception)


def test_a_command_of_a_record_is_run_only_when_it_is_named_again(tuned: Run, prepared: list[object]) -> None:
    run = holding(tuned, Command.parse(TOOL))
    text = resumed(run)
    assert "a record is no reason to run one" in text
    assert shlex.quote(TOOL) in text
    for wrong in (["--command", TOOL.replace("id", "ls")], ["--allow", "all"], ["--command", "tool@cpu:fp16=" + TOOL]):
        assert "prepared" not in resumed(run, *wrong)
    assert prepared == []
    assert resumed(run, "--command", TOOL) == "prepared"
    assert resumed(run, "--allow", "commands") == "prepared"


def test_the_variables_of_a_records_command_need_it_to_be_allowed(tuned: Run, prepared: list[object]) -> None:
    run = holding(tuned, msgspec.structs.replace(Command.parse(TOOL), environment={"LD_PRELOAD": "/evil.so"}))
    assert "run with LD_PRELOAD=/evil.so, which needs --allow commands" in resumed(run, "--command", TOOL)
    assert prepared == []
    assert resumed(run, "--allow", "commands") == "prepared"


def test_a_command_that_the_run_began_without_is_refused(tuned: Run, prepared: list[object]) -> None:
    run = rewritten(msgspec.structs.replace(tuned, end=None, tunings=()))
    assert "began without the command tool@cpu:fp32" in resumed(run, "--command", TOOL)
    assert prepared == []


def test_settings_of_a_record_that_a_runner_does_not_name_reach_no_runtime(tuned: Run, monkeypatch: Any) -> None:
    run = rewritten(msgspec.structs.replace(tuned, end=None))
    found = SimpleNamespace(record=run.record, refused={}, artifacts={Target(TORCH): None})
    monkeypatch.setattr("esrbench.prepare.prepare", lambda *_, **__: found)
    assert "run asks for graph=1 on torch@cpu:fp32, which are none of the settings" in resumed(run)
    assert not list(run.folder.glob("resumed*"))
