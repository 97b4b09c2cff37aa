"""Other programs in a report: their start apart, what is their word, and nothing where they have no figure."""

import msgspec
import pytest
from recorded import TORCH, fidelity, launch, memory, placement, samples, write_run

from esrbench.case_summary import summarise
from esrbench.record import Case, Status
from esrbench.report.columns import shown
from esrbench.report.command_notes import command_notes
from esrbench.report.folder import render
from esrbench.rounds import Boundary, seconds_by_round
from esrbench.runner import DeviceType
from esrbench.target import Target

TOOL = "realesrgan-ncnn-vulkan@vulkan:fp16"


def called(image_s, start_s=0.5):
    """Samples of a command."""
    return msgspec.structs.replace(
        samples(image_s, []),
        load_ns=None,
        first_tile_ns=None,
        cold_ns=None,
        new_shape=None,
        warmups=(),
        start_ns=round(start_s * 1e9),
        start_side_px=16,
    )


def tool(round_=0, share=0.9994, **fields):
    given = {"samples": called(2.5), "placement": placement(DeviceType.SOFTWARE, "llvmpipe"), "memory": memory(500)}
    compared = msgspec.structs.replace(fidelity(), close_share=share, bits=8, border_px=32)
    return launch(TOOL, round_=round_, **{**given, "fidelity": compared, **fields})


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run", [launch(TORCH), tool(), launch(TORCH, round_=1), tool(1, share=0.9987)])


def test_a_command_has_a_speed_with_its_start_in_it_and_no_tile(run):
    row = next(row for row in summarise(run) if row.target == TOOL)
    assert row.ranked
    assert row.throughput_mpix_s == pytest.approx(0.16 / 2.5)
    assert row.start_s == pytest.approx(0.5)
    assert (row.latency_ms, row.load_s, row.first_tile_s, row.cold_s, row.new_shape_s) == (None,) * 5
    assert row.close_share == 0.9987
    assert row.gflops_s is None  # of our windows, which are not the program's
    case = Case(target=Target(TOOL), workload="t48b1")
    assert seconds_by_round(run.launches, case, Boundary.TILE) == {}
    assert seconds_by_round(run.launches, case, Boundary.COLD) == {}


def test_a_command_whose_picture_is_wrong_has_no_speed_in_its_note_either(tmp_path):
    wrong = tool(status=Status.WRONG, reason="another picture")
    run = write_run(tmp_path / "run", [launch(TORCH), wrong])
    assert command_notes(run, summarise(run)) == []


def test_the_note_takes_the_start_off_and_says_what_is_a_claim(run):
    (note,) = command_notes(run, summarise(run))
    assert note.startswith(f"{TOOL} (software) on t48b1 is a command")
    assert "Of 2.50 s a picture, 0.500 s are start (a picture of 16×16 px)" in note
    assert "without it, 0.0780 Mpix/s" in note  # (100² - 16²) × 16 px in 2 s
    assert "its own claim" in note
    assert "32 px from the borders: 99.9% of the values are within 1/255" in note


def test_a_picture_no_slower_than_the_start_has_no_speed_without_it(tmp_path):
    run = write_run(tmp_path / "run", [launch(TORCH), tool(samples=called(0.5, 0.6))])
    (note,) = command_notes(run, summarise(run))
    assert "the rest is too short to tell" in note


def test_a_run_without_commands_has_no_such_note_and_no_such_column(tmp_path):
    run = write_run(tmp_path / "run", [launch(TORCH)])
    assert command_notes(run, summarise(run)) == []
    assert not {"start s", "within 1/255"} & {column.head for column in shown(summarise(run))}


def test_the_report_of_a_run_with_a_command_is_whole(run, tmp_path):
    page = render([run], tmp_path / "report").read_text()
    for text in ("start s", "99.87 %", "is a command", f"{TOOL} (software)"):
        assert text in page


def test_a_report_of_commands_alone_is_whole(tmp_path):
    run = write_run(tmp_path / "run", [tool()])
    assert "is a command" in render([run], tmp_path / "report").read_text()
