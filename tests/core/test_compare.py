"""Rows and answers from made-up runs, against numbers worked out by hand."""

import csv
import io
import math
from pathlib import Path

import msgspec
import pytest
from recorded import TORCH, failed, fidelity, launch, memory, placement, samples, workload, write_run
from rich.console import Console

from esrbench.compare import CaseSummary, answer, ranking, summarise
from esrbench.comparison import compare_within
from esrbench.frontier import spots
from esrbench.pairing import Axis
from esrbench.record import Case, LaunchRecord, Status
from esrbench.report import terminal_table
from esrbench.report.page import page
from esrbench.report.summary import summary_csv, summary_md
from esrbench.runner import DeviceType
from esrbench.store import Run, read_run
from esrbench.target import Target
from esrbench.verdict import Verdict

FAST = "openvino@cpu:bf16"
FULL = "ncnn@cpu:fp32"


def row_of(run: Run, target: str) -> CaseSummary:
    return next(row for row in summarise(run) if row.target == target)


def exact(target: str = TORCH, **fields: object) -> LaunchRecord:
    return launch(target, **{"fidelity": fidelity(0.0, ssim=1.0, worst_abs=0.0), **fields})  # type: ignore[arg-type]


def rounds_of(target: str, seconds: list[float], **fields: object) -> list[LaunchRecord]:
    return [
        launch(target, round_=round_, **{"samples": samples(image_s), **fields})
        for round_, image_s in enumerate(seconds)
    ]


def test_throughput_counts_the_pixels_of_the_finished_picture(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [exact(samples=samples([1.0, 2.0, 9.0]))])
    # 100 × 100 px at ×4 are 0.16 megapixels; the median pass took 2 s
    assert row_of(run, TORCH).throughput_mpix_s == pytest.approx(0.08)


def test_latency_is_the_median_of_the_launches_medians_whatever_the_batch(tmp_path: Path) -> None:
    launches = [
        exact(round_=0, samples=samples(tile_ms=[90.0, 100.0, 500.0])),
        exact(round_=1, samples=samples(tile_ms=[120.0, 120.0, 120.0])),
        exact(round_=2, samples=samples(tile_ms=[300.0, 300.0, 300.0])),
    ]
    run = write_run(tmp_path / "run", launches, workloads=[workload(batch=4)])
    assert row_of(run, TORCH).latency_ms == pytest.approx(120.0)


def test_speedup_is_paired_within_rounds_so_that_drift_cancels(tmp_path: Path) -> None:
    drift = [1.0, 1.3, 0.8]
    run = write_run(tmp_path / "run", [*rounds_of(TORCH, drift), *rounds_of(FAST, [s / 2 for s in drift])])
    row = row_of(run, FAST)
    assert (row.speedup, row.speedup_low, row.speedup_high) == pytest.approx((2.0, 2.0, 2.0))
    assert row.throughput_low is not None
    assert row.throughput_mpix_s is not None
    assert row.throughput_low < row.throughput_mpix_s  # the drift is there, in the unpaired number


def test_one_round_has_no_interval(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "run", [exact(), launch(FAST)]), FAST)
    assert row.speedup == pytest.approx(1.0)
    assert (row.speedup_low, row.speedup_high, row.throughput_low) == (None, None, None)


def test_memory_is_the_largest_and_fidelity_the_worst_of_the_launches(tmp_path: Path) -> None:
    launches = [
        launch(FAST, round_=0, memory=memory(300, 50), fidelity=fidelity(1e-6, ssim=0.99)),
        launch(FAST, round_=1, memory=memory(320, None), fidelity=fidelity(1e-5, ssim=0.98)),
    ]
    row = row_of(write_run(tmp_path / "run", launches), FAST)
    assert (row.peak_ram_mb, row.device_memory_mb) == pytest.approx((320, 50))
    assert (row.psnr_db, row.ssim) == pytest.approx((50.0, 0.98))


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [launch(FAST, memory=memory(None))])
    row = row_of(run, FAST)
    assert row.ranked
    assert (row.peak_ram_mb, row.device_memory_mb, row.speedup) == (None,) * 3
    assert (row.latency_p90_ms, row.latency_p99_ms) == (None, None)


