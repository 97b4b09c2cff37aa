"""The study of docs/measurement.md in small: whole runs on made-up machines, through the harness and the comparison."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from esrbench.verdict import Verdict

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The study's modules can be imported, and the timed loop has no garbage of others to look through."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import measurement_study  # noqa: F401  (before the freeze)

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, Verdict.SAME), (1.05, Verdict.SLOWER), (0.95, Verdict.FASTER)])
def test_on_a_drifting_machine_a_run_ends_itself_and_is_judged_rightly(slower: float, verdict: Verdict) -> None:
    from measurement_study import _compared

    for seed in range(3):
        found = _compared("drifting", slower, 60, seed)
        assert found.verdict is verdict
        assert 6 <= found.rounds < 60  # it stopped because it knew enough


def test_a_machine_that_disturbs_one_launch_in_five_takes_more_rounds_for_the_same_verdict() -> None:
    from measurement_study import _compared

    quiet, disturbed = (_compared(model, 1.05, 60, 1) for model in ("drifting", "bimodal"))
    assert quiet.verdict is disturbed.verdict is Verdict.SLOWER
    assert disturbed.rounds > quiet.rounds


def test_the_same_seed_gives_the_same_judgement() -> None:
    from measurement_study import _compared

    assert _compared("gaussian", 1.0, 10, 7) == _compared("gaussian", 1.0, 10, 7)


def test_a_job_of_equal_code_passes_and_one_that_made_a_target_slower_names_it() -> None:
    from gate_study import SLOWED, job

    for seed in range(3):
        equal, slowed = (job("drifting", 30, longer, seed) for longer in (1.0, 1.10))
        assert not equal.fails()
        assert slowed.named() == {SLOWED}
        assert equal.rounds in range(6, 31, 2)


def test_a_job_ends_when_nothing_is_unclear_or_its_rounds_are_used_up() -> None:
    from gate_study import job

    few, many = (job("gaussian", most, 1.0, 1) for most in (6, 30))
    assert few.is_unclear
    assert few.rounds == 6
    assert many.rounds > 6
    assert many.rounds == 30 or not many.is_unclear


def test_the_same_seed_gives_the_same_job() -> None:
    from gate_study import job

    assert job("bimodal", 12, 1.05, 7) == job("bimodal", 12, 1.05, 7)


def test_two_runs_apart_are_not_told_apart_by_what_a_drifting_machine_did_between_them() -> None:
    from apart_study import compared

    found = [compared("drifting", 5, 0, seed) for seed in range(5)]
    assert any(one.alone for one in found)
    assert not any(one.among for one in found)


def test_two_runs_apart_name_what_became_slower_and_nothing_else() -> None:
    from apart_study import compared

    found = [compared("gaussian", 3, 1, seed).among for seed in range(5)]
    assert set().union(*found) == {0}


def test_a_table_is_put_between_its_marks_and_nothing_else_changes(tmp_path: Path) -> None:
    from document import fill

    document = tmp_path / "measurement.md"
    document.write_text("before\n<!-- study a: begin -->\nold\n<!-- study a: end -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        fill(document, "study a", "new")
    text = document.read_text(encoding="utf-8")
    assert text == "before\n<!-- study a: begin -->\n\nnew\n\n<!-- study a: end -->\nafter\n"


def test_a_table_without_its_marks_is_refused_and_the_document_stays(tmp_path: Path) -> None:
    from document import fill

    document = tmp_path / "measurement.md"
    document.write_text("<!-- study a: begin -->\n", encoding="utf-8")
    with pytest.raises(ValueError, match="study a: end"):
        fill(document, "study a", "new")
    assert document.read_text(encoding="utf-8") == "<!-- study a: begin -->\n"


def test_the_document_has_a_place_for_every_table_of_the_study() -> None:
    text = (BENCHMARKS.parents[1] / "docs" / "measurement.md").read_text(encoding="utf-8")
    for name in ("verdicts", "coverage", "tables", "gate", "apart", "launches"):
        assert text.count(f"<!-- study {name}: begin -->") == text.count(f"<!-- study {name}: end -->") == 1
