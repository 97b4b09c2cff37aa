"""A run from the command line: its name."""

from datetime import datetime

from esrbench.cli.measuring import new_folder

NOON = datetime(2026, 1, 2, 12, 0, 0)


def test_a_run_is_named_by_the_time(tmp_path):
    assert new_folder(tmp_path, NOON).name == "20260102-120000"


def test_a_clock_that_was_set_back_names_no_run_twice(tmp_path):
    for _ in range(3):
        new_folder(tmp_path, NOON).mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "20260102-120000",
        "20260102-120000-2",
        "20260102-120000-3",
    ]