def test_an_identical_picture_has_an_infinite_psnr(tmp_path: Path) -> None:
    row = row_of(write_run(tmp_path / "run", [exact()]), TORCH)
    assert row.psnr_db == math.inf
    assert row.mse == 0


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK])
def test_only_an_ok_case_has_a_speed(tmp_path: Path, status: Status) -> None:
    wrong = launch(FAST, status=status, reason="why", samples=samples(0.1), memory=memory(), fidelity=fidelity(1e-2))
    row = row_of(write_run(tmp_path / "run", [exact(), wrong]), FAST)
    assert (row.status, row.reason, row.ranked) == (status, "why", False)
    assert (row.speedup, row.throughput_mpix_s, row.latency_ms, row.peak_ram_mb) == (None, None, None, None)
    assert row.psnr_db == pytest.approx(20.0)


def test_a_case_that_failed_once_shows_its_worst_status_and_how_often(tmp_path: Path) -> None:
    launches = [
        launch(FAST, round_=0),
        launch(FAST, round_=1, status=Status.TIMEOUT, reason="too slow"),
        launch(FAST, round_=2, status=Status.CRASHED, reason="signal 9"),
    ]
    row = row_of(write_run(tmp_path / "run", launches), FAST)
    assert (row.status, row.reason) == (Status.CRASHED, "1 of 3 launches: signal 9")
    assert not row.ranked


def test_a_case_without_a_launch_has_no_status(tmp_path: Path) -> None:
    cases = [Case(target=Target(TORCH), workload="t48b1"), Case(target=Target(FAST), workload="t48b1")]
    row = row_of(write_run(tmp_path / "run", [exact()], cases=cases, ended=False), FAST)
    assert row.status is None
    assert row.status_word == "not run"


def test_the_ranking_puts_the_fastest_first_and_the_misleading_before_the_unavailable(tmp_path: Path) -> None:
    launches = [
        exact(),
        failed("torch@cuda:fp32", Status.UNAVAILABLE),
        failed("onnxruntime@cpu:int8", Status.WRONG),
        launch(FAST, samples=samples(0.5)),
    ]
    names = [row.target for row in ranking(summarise(write_run(tmp_path / "run", launches)))]
    assert names == [FAST, TORCH, "onnxruntime@cpu:int8", "torch@cuda:fp32"]


def test_the_answer_names_the_fastest_its_interval_its_picture_and_its_memory(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.02, 1.01], fidelity=fidelity(0.0)),
        *rounds_of(FAST, [0.5, 0.505, 0.51]),
        *rounds_of(FULL, [0.8, 0.81, 0.82]),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert text.startswith(
        "On this machine (AMD EPYC, 2 cores) `openvino@cpu:bf16` is 2.00× as fast as `torch@cpu:fp32` ("
    )
    assert "draws the same picture to 60.0 dB and peaks at 0.34 GB" in text
    assert "the fastest at full precision is `ncnn@cpu:fp32` at 1.25× (" in text


def test_the_answer_says_how_many_times_upstreams_way_the_best_is(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0], fidelity=fidelity(0.0)),
        *rounds_of(FAST, [0.5, 0.5, 0.5]),
        *rounds_of("torch-nchw@cpu:fp32", [1.25, 1.25, 1.25]),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert "peaks at 0.34 GB; that is 2.50× upstream's way, `torch-nchw@cpu:fp32` (2.50–2.50)" in text


@pytest.mark.parametrize(("control_s", "doubted"), [(0.05, True), (17.0, True), (1.1, False)])
def test_the_answer_warns_where_the_same_case_had_two_speeds(tmp_path: Path, control_s: float, doubted: bool) -> None:
    control = exact(samples=samples(control_s))
    control = msgspec.structs.replace(control, case=msgspec.structs.replace(control.case, control=True))
    text = answer(write_run(tmp_path / "run", [exact(), control, launch(FAST, samples=samples(0.5))]))
    assert ("Do not rely on it: `torch@cpu:fp32`, measured twice, was " in text) is doubted


def test_a_ratio_to_upstreams_way_that_is_not_known_is_not_said(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0], fidelity=fidelity(0.0)),
        *rounds_of(FAST, [0.5, 0.435]),
        *rounds_of("torch-nchw@cpu:fp32", [1.0, 1.15]),  # known by itself, and so is the other
    ]
    run = write_run(tmp_path / "run", launches)
    assert all(row.throughput_mpix_s for row in summarise(run))
    assert "upstream" not in answer(run)


