"""Kills at any moment: finished launches stay readable, the rest is measured, and nothing is left."""

import sys

import pytest

from .kills import campaign

KILLS = 6  # `python -m tests.e2e.kills 100` carries out a hundred

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are ended by a Linux facility"),
]


def test_a_run_that_is_killed_at_any_moment_leaves_nothing_but_whole_launches(tmp_path):
    faults = {(seed, kill): left for seed, kill, left in campaign(KILLS, 0, tmp_path) if left}
    assert not faults
