"""Damaged and lying folders of runs, over every command that reads one: refused in a line, or read as what they are.

No traceback, no wait, nothing written or run outside of the folder, and no speed from a run that contradicts itself.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import run_mutations
from recorded import TORCH, environment, launch, output_name, write_run
from typer.testing import CliRunner

from esrbench import store
from esrbench.cli import app, bench, compare, report, upscale  # noqa: F401  (each registers its command)
from esrbench.errors import EsrbenchError, RecordError, UsageError
from esrbench.record import LaunchRecord, Resumption, RunEnd, Status, TrialRecord, TuningRecord
from esrbench.settings import DEFAULT
from esrbench.store import RunWriter
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import Target

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="links, pipes and devices as Linux has them"
)

NCNN = "ncnn@cpu:fp32"
TRIED = (TrialRecord(settings=DEFAULT, status=Status.OK, image_s=(1.0,)),)
FEW, MANY = 28, 300
REACHED = "the record was believed so far"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything in it that a run can have, and its end."""
    random = np.random.default_rng(1)
    names = {"input.t48b1.png": 100, "reference.t48b1.png": 400, output_name(TORCH): 400, output_name(NCNN): 400}
    run = write_run(
        tmp_path_factory.mktemp("whole") / "run",
        [launch(target, round_=round_) for round_ in range(2) for target in (TORCH, NCNN)],
        pictures={name: random.integers(0, 256, (side, side, 3), dtype=np.uint8) for name, side in names.items()},
        tunings=[
            TuningRecord(
                target=Target(NCNN), workload="t48b1", chosen=DEFAULT, trials=TRIED, tuned_at="now", elapsed_s=1
            )
        ],
        settings=Suite(name="s", model="m", workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),)),
        ended=False,
    )
    for name in ("0000.txt", "reference.t48b1.txt"):
        (run.folder / "logs" / name).write_text("said")
    writer, end = RunWriter(run.folder), RunEnd(ended_at="2026", elapsed_s=120.0, notes=("noted",))
    writer.interrupted(msgspec.structs.replace(end, interrupted=True), 2)
    writer.resumed(
        Resumption(resumed_at="2026", sequence=2, esrbench_version="1", environment=environment(), changes=())
    )
    writer.end(end)
    store.read_run(run.folder)
    return run.folder


@pytest.fixture
def place(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run, whose end it may have lost, beside a folder that nobody may touch; nothing is prepared or drawn."""

    def reached(*_: object, **__: object) -> None:
        raise UsageError(REACHED)

    shutil.copytree(whole, tmp_path / "run")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim.txt").write_text("precious")
    shutil.copy(whole / "run.json", outside)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ESRBENCH_LOCK", str(tmp_path / "lock"))
    monkeypatch.setattr("esrbench.prepare.prepare", reached)
    monkeypatch.setattr("esrbench.upscale._checked", reached)
    monkeypatch.setattr("esrbench.upscale.environment.describe", environment)
    monkeypatch.setattr("esrbench.upscale.zoo.open_rgb_model", lambda _: SimpleNamespace(weights_sha256="ab" * 32))
    return tmp_path


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The charts take most of a report's time and read what the rest reads."""
    monkeypatch.setattr("esrbench.report.folder._draw", lambda _: [])
    for name in ("history_png", "frontier_png"):
        monkeypatch.setattr(f"esrbench.report.folder.{name}", lambda *_: None)


COMMANDS: dict[str, list[str]] = {
    "report": ["report", "run", "--out", "reports/run"],
    "compare": ["compare", "run", "run"],
    "resume": ["bench", "--resume", "run", "--reports", "reports"],
    "upscale": ["upscale", "a.png", "b.png", "--from", "run"],
}


def called(command: str) -> BaseException | None:
    """The deliberate error that a command ends with; None where it ends well."""
    error = CliRunner().invoke(app, COMMANDS[command]).exception
    if error is None or isinstance(error, EsrbenchError) or (isinstance(error, SystemExit) and error.code == 0):
        return error
    raise AssertionError(f"{command} ended with {type(error).__name__}") from error


def outside(place: Path) -> dict[str, str]:
    return {str(path): path.read_text() for path in place.joinpath("outside").rglob("*") if path.is_file()}


def survives(place: Path, number: int, commands: list[str]) -> None:
    before = outside(place)
    if number % 3 == 0:
        (place / "run" / "end.json").unlink()  # of a run that was cut short, with which --resume goes on
    run_mutations.mutate(place / "run", number)
    for command in commands:
        called(command)
    assert outside(place) == before
    assert {path.name for path in place.iterdir()} <= {"run", "outside", "reports", "lock", "results"}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("number", range(FEW))
def test_a_mutated_run_is_read_or_refused(place: Path, without_charts: None, number: int) -> None:
    survives(place, number, [list(COMMANDS)[number // 3 % len(COMMANDS)]])


@pytest.mark.slow
@pytest.mark.timeout(80)  # 20 s a command
@pytest.mark.parametrize("number", range(FEW, MANY))
def test_a_mutated_run_is_read_or_refused_by_every_command(place: Path, number: int) -> None:
    survives(place, number, list(COMMANDS))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_run_itself_is_believed(place: Path, without_charts: None, command: str) -> None:
    if command == "resume":
        (place / "run" / "end.json").unlink()
    error = called(command)
    assert str(error) == REACHED if command in ("resume", "upscale") else error is None


LIES: dict[str, Callable[[LaunchRecord], LaunchRecord]] = {
    "faster than it was": lambda x: msgspec.structs.replace(x, started_at="2026-01-02T03:04:06Z"),
    "another round": lambda x: msgspec.structs.replace(x, round=0),
    "a negative time": lambda x: msgspec.structs.replace(x, wall_ns=-1),
    "a wrong picture": lambda x: msgspec.structs.replace(x, fidelity=msgspec.structs.replace(x.fidelity, mse=0.9)),
    "NaN": lambda x: msgspec.structs.replace(x, fidelity=msgspec.structs.replace(x.fidelity, nan_count=1)),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("lie", LIES)
def test_no_command_believes_a_launch_that_was_changed(place: Path, command: str, lie: str) -> None:
    from esrbench.codec import decode, encode

    path = place / "run" / "launches" / "0002.json"
    path.write_bytes(encode(LIES[lie](decode(path.read_bytes(), LaunchRecord, "a launch"))))
    if lie != "faster than it was":
        run_mutations.rechained(place / "run")
    error = called(command)
    assert isinstance(error, RecordError)
    assert "contradicts itself, so nothing of it is reported, compared or continued" in str(error)