def test_upstreams_way_is_that_of_the_same_device(tmp_path: Path) -> None:
    on_gpu = placement(DeviceType.GPU, "a GPU")
    launches = [
        exact(),
        launch("torch-nchw@cpu:fp32", samples=samples(1.25)),
        launch("torch-nchw@cuda:fp32", placement=on_gpu, samples=samples(0.4)),
        launch("torch-nchw@cuda:fp16", placement=on_gpu, samples=samples(0.3)),
        launch("torch@cuda:fp16", placement=on_gpu, samples=samples(0.1)),
    ]
    assert "that is 3.00× upstream's way, `torch-nchw@cuda:fp16`" in answer(write_run(tmp_path / "run", launches))
    text = answer(write_run(tmp_path / "alone", launches[:2]))
    assert "upstream" not in text  # nothing is faster than the reference


def test_the_answer_says_when_there_is_no_interval(tmp_path: Path) -> None:
    text = answer(write_run(tmp_path / "run", [exact(), launch(FAST, samples=samples(0.5))]))
    assert "2.00× as fast as `torch@cpu:fp32` (one launch, no interval)" in text
    assert "at full precision nothing measured is faster than `torch@cpu:fp32`" in text


def test_the_answer_does_not_call_noise_a_speedup(tmp_path: Path) -> None:
    launches = [*rounds_of(TORCH, [1.0, 1.0, 1.0]), *rounds_of(FULL, [0.7, 1.2, 0.9])]
    assert "not clearly faster than `torch@cpu:fp32`: 1.11×" in answer(write_run(tmp_path / "run", launches))


def test_the_answer_names_a_runner_up_that_the_run_cannot_tell_from_the_best(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0]),
        *rounds_of(FAST, [0.5, 0.52, 0.51]),
        *rounds_of("torch@cpu:bf16", [0.52, 0.51, 0.51]),
    ]
    assert "; it is not clearly ahead of `torch@cpu:bf16`;" in answer(write_run(tmp_path / "run", launches))


def test_those_that_are_not_told_from_the_best_are_listed_in_words(tmp_path: Path) -> None:
    slightly_slower = ("torch@cpu:bf16", "ncnn@cpu:bf16", "openvino@cpu:fp32")
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0]),
        *rounds_of(FAST, [0.5, 0.515, 0.505]),
        *(launch for target in slightly_slower for launch in rounds_of(target, [0.52, 0.51, 0.51])),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert "; it is not clearly ahead of `ncnn@cpu:bf16`, `openvino@cpu:fp32` and `torch@cpu:bf16`;" in text


DISTURBED = [7.031, 0.538, 0.503]
"""Seconds a pass of one target in three rounds, of a real run beside other programs."""


def test_a_target_whose_rounds_tell_no_speed_has_none_anywhere_and_is_named(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [0.836, 0.570, 0.560]),
        *rounds_of(FAST, [0.092, 0.092, 0.097]),
        *rounds_of("openvino@cpu:fp32", [0.557, 0.446, 0.455]),
        *rounds_of(FULL, DISTURBED),
    ]
    run = write_run(tmp_path / "run", launches)
    row = row_of(run, FULL)
    assert row.speed_unknown
    assert (row.speedup, row.throughput_mpix_s, row.latency_ms, row.gflops_s) == (None, None, None, None)
    assert ranking(summarise(run))[-1] == row
    text = answer(run)
    assert text.count(FULL) == 1
    assert text.endswith(f"Not known is the speed of `{FULL}`, whose rounds disagree.")
    reason = "a pass took 503 to 7031 ms in 3 rounds, which disagree too far to tell a speed"
    console = Console(width=300, file=io.StringIO(), record=True)
    console.print(terminal_table(run))
    for shown in (console.export_text(), summary_md([run]), page([run], [[]])):
        assert "speed not known" in shown
        assert reason in shown
    cells = next(row for row in csv.DictReader(io.StringIO(summary_csv([run]))) if row["target"] == FULL)
    assert (cells["status"], cells["reason"]) == ("ok", reason)
    assert (cells["speedup"], cells["throughput_mpix_s"], cells["latency_ms"]) == ("", "", "")
    assert FULL not in {spot.target for spot in spots(run)}
    compared = next(each for each in compare_within(run, Axis.TARGET).rows if each.name == FULL)
    assert compared.head.level is None
    assert compared.judgement is not None
    assert compared.judgement.verdict is Verdict.UNCLEAR


