"""Speed against memory: what nothing beats, what is fastest within a budget, and what ran out of memory."""

import io

import msgspec
import numpy as np
import pytest
from recorded import TORCH, failed, launch, memory, placement, samples, workload, write_run
from rich.console import Console

from esrbench.case_summary import in_brief, ranking, summarise
from esrbench.compare import answer
from esrbench.frontier import Spot, choices, frontier, large_picture_mpix_s, out_of_memory, spots
from esrbench.record import Status
from esrbench.report import render, terminal_table
from esrbench.report.frontier_text import budget_rows
from esrbench.report.summary import summary_md
from esrbench.runner import DeviceType
from esrbench.target import Target

NCNN = "ncnn@cpu:fp32"
GPU = "torch@cuda:fp16"


def spot(memory_mb, throughput, tile=64):
    return Spot(
        target=Target(NCNN),
        tile_px=tile,
        halo_px=8,
        batch=1,
        throughput_mpix_s=throughput,
        memory_mb=memory_mb,
        on_device=False,
    )


def swept(tile, batch=1, **fields):
    import msgspec

    made = workload(f"t{tile}b{batch}", tile=tile, batch=batch, side=tile - 16)
    return msgspec.structs.replace(made, tiles=1, sweep=True, **fields)


def of(target, tile, seconds, mb, batch=1, **fields):
    found = {"samples": samples(seconds), "memory": memory(mb)} | fields
    return launch(target, workload_id=f"t{tile}b{batch}", **found)


def out_at(target, tile, batch=1):
    import msgspec

    made = failed(target, Status.OOM, f"out of memory at tile {tile}")
    return msgspec.structs.replace(made, case=msgspec.structs.replace(made.case, workload=f"t{tile}b{batch}"))


@pytest.fixture
def run(tmp_path):
    """Two targets over three tiles: ncnn is the faster one, and runs out of memory first."""
    launches = [
        of(TORCH, 64, 1.0, 400),
        of(TORCH, 128, 4.0, 600),
        of(TORCH, 192, 9.0, 1200),
        of(NCNN, 64, 0.8, 600),
        of(NCNN, 128, 3.0, 1800),
        out_at(NCNN, 192),
    ]
    return write_run(tmp_path / "run", launches, workloads=[swept(64), swept(128), swept(192)])


def test_the_frontier_is_what_needs_less_or_is_faster_than_every_other():
    slow, small, large, wasteful = spot(500, 1.0), spot(400, 2.0), spot(900, 3.0), spot(950, 3.0)
    assert frontier([wasteful, slow, large, small]) == (small, large)


def test_of_two_that_need_the_same_the_faster_one_is_on_the_frontier():
    assert frontier([spot(400, 1.0), spot(400, 2.0)]) == (spot(400, 2.0),)


def test_a_budget_that_changes_nothing_is_left_out_and_a_spot_that_fits_exactly_is_in():
    found = choices([spot(500, 1.0), spot(1001, 2.0), spot(7000, 1.5)])
    assert [(choice.budget_gb, choice.spot.memory_mb) for choice in found] == [(0.5, 500), (2.0, 1001)]


def test_the_speed_is_that_of_a_picture_much_larger_than_a_tile():
    # 9 tiles with a core of 32×32 px draw a picture of 100×100: on a large picture they would draw 9216 px, not 10000.
    assert large_picture_mpix_s(1.0, workload()) == pytest.approx(9 * 32**2 / 100**2)
    assert large_picture_mpix_s(1.0, swept(64)) == pytest.approx(1.0)


def test_a_gpu_is_set_against_its_own_memory_and_without_a_figure_for_it_against_none(tmp_path):
    gpu = placement(DeviceType.GPU, "a GPU")
    launches = [
        launch(GPU, memory=memory(3000, 900), placement=gpu),
        launch("ncnn@vulkan:fp16", memory=memory(3000, None), placement=gpu),
    ]
    (found,) = spots(write_run(tmp_path / "run", launches))
    assert (found.memory_mb, found.on_device) == (900, True)


