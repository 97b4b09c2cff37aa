"""Two runs side by side, from made-up records with differences that are known."""

from pathlib import Path

import msgspec
import pytest
from recorded import TORCH, failed, fidelity, launch, placement, samples, workload, write_run
from sides import QUIET, at, changed, rounds_of, run_of, scaled

from esrbench.comparison import Comparison, Presence, Row, compare_runs, compare_within, took_turns
from esrbench.errors import UnknownNameError, UsageError
from esrbench.likeness import Aspect
from esrbench.pairing import Axis
from esrbench.record import Case, LaunchEnvironment, Resumption, Status, TuningRecord
from esrbench.rounds import Boundary
from esrbench.settings import Settings
from esrbench.store import Run
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import Target
from esrbench.verdict import Bar, Verdict

FAST, BF16, NCNN = "openvino@cpu:fp32", "openvino@cpu:bf16", "ncnn@cpu:fp32"
DRIFT = [1.0, 1.3, 0.8, 1.1, 0.9, 1.2, 1.0, 0.7]


def row_of(found: Comparison, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


def verdicts(found: Comparison) -> dict[str, Verdict]:
    return {row.name: row.judgement.verdict for row in found.rows if row.judgement}


def test_of_two_runs_that_took_turns_each_case_is_judged_within_rounds(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: DRIFT, FAST: scaled(DRIFT, 0.5)})
    head = run_of(tmp_path / "head", {TORCH: scaled(DRIFT, 1.0), FAST: scaled(DRIFT, 0.53)}, from_minute=0.4)
    found = compare_runs(base, head)
    assert found.paired
    assert verdicts(found) == {TORCH: Verdict.SAME, FAST: Verdict.SLOWER}
    judgement = row_of(found, FAST).judgement
    assert judgement is not None
    assert judgement.ratio is not None
    assert judgement.ratio.value == pytest.approx(0.5 / 0.53, rel=1e-3)


def test_of_two_runs_one_after_the_other_the_drift_is_in_the_interval_and_the_reader_is_told(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: DRIFT, FAST: scaled(DRIFT, 0.5)})
    head = run_of(tmp_path / "head", {TORCH: DRIFT, FAST: scaled(DRIFT, 0.53)}, from_minute=60)
    found = compare_runs(base, head)
    assert not found.paired
    assert verdicts(found) == {TORCH: Verdict.UNCLEAR, FAST: Verdict.UNCLEAR}
    assert any("not paired" in note and "Welch" in note for note in found.notes)


def test_a_machine_that_became_slower_between_two_runs_is_no_slower_code(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET, FAST: scaled(QUIET, 0.5), NCNN: scaled(QUIET, 0.8)})
    slower = {TORCH: scaled(QUIET, 1.2), FAST: scaled(QUIET, 0.6), NCNN: scaled(QUIET, 0.96)}
    found = compare_runs(base, run_of(tmp_path / "head", slower, from_minute=60))
    assert set(verdicts(found).values()) == {Verdict.UNCLEAR}
    assert all(row.judgement and row.judgement.more_rounds is None for row in found.rows)
    assert all(row.judgement and row.judgement.changed_as_others_did for row in found.rows)
    assert any("only where the case changed against the other cases too" in note for note in found.notes)


def test_code_that_became_slower_between_two_runs_is_found_on_a_machine_that_did_so_too(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET, FAST: scaled(QUIET, 0.5), NCNN: scaled(QUIET, 0.8)})
    slower = {TORCH: scaled(QUIET, 1.1), FAST: scaled(QUIET, 0.55), NCNN: scaled(QUIET, 1.0)}
    found = compare_runs(base, run_of(tmp_path / "head", slower, from_minute=60))
    assert verdicts(found) == {TORCH: Verdict.UNCLEAR, FAST: Verdict.UNCLEAR, NCNN: Verdict.SLOWER}


def test_slower_code_that_a_faster_machine_hides_is_not_the_same(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET, FAST: scaled(QUIET, 0.5), NCNN: scaled(QUIET, 0.8)})
    hidden = {TORCH: scaled(QUIET, 0.9), FAST: scaled(QUIET, 0.45), NCNN: scaled(QUIET, 0.8)}
    found = compare_runs(base, run_of(tmp_path / "head", hidden, from_minute=60))
    judgement = row_of(found, NCNN).judgement
    assert judgement is not None
    assert judgement.verdict is Verdict.UNCLEAR
    assert judgement.changed_against_others
    assert judgement.more_rounds is None