def test_where_no_speed_is_known_none_is_named(tmp_path: Path) -> None:
    text = answer(write_run(tmp_path / "run", [*rounds_of(TORCH, DISTURBED), *rounds_of(FULL, DISTURBED[::-1])]))
    assert "no speed is known, as the rounds of each target disagree: speed not known 2×." in text


def test_beside_a_disturbed_reference_speeds_are_known_and_speed_ups_are_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [*rounds_of(TORCH, DISTURBED), *rounds_of(FULL, [0.5, 0.51, 0.52])])
    row = row_of(run, FULL)
    assert row.throughput_mpix_s == pytest.approx(0.16 / 0.51)
    assert row.speedup is None
    assert "(no speed-up: that over `torch@cpu:fp32` is not known, " in answer(run)


def test_every_number_of_a_row_is_of_the_rounds_that_it_shares_with_the_reference(tmp_path: Path) -> None:
    times = [(0.50, 27.0), (0.53, 30.0), (0.55, 29.0), (10.4, 5000.0)]
    launches = [
        *rounds_of(TORCH, [0.6, 0.6, 0.6]),
        *(launch(FULL, round_=at, samples=samples(image_s, [tile])) for at, (image_s, tile) in enumerate(times)),
    ]
    row = row_of(write_run(tmp_path / "run", launches), FULL)
    assert row.throughput_mpix_s == pytest.approx(0.16 / 0.53)
    assert (row.speedup, row.latency_ms) == pytest.approx((0.6 / 0.53, 29.0))


def test_beside_a_reference_launched_once_all_rounds_count_and_the_speed_up_is_of_the_levels(tmp_path: Path) -> None:
    launches = [*rounds_of(TORCH, [1.0]), *rounds_of(FULL, [0.70, 0.50, 0.51, 0.52])]
    row = row_of(write_run(tmp_path / "run", launches), FULL)
    assert row.throughput_mpix_s == pytest.approx(0.16 / math.sqrt(0.51 * 0.52))
    assert row.speedup == pytest.approx(1 / math.sqrt(0.51 * 0.52))
    assert row.speedup_low is None


def test_the_fastest_at_full_precision_is_the_tables_whatever_its_tile(tmp_path: Path) -> None:
    launches = [
        *(exact(workload_id=each, samples=samples(1.0)) for each in ("t48b1", "t96b1")),
        launch(FAST, workload_id="t96b1", samples=samples(0.2)),
        launch(FULL, workload_id="t96b1", samples=samples(0.8)),
        launch(FULL, workload_id="t48b1", samples=samples(0.5)),
    ]
    run = write_run(tmp_path / "run", launches, workloads=[workload(), workload("t96b1", tile=96)])
    assert "; the fastest at full precision is `ncnn@cpu:fp32` at 2.00×, with tiles of 48 px" in answer(run)


def test_the_answer_says_when_nothing_beats_the_reference(tmp_path: Path) -> None:
    text = answer(write_run(tmp_path / "run", [exact(), launch(FULL, samples=samples(1.25))]))
    assert "nothing measured is faster than `torch@cpu:fp32`" in text
    assert "next is `ncnn@cpu:fp32` at 0.80×" in text


def test_the_answer_says_when_only_the_reference_ran(tmp_path: Path) -> None:
    assert "only `torch@cpu:fp32` could be measured" in answer(write_run(tmp_path / "run", [exact()]))


def test_the_answer_claims_no_speedup_without_a_reference(tmp_path: Path) -> None:
    text = answer(write_run(tmp_path / "run", [failed(TORCH, Status.CRASHED), launch(FAST)]))
    assert "no speed-up: `torch@cpu:fp32` was not measured" in text