def test_a_software_device_is_no_choice(tmp_path):
    software = placement(DeviceType.SOFTWARE, "llvmpipe")
    made = launch("ncnn@vulkan:fp32", memory=memory(300, 200), placement=software)
    assert spots(write_run(tmp_path / "run", [made])) == ()


def test_a_command_tiles_the_picture_itself_and_is_no_choice(tmp_path):
    started = msgspec.structs.replace(samples(), start_ns=1_000_000_000, load_ns=None, first_tile_ns=None, cold_ns=None)
    run = write_run(tmp_path / "run", [launch(TORCH), launch("tool@cpu:fp32", samples=started)])
    assert {spot.target for spot in spots(run)} == {TORCH}


def test_what_ran_out_of_memory_is_told_the_largest_size_that_fitted(run):
    row = next(row for row in summarise(run) if row.status is Status.OOM)
    assert row.remedy == "use --tile 128 --batch 1, the most pixels at once that fitted in this run"
    assert row.throughput_mpix_s is None
    assert out_of_memory(run) == {Target(NCNN): ("192",)}


def test_the_table_names_the_fastest_within_each_budget(run):
    rows = [(budget, target, tile) for budget, target, tile, *_ in budget_rows(run)]
    assert rows == [("0.5 GB of RAM", TORCH, "64"), ("1 GB of RAM", TORCH, "128"), ("2 GB of RAM", NCNN, "128")]
    assert "| 1 GB of RAM | torch@cpu:fp32 | 128 |" in summary_md([run])


def test_the_terminal_names_them_too(run):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(run))
    text = console.export_text()
    assert "2 GB of RAM: ncnn@cpu:fp32, tile 128, batch 1, needs" in text
    assert text.count("Mpix/s") == 1  # a case has one in the table, and no other below it


def test_a_run_with_one_size_has_no_frontier(tmp_path):
    run = write_run(tmp_path / "run", [launch(TORCH), launch(NCNN)])
    assert budget_rows(run) == []
    render([run], tmp_path / "report")
    assert not (tmp_path / "report" / "frontier.png").exists()
    assert "Speed against memory" not in (tmp_path / "report" / "index.html").read_text()


def test_the_report_shows_the_frontier_and_is_known_again_as_a_report(run, tmp_path):
    for _ in range(2):
        index = render([run], tmp_path / "report")
    assert (tmp_path / "report" / "frontier.png").stat().st_size > 10_000
    assert (tmp_path / "report" / "frontier-dark.png").is_file()
    page = index.read_text()
    assert "Speed against memory" in page
    assert "2 GB of RAM" in page


def test_beside_workloads_a_sweep_is_in_the_frontier_and_not_in_the_answer(tmp_path):
    launches = [launch(TORCH), launch(NCNN), of(TORCH, 64, 0.01, 400), of(NCNN, 64, 0.001, 300)]
    run = write_run(tmp_path / "run", launches, workloads=[workload(), swept(64)])
    assert "with tiles of 48 px" in answer(run)
    rows = ranking(summarise(run))
    assert {row.workload for row in in_brief(rows)} == {"t48b1"}
    assert len(spots(run)) == 4


def test_a_sweep_alone_shows_each_targets_fastest_in_brief(run):
    rows = in_brief([row for row in ranking(summarise(run)) if row.ranked])
    assert [row.target for row in rows] == [NCNN, TORCH]
    assert np.all(np.diff([row.throughput_mpix_s for row in rows]) < 0)


def test_a_batch_that_repeats_its_tile_counts_every_copy(tmp_path):
    launches = [of(TORCH, 64, 1.0, 400), of(TORCH, 64, 1.0, 500, batch=2)]
    run = write_run(tmp_path / "run", launches, workloads=[swept(64), swept(64, 2, copies=2)])
    single, double = summarise(run)
    assert double.throughput_mpix_s == pytest.approx(2 * single.throughput_mpix_s)