def test_two_runs_of_a_single_case_say_that_nothing_tells_the_machine_from_the_code(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET})
    found = compare_runs(base, run_of(tmp_path / "head", {TORCH: scaled(QUIET, 1.2)}, from_minute=60))
    assert verdicts(found) == {TORCH: Verdict.SLOWER}
    assert any("nothing to tell the machine from the code" in note for note in found.notes)


def test_runs_that_overlap_without_taking_turns_are_not_paired(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET})
    assert not took_turns(base, run_of(tmp_path / "later", {TORCH: QUIET}, from_minute=1.5))
    assert took_turns(base, run_of(tmp_path / "between", {TORCH: QUIET}, from_minute=0.5))
    assert not took_turns(base, run_of(tmp_path / "once", {TORCH: QUIET[:1]}, from_minute=0.5))


def test_what_was_measured_and_is_no_more_is_vanished_or_wrong_and_never_judged(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET, FAST: QUIET, BF16: QUIET})
    lost = [failed(FAST, Status.CRASHED, "killed by SIGSEGV"), failed(BF16, Status.WRONG, "20 dB, under its gate")]
    head = run_of(tmp_path / "head", {TORCH: QUIET, NCNN: QUIET}, extra=lost)
    found = compare_runs(base, head)
    assert {row.name: row.presence for row in found.rows} == {
        TORCH: Presence.BOTH,
        FAST: Presence.VANISHED,
        BF16: Presence.WRONG,
        NCNN: Presence.APPEARED,
    }
    assert list(verdicts(found)) == [TORCH]
    assert (row_of(found, FAST).head.status, row_of(found, FAST).head.reason) == (Status.CRASHED, "killed by SIGSEGV")


def test_a_case_that_the_head_does_not_name_at_all_has_vanished(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET, FAST: QUIET})
    found = compare_runs(base, run_of(tmp_path / "head", {TORCH: QUIET}))
    assert row_of(found, FAST).presence is Presence.VANISHED
    assert row_of(found, FAST).head.status_word == "not in the run"


def test_no_smaller_difference_is_claimed_than_the_control_case_shows(tmp_path: Path) -> None:
    control = Case(target=Target(TORCH), workload="t48b1", control=True)

    def with_control(name: str, apart: float, fast: float, minute: float) -> Comparison:
        second = [msgspec.structs.replace(each, case=control) for each in rounds_of(TORCH, scaled(QUIET, apart))]
        base = run_of(tmp_path / f"{name}-base", {TORCH: QUIET, FAST: QUIET})
        head = run_of(
            tmp_path / f"{name}-head", {TORCH: QUIET, FAST: scaled(QUIET, fast)}, from_minute=minute, extra=second
        )
        return compare_runs(base, head)

    noisy = with_control("noisy", 1.08, 1.06, 0.4)
    assert noisy.bar.noise == pytest.approx(0.08, abs=0.001)
    assert verdicts(noisy)[FAST] is Verdict.UNCLEAR
    assert any("under two names" in note for note in noisy.notes)
    assert verdicts(with_control("quiet", 1.001, 1.06, 0.4))[FAST] is Verdict.SLOWER


def test_the_control_case_is_no_row(tmp_path: Path) -> None:
    control = Case(target=Target(TORCH), workload="t48b1", control=True)
    second = [msgspec.structs.replace(each, case=control) for each in rounds_of(TORCH, QUIET)]
    run = run_of(tmp_path / "run", {TORCH: QUIET, FAST: scaled(QUIET, 0.5)}, extra=second)
    assert [row.name for row in compare_within(run, Axis.TARGET).rows] == [FAST]
    assert [row.name for row in compare_runs(run, run).rows] == [TORCH, FAST]


