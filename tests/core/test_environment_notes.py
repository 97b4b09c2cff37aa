"""What a report says of the variables of launches."""

import msgspec
import pytest
from recorded import TORCH, launch, write_run

from esrbench.record import LaunchEnvironment
from esrbench.report.environment_notes import environment_notes, passed_variables
from esrbench.report.findings import trust


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [launch(TORCH)])


def test_what_was_asked_for_and_what_was_dropped_stand_where_trust_is_told(run):
    told = LaunchEnvironment(asked={"OMP_PROC_BIND": "a b"}, dropped=("LD_PRELOAD",), passed={"CC": "gcc"})
    record = msgspec.structs.replace(run.record, launch_environment=told)
    asked, dropped = environment_notes(record)
    assert "ran with 'OMP_PROC_BIND=a b'" in asked
    assert "from the environment of launches: LD_PRELOAD" in dropped
    assert {asked, dropped} <= set(trust(msgspec.structs.replace(run, record=record)))
    assert passed_variables(record) == "CC=gcc"


def test_an_older_run_tells_nothing_of_its_variables(run):
    assert (environment_notes(run.record), passed_variables(run.record)) == ([], "not recorded")
