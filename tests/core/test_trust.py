"""How far a run can be trusted: what the report says of noise, warm-up, new shapes and interruptions."""

import msgspec
import pytest
from recorded import TORCH, environment, launch, samples, write_run

from esrbench.case_summary import ranking, summarise
from esrbench.record import Case, Clocks, GpuClocks, NewShape, Noise, Resumption, RunEnd, Warmup
from esrbench.report.findings import noise_notes, trust
from esrbench.report.page import page
from esrbench.report.quiet import noise_table
from esrbench.report.summary import summary_md
from esrbench.store import RunWriter, read_run
from esrbench.target import Target

CONTROL = Case(target=Target(TORCH), workload="t48b1", control=True)
NCNN = "ncnn@cpu:fp32"


def twice(*ratios):
    """The reference under two names, the second this many times as fast, a round each."""
    plain = [launch(TORCH, round_=round_) for round_ in range(len(ratios))]
    second = [
        msgspec.structs.replace(launch(TORCH, round_=round_, samples=samples(1 / ratio)), case=CONTROL)
        for round_, ratio in enumerate(ratios)
    ]
    return [*plain, *second]


def test_the_noise_floor_is_the_ratio_of_a_case_to_itself(tmp_path):
    run = write_run(tmp_path / "run", twice(1.01, 0.99, 1.0))
    (floor,) = trust(run)
    # logarithms ±0.01 and 0: t(2) = 4.303 times 0.01 / √3 = 0.0248
    assert floor == (
        f"Noise floor: {TORCH} on t48b1, measured under two names, is 1.00× as fast as itself (0.98–1.03, 3 rounds): "
        "a difference of less than 2.5% may be noise."
    )
    assert floor in noise_notes(run, summarise(run))
    assert "Noise floor" in summary_md([run])


def test_one_round_shows_noise_without_its_reach(tmp_path):
    run = write_run(tmp_path / "run", twice(1.05))
    (floor,) = trust(run)
    assert "in one round: how far noise reaches is not known" in floor


def test_rounds_that_disagree_show_noise_without_its_reach(tmp_path):
    run = write_run(tmp_path / "run", twice(0.1, 0.7))
    floor = trust(run)[0]
    assert "over 2 rounds that disagree: how far noise reaches is not known" in floor


def test_the_control_is_no_row_of_its_own(tmp_path):
    run = write_run(tmp_path / "run", twice(1.0, 1.0))
    assert [row.target for row in ranking(summarise(run))] == [TORCH]


def with_warmup(target, *times_ns, steady):
    made = msgspec.structs.replace(samples(), warmups=(Warmup(tiles=1, times_ns=times_ns, steady=steady),))
    return launch(target, samples=made)


def test_a_warm_up_that_never_settled_is_said(tmp_path):
    launches = [with_warmup(TORCH, 9, 7, 8, steady=True), with_warmup(NCNN, 9, 7, 8, steady=False)]
    run = write_run(tmp_path / "run", launches)
    (note,) = [note for note in noise_notes(run, summarise(run)) if "warm-up" in note]
    assert note.endswith(f"varying by more than 2 %: {NCNN}.")


def test_a_warm_up_too_short_to_tell_is_said(tmp_path):
    launches = [with_warmup(TORCH, 9, 9, 9, steady=True), with_warmup(NCNN, 9, 8, steady=False)]
    run = write_run(tmp_path / "run", launches)
    (note,) = [note for note in noise_notes(run, summarise(run)) if "arm-up" in note]
    assert "after fewer than 3 tiles of a shape, too few to tell" in note
    assert note.endswith(f": {NCNN}.")


def test_why_no_new_shape_was_timed_is_said_once_a_reason(tmp_path):
    refused = msgspec.structs.replace(samples(), new_shape=NewShape(side_px=24, reason="refused: fixed shape"))
    run = write_run(tmp_path / "run", [launch(target, samples=refused) for target in (TORCH, NCNN)])
    notes = noise_notes(run, summarise(run))
    assert f"No new shape was timed for {TORCH}, {NCNN}: refused: fixed shape." in notes


def test_a_refusal_that_names_its_own_target_is_the_same_reason_as_anothers(tmp_path):
    def refusing(target):
        reason = f"refused: {target}: compiled for one size"
        return launch(target, samples=msgspec.structs.replace(samples(), new_shape=NewShape(reason=reason)))

    run = write_run(tmp_path / "run", [refusing(TORCH), refusing(NCNN)])
    notes = noise_notes(run, summarise(run))
    assert f"No new shape was timed for {TORCH}, {NCNN}: refused: compiled for one size." in notes


def test_what_went_wrong_after_the_numbers_is_said_beside_them(tmp_path):
    late = NewShape(side_px=24, first_ns=2, again_ns=1, reason="after the measurement: closing the session failed")
    run = write_run(tmp_path / "run", [launch(TORCH, samples=msgspec.structs.replace(samples(), new_shape=late))])
    notes = noise_notes(run, summarise(run))
    assert f"Measured, and then not all went well for {TORCH}: {late.reason}." in notes


def test_a_run_that_was_stopped_and_resumed_says_so_and_what_changed(tmp_path):
    run = write_run(tmp_path / "run", [launch(TORCH)], ended=False)
    writer = RunWriter(run.folder)
    writer.interrupted(RunEnd(ended_at="2026", elapsed_s=5, notes=(), interrupted=True), 1)
    stopped = read_run(run.folder)
    assert any("Its user stopped the run" in note for note in noise_notes(stopped, summarise(stopped)))
    changes = ("versions: torch: 2.13, now 2.14",)
    writer.resumed(
        Resumption(resumed_at="2026", sequence=1, esrbench_version="1", environment=environment(), changes=changes)
    )
    resumed = read_run(run.folder)
    assert any(changes[0] in note for note in noise_notes(resumed, summarise(resumed)))


@pytest.fixture
def noisy(tmp_path):
    gpu = GpuClocks(sm_mhz=1410, max_sm_mhz=1980, temperature_c=80, held_back=("power cap",))
    return write_run(
        tmp_path / "run",
        [
            launch(TORCH, noise=Noise(other_cores=0.45, load_before=1.5)),
            launch("torch@cuda:fp16", noise=Noise(other_cores=0.01), clocks=Clocks(cpu_mhz=None, gpu=gpu)),
        ],
    )


def test_noise_is_a_table_of_what_this_system_tells(noisy):
    table = noise_table(noisy)
    assert table is not None
    assert [gauge.head for gauge in table.gauges] == ["other processes", "load before", "GPU"]
    assert table.rows[0] == ("0", "1", f"{TORCH} t48b1", "3.00", "45%", "1.50", "–")
    assert table.rows[1][-1] == "1410 of 1980 MHz, 80 °C, power cap"


def test_the_page_shows_the_advice_and_the_table(noisy):
    text = page([noisy], [[]])
    assert "Other processes used 45% of a core during 1 of 2 launches" in text
    assert "What the machine did during each of the 2 launches" in text


def test_a_run_of_schema_one_has_no_such_table(tmp_path):
    assert noise_table(write_run(tmp_path / "run", [launch(TORCH)])) is None