def test_unlike_runs_are_refused_and_each_difference_named_with_both_values(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET})
    head = changed(
        run_of(tmp_path / "head", {TORCH: QUIET}),
        environment={"cpu": "Intel Xeon", "versions": {"torch": "2.14.0", "onnxruntime-gpu": "1.27.0"}},
        model={"weights_sha256": "cd" * 32},
        workloads=(msgspec.structs.replace(workload(), threads=4, pixels_sha256="1" * 64),),
    )
    with pytest.raises(UsageError) as refusal:
        compare_runs(base, head)
    message = str(refusal.value)
    for difference in (
        "machine: processor: AMD EPYC | Intel Xeon",
        "weights: weights: abababababab… | cdcdcdcdcdcd…",
        "workload: pixels of t48b1: 000000000000… | 111111111111…",
        "threads: threads of t48b1: 2 | 4",
        "versions: torch: 2.13.0 | 2.14.0",
    ):
        assert difference in message
    assert "--allow machine --allow weights --allow workload --allow threads --allow versions" in message


def test_only_what_is_allowed_may_differ_and_it_is_told(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET})
    head = changed(run_of(tmp_path / "head", {TORCH: QUIET}), environment={"cpu": "Intel Xeon", "python": "3.12.0"})
    with pytest.raises(UsageError, match=r"versions: Python: 3\.11\.2 \| 3\.12\.0") as refusal:
        compare_runs(base, head, allowed=[Aspect.MACHINE])
    assert "Intel" not in str(refusal.value)
    found = compare_runs(base, head, allowed=[Aspect.MACHINE, Aspect.VERSIONS])
    assert {(each.what, each.base, each.head) for each in found.allowed} == {
        ("processor", "AMD EPYC", "Intel Xeon"),
        ("Python", "3.11.2", "3.12.0"),
    }


def test_a_driver_that_only_the_runtime_knows_is_a_version_too(tmp_path: Path) -> None:
    def with_driver(name: str, version: str) -> object:
        proof = msgspec.structs.replace(placement(), versions={"torch": "2.13.0", "driver": version})
        return write_run(tmp_path / name, [launch(TORCH, placement=proof)])

    with pytest.raises(UsageError, match=rf"versions: driver of {TORCH}: 550 \| 560"):
        compare_runs(with_driver("base", "550"), with_driver("head", "560"))  # type: ignore[arg-type]


def with_options(folder: Path, *each: dict[str, str]) -> Run:
    """A launch of FAST a round, whose runtime says so of its options."""
    proofs = [msgspec.structs.replace(placement(), options=options) for options in each]
    made = [launch(FAST, round_=round_, placement=proof) for round_, proof in enumerate(proofs)]
    return write_run(folder, [launch(TORCH), *made])


def with_tuning(run: Run, **values: str) -> Run:
    tuning = TuningRecord(
        target=Target(FAST),
        workload="t48b1",
        chosen=Settings(values=values),
        trials=(),
        tuned_at=at(0),
        elapsed_s=1.0,
    )
    return msgspec.structs.replace(run, tunings=(tuning,))


def test_launches_that_found_other_variables_are_refused_and_what_reached_none_is_no_difference(tmp_path: Path) -> None:
    base, head, older = (run_of(tmp_path / name, {TORCH: QUIET}) for name in ("base", "head", "older"))
    base = changed(base, launch_environment=LaunchEnvironment(dropped=("OMP_DYNAMIC",), passed={"CC": "gcc"}))
    clean = changed(base, launch_environment=LaunchEnvironment(passed={"CC": "gcc"}))
    head = changed(head, launch_environment=LaunchEnvironment(asked={"OMP_DYNAMIC": "1"}, passed={"CC": "gcc"}))
    with pytest.raises(UsageError, match=r"  environment: OMP_DYNAMIC: none \| 1\n.*--allow environment"):
        compare_runs(base, head)
    assert compare_runs(base, clean).allowed == compare_runs(older, head).allowed == ()


def test_runtimes_that_were_set_otherwise_are_refused_and_told_by_leave(tmp_path: Path) -> None:
    base = with_options(tmp_path / "base", {"streams": "1", "pinning": "on"})
    head = with_options(tmp_path / "head", {"streams": "2", "pinning": "on"})
    with pytest.raises(UsageError, match=rf"  settings: streams of {FAST}: 1 \| 2\n.*--allow settings"):
        compare_runs(base, head)
    (told,) = compare_runs(base, head, allowed=[Aspect.SETTINGS]).allowed
    assert (told.what, told.base, told.head) == (f"streams of {FAST}", "1", "2")


