"""What a run must find as it was before it goes on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from recorded import TORCH, placement
from sides import QUIET, at, changed, rounds_of, run_of

from esrbench.errors import UsageError
from esrbench.record import TuningRecord
from esrbench.resume import _changes, _check_environment
from esrbench.settings import Settings
from esrbench.store import Run
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import Target


@pytest.fixture
def tuned(tmp_path: Path) -> Run:
    """Its settings were chosen, and its runtime told of them."""
    suite = Suite(name="s", model="m", workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),))
    proof = msgspec.structs.replace(placement(), options={"graph": "1"})
    run = run_of(tmp_path / "run", {}, extra=rounds_of(TORCH, QUIET, placement=proof))
    chosen = TuningRecord(
        target=Target(TORCH),
        workload="t48b1",
        chosen=Settings(values={"graph": "1"}),
        trials=(),
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
