"""`esrbench compare` on runs of real processes."""

import json

import pytest

from esrbench.target import REFERENCE, Target
from esrbench.testing import FakeScript, Fault

from .test_statuses import write_suite

FAKE, OTHER = Target("fake@cpu:fp32"), Target("fake@cpu1:fp32")


@pytest.fixture
def runs(esrbench, scripted, zero_checkpoint, tmp_path):
    """Two runs of the same suite; in the second one target draws another picture."""
    for name, fault in (("base", None), ("head", Fault.WRONG)):
        scripted([FakeScript(target=FAKE), FakeScript(target=OTHER, fault=fault)])
        suite = write_suite(tmp_path / f"{name}.toml", zero_checkpoint, [REFERENCE, FAKE, OTHER], max_rounds=2)
        done = esrbench("bench", "--suite", suite, "--out", f"results/{name}")
        assert done.returncode in {0, 1}, done.stderr
    return "results/base", "results/head"


def test_recorded_runs_are_compared_within_and_against_each_other(esrbench, runs, tmp_path):
    _what_became_wrong_fails_the_gate_and_is_not_judged(esrbench, runs, tmp_path / "comment.md")
    _one_run_is_paired_within_its_rounds_and_says_what_noise_alone_did(esrbench, runs[0])


def _what_became_wrong_fails_the_gate_and_is_not_judged(esrbench, runs, comment):
    done = esrbench("compare", *runs, "--fail-on", "wrong", "--markdown", comment)
    assert done.returncode == 1, done.stderr
    assert f"esrbench: {OTHER}: wrong: its picture was right in the base" in done.stderr
    assert "did not take turns" in " ".join(done.stdout.split())
    assert comment.read_text(encoding="utf-8").startswith("### head against base")


def _one_run_is_paired_within_its_rounds_and_says_what_noise_alone_did(esrbench, run):
    done = esrbench("compare", run, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["comparison"]
    assert found["paired"] is True
    assert [row["name"] for row in found["rows"]] == [FAKE, OTHER]
    assert all(row["judgement"]["ratio"]["rounds"] == 2 for row in found["rows"])
    assert any("under two names" in note for note in found["notes"])