def test_what_a_tuning_chose_is_compared_with_the_default_where_nothing_else_is_known(tmp_path: Path) -> None:
    base = with_options(tmp_path / "base", {"streams": "1"})
    with pytest.raises(UsageError, match=rf"settings: sgemm of {FAST}: default \| 0"):
        compare_runs(base, with_tuning(base, sgemm="0"))
    compare_runs(base, with_tuning(base, streams="1"))
    compare_runs(with_tuning(base, sgemm="0"), with_tuning(base, sgemm="0"))


def test_what_a_launch_found_or_only_one_side_tells_is_no_setting(tmp_path: Path) -> None:
    base = with_options(tmp_path / "base", {"engine": "built", "heap_mib": "9", "num_threads": "1"}, {"engine": "kept"})
    head = with_options(tmp_path / "head", {"engine": "kept", "heap_mib": "7", "num_threads": "2", "new": "1"})
    compare_runs(base, head)


def test_a_cached_engine_and_its_librarys_version_are_no_settings(tmp_path: Path) -> None:
    base = with_options(tmp_path / "base", {"engine": "built", "tensorrt": "101300", "engine_build_s": "40"})
    head = with_options(tmp_path / "head", {"engine": "cached", "tensorrt": "101400", "engine_build_s": "41"})
    compare_runs(base, head)


def test_runs_that_warmed_up_or_measured_for_other_times_are_refused(tmp_path: Path) -> None:
    suite = Suite(name="s", model="m", workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),))
    run = run_of(tmp_path / "run", {TORCH: QUIET})
    base = changed(run, settings=suite)
    with pytest.raises(UsageError) as refusal:
        compare_runs(base, changed(run, settings=msgspec.structs.replace(suite, warmup_s=9.0, measure_s=0.5)))
    assert "settings: warm-up: 3 s | 9 s\n  settings: timed loop: 1 s | 0.5 s" in str(refusal.value)
    compare_runs(base, run)  # of an older schema, which does not tell


def test_a_kernel_that_keeps_a_little_more_memory_for_itself_is_the_same_machine(tmp_path: Path) -> None:
    base = run_of(tmp_path / "base", {TORCH: QUIET})
    compare_runs(base, changed(base, environment={"memory_bytes": 23_900_000_000}))
    with pytest.raises(UsageError, match=r"memory: 24\.0 GB \| 12\.0 GB"):
        compare_runs(base, changed(base, environment={"memory_bytes": 12_000_000_000}))


def test_runs_without_a_case_in_common_are_refused(tmp_path: Path) -> None:
    base, head = run_of(tmp_path / "base", {TORCH: QUIET}), run_of(tmp_path / "head", {FAST: QUIET})
    with pytest.raises(UsageError, match="no case in common"):
        compare_runs(base, head)


def test_targets_of_one_run_are_compared_with_the_reference_or_with_one_of_them(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {TORCH: QUIET, FAST: scaled(QUIET, 0.5), NCNN: scaled(QUIET, 0.55)})
    assert verdicts(compare_within(run, Axis.TARGET)) == {FAST: Verdict.FASTER, NCNN: Verdict.FASTER}
    assert verdicts(compare_within(run, Axis.TARGET, FAST)) == {TORCH: Verdict.SLOWER, NCNN: Verdict.SLOWER}
    with pytest.raises(UnknownNameError, match=r"no target of run is named 'tvm@cpu:fp32'"):
        compare_within(run, Axis.TARGET, "tvm@cpu:fp32")


def test_precisions_are_compared_on_the_same_runtime_and_device(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {TORCH: QUIET, FAST: QUIET, BF16: scaled(QUIET, 0.6), "ncnn@cpu:bf16": QUIET})
    found = compare_within(run, Axis.PRECISION)
    assert verdicts(found) == {BF16: Verdict.FASTER}
    assert row_of(found, BF16).judgement is not None
    assert verdicts(compare_within(run, Axis.PRECISION, "bf16")) == {FAST: Verdict.SLOWER}