def test_the_answer_says_when_nothing_was_measured_and_that_the_run_was_cut_short(tmp_path: Path) -> None:
    launches = [failed(TORCH, Status.OOM), failed(FAST, Status.UNAVAILABLE), failed(FULL, Status.UNAVAILABLE)]
    text = answer(write_run(tmp_path / "run", launches, ended=False))
    assert "nothing could be measured: unavailable 2×, oom 1×" in text
    assert "paused in round 1: every case was reached, further rounds are missing." in text
    assert "no launch was finished" in answer(write_run(tmp_path / "empty", [], ended=False))


def test_a_software_device_is_named_as_such_and_never_the_headline(tmp_path: Path) -> None:
    software = launch("ncnn@vulkan:fp32", placement=placement(DeviceType.SOFTWARE, "llvmpipe"), samples=samples(0.1))
    run = write_run(tmp_path / "run", [exact(), software, launch(FAST, samples=samples(0.5))])
    assert row_of(run, "ncnn@vulkan:fp32").label == "ncnn@vulkan:fp32 (software)"
    assert "vulkan" not in answer(run)
    assert "`ncnn@vulkan:fp32 (software)`" in answer(write_run(tmp_path / "alone", [software]))


def test_with_several_workloads_each_is_compared_with_its_own_reference(tmp_path: Path) -> None:
    launches = [
        exact(samples=samples(1.0)),
        exact(workload_id="t96b2", samples=samples(4.0)),
        launch(FAST, samples=samples(0.5)),
        launch(FAST, workload_id="t96b2", samples=samples(1.0)),
    ]
    workloads = [workload(), workload("t96b2", tile=96, batch=2, side=200)]
    run = write_run(tmp_path / "run", launches, workloads=workloads)
    assert [row.speedup for row in summarise(run)] == pytest.approx([1.0, 1.0, 2.0, 4.0])
    assert "with tiles of 96 px in batches of 2, `openvino@cpu:bf16` is 4.00×" in answer(run)


def test_an_answer_does_not_sell_a_picture_that_differs_as_the_same(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0], fidelity=fidelity(0.0)),
        *rounds_of("openvino@cpu:int8", [0.25, 0.25, 0.25], fidelity=fidelity(10**-3.31)),
        *rounds_of(FAST, [0.5, 0.5, 0.5], fidelity=fidelity(1e-5)),
        *rounds_of(FULL, [0.8, 0.8, 0.8], fidelity=fidelity(1e-12)),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert "`openvino@cpu:bf16` is 2.00× as fast as" in text
    assert "; the fastest at full precision is `ncnn@cpu:fp32` at 1.25×" in text
    assert "; faster still, but it trades its picture for that (33.1 dB; the same picture has 40 or more)" in text
    assert "is `openvino@cpu:int8` at 4.00×" in text


def test_a_traded_picture_beside_full_precision_alone_names_it_once(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0], fidelity=fidelity(0.0)),
        *rounds_of("openvino@cpu:int8", [0.25, 0.25, 0.25], fidelity=fidelity(1e-3)),
        *rounds_of(FULL, [0.8, 0.8, 0.8], fidelity=fidelity(1e-12)),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert text.count(f"`{FULL}`") == 1
    assert text.index(FULL) < text.index("openvino@cpu:int8")


def test_a_traded_picture_alone_is_said_to_be_one(tmp_path: Path) -> None:
    launches = rounds_of("openvino@cpu:int8", [0.25, 0.25, 0.25], fidelity=fidelity(1e-3))
    text = answer(write_run(tmp_path / "run", launches))
    assert "but trades its picture for that (30.0 dB; the same picture has 40 or more)" in text
    assert "faster still" not in text


def test_the_readme_quotes_the_answer_of_the_run_that_it_names() -> None:
    root = Path(__file__).parents[2]
    run = read_run(root / "results" / "curated" / "quick-epyc-zen5-2-cores")
    assert f"\n> {answer(run)}\n" in (root / "README.md").read_text(encoding="utf-8")


def test_an_int8_picture_as_good_as_a_float_one_is_no_trade(tmp_path: Path) -> None:
    launches = [
        *rounds_of(TORCH, [1.0, 1.0, 1.0], fidelity=fidelity(0.0)),
        *rounds_of("openvino@cpu:int8", [0.25, 0.25, 0.25], fidelity=fidelity(10**-4.2)),
    ]
    text = answer(write_run(tmp_path / "run", launches))
    assert "draws the same picture to 42.0 dB" in text
    assert "trades" not in text