def test_tiles_are_compared_by_output_pixels_a_second_and_by_nothing_else(tmp_path: Path) -> None:
    """Twice the side in the same time is four times the speed."""
    launches = [*rounds_of(TORCH, QUIET), *rounds_of(TORCH, scaled(QUIET, 1.0), workload_id="t96b1")]
    run = write_run(tmp_path / "run", launches, workloads=[workload(), workload("t96b1", tile=96, side=200)])
    found = compare_within(run, Axis.TILE)
    judgement = row_of(found, f"{TORCH} t96b1").judgement
    assert judgement is not None
    assert judgement.ratio is not None
    assert judgement.ratio.value == pytest.approx(4.0, rel=1e-3)
    assert [row.name for row in compare_within(run, Axis.TILE, "96").rows] == [f"{TORCH} t48b1"]
    with pytest.raises(UsageError, match="tiles of unlike size do unlike work"):
        compare_within(run, Axis.TILE, boundary=Boundary.TILE)


def test_a_run_with_nothing_to_compare_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {TORCH: QUIET})
    for axis in Axis:
        with pytest.raises(UsageError, match=f"nothing to compare by {axis}"):
            compare_within(run, axis)


@pytest.mark.parametrize(
    ("boundary", "unit", "level"), [("image", "Mpix/s", 0.16), ("tile", "ms", 110.0), ("cold", "s", 2.0)]
)
def test_each_boundary_has_its_own_figures(tmp_path: Path, boundary: str, unit: str, level: float) -> None:
    run = run_of(tmp_path / "run", {TORCH: [1.0] * 3})
    found = compare_runs(run, run, boundary=Boundary(boundary))
    assert (found.unit, found.rows[0].base.level) == (unit, pytest.approx(level))


def test_that_a_run_has_no_end_is_not_said_of_runs_that_took_turns(tmp_path: Path) -> None:
    """They are paused after every round."""
    for minute, said in ((0.5, 0), (60, 2)):
        runs = [
            msgspec.structs.replace(run_of(tmp_path / f"{name}{minute}", {TORCH: QUIET}, from_minute=at), end=None)
            for name, at in (("base", 0), ("head", minute))
        ]
        notes = compare_runs(*runs).notes
        assert sum("no end on record" in note for note in notes) == said


def test_a_run_that_went_on_after_a_change_or_has_no_end_says_so(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {TORCH: QUIET})
    resumed = Resumption(
        resumed_at=at(3),
        sequence=3,
        esrbench_version="0.1.0",
        environment=run.record.environment,
        changes=("torch: 2.13.0 is now 2.14.0",),
    )
    later = run_of(tmp_path / "later", {TORCH: QUIET}, from_minute=60)
    notes = compare_runs(run, msgspec.structs.replace(later, resumptions=(resumed,), end=None)).notes
    assert any("no end on record" in note for note in notes)
    assert any("resumed although this had changed: torch: 2.13.0 is now 2.14.0" in note for note in notes)


def test_what_one_round_measured_is_unclear_whatever_it_shows(tmp_path: Path) -> None:
    base, head = run_of(tmp_path / "base", {TORCH: [1.0]}), run_of(tmp_path / "head", {TORCH: [2.0]})
    found = compare_runs(base, head, bar=Bar(worth=0.1))
    assert verdicts(found) == {TORCH: Verdict.UNCLEAR}
    assert found.rows[0].judgement is not None
    assert found.rows[0].judgement.more_rounds == 5


def test_a_wrong_picture_on_both_sides_is_judged_on_neither(tmp_path: Path) -> None:
    wrong = launch(FAST, status=Status.WRONG, reason="why", samples=samples(0.1), fidelity=fidelity(1e-2))
    run = run_of(tmp_path / "run", {TORCH: QUIET}, extra=[wrong])
    assert row_of(compare_runs(run, run), FAST).presence is Presence.NEITHER


def test_rounds_begin_where_processes_did(tmp_path: Path) -> None:
    """A target that was refused has a record in round 0 and no process; it says nothing about turns."""
    refused = msgspec.structs.replace(failed(FAST, Status.UNAVAILABLE), started_at=at(500), wall_ns=None)
    base = run_of(tmp_path / "base", {TORCH: QUIET}, extra=[refused])
    assert took_turns(base, run_of(tmp_path / "head", {TORCH: QUIET}, from_minute=0.5))
