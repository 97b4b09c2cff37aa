"""What the report says of settings and of software devices."""

from pathlib import Path

import pytest
from recorded import launch, output_name, placement, samples, write_run

from esrbench.comparison import compare_runs
from esrbench.history import histories
from esrbench.record import Status, TrialRecord, TuningRecord
from esrbench.report.compared import comparison_md
from esrbench.report.history_text import history_md
from esrbench.report.page import page
from esrbench.report.summary import summary_md
from esrbench.report.tunings import tuning_notes, tuning_rows
from esrbench.runner import DeviceType
from esrbench.settings import DEFAULT, Settings
from esrbench.store import Run
from esrbench.target import Target

NCNN, VULKAN = "ncnn@cpu:fp32", "ncnn@vulkan:fp16"
OFF = Settings(values={"use_sgemm_convolution": "0"})
SLEEP = Settings(values={"openmp_blocktime": "0"})
NEVER = Settings(values={"lightmode": "0"})


def tuning(**changes: object) -> TuningRecord:
    fields = {
        "target": Target(NCNN),
        "workload": "t48b1",
        "chosen": OFF,
        "speedup": 1.25,
        "trials": (
            TrialRecord(settings=DEFAULT, status=Status.OK, image_s=(1.0, 1.0, 1.0)),
            TrialRecord(settings=OFF, status=Status.OK, image_s=(0.8, 0.8, 0.8)),
            TrialRecord(settings=SLEEP, status=Status.WRONG, reason="PSNR is 12 dB"),
            TrialRecord(settings=NEVER, status=None, reason="the time ended"),
        ),
        "tuned_at": "2026-11-24T00:00:00+00:00",
        "elapsed_s": 40.0,
    }
    return TuningRecord(**fields | changes)  # type: ignore[arg-type]


def run_with(folder: Path, *tunings: TuningRecord) -> Run:
    return write_run(folder, [launch("torch@cpu:fp32"), launch(NCNN)], tunings=tunings)


def test_what_was_chosen_from_how_many_is_in_every_text(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", tuning())
    (note,) = tuning_notes(run)
    assert note == (
        "ncnn@cpu:fp32 on t48b1 was measured with use_sgemm_convolution=0, 1.25× as fast as its default: "
        "chosen from 4 candidates, before round one."
    )
    assert "measured with use_sgemm_convolution=0" in summary_md([run]).replace("\\", "")
    html = page([run], [[]])
    for text in ("Settings, and what they were chosen from", "use_sgemm_convolution=0", "1.25×", "PSNR is 12 dB"):
        assert text in html


def test_each_candidate_that_was_not_chosen_has_its_speed_or_its_reason(tmp_path: Path) -> None:
    (row,) = tuning_rows(run_with(tmp_path / "run", tuning()))
    assert row.others == (
        "default: 1.00×",
        "openmp_blocktime=0: wrong, PSNR is 12 dB",
        "lightmode=0: not tried, the time ended",
    )


def test_a_default_that_stays_needs_no_sentence_and_is_in_the_table(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", tuning(chosen=DEFAULT, speedup=None))
    assert tuning_notes(run) == []
    assert tuning_rows(run)[0].chosen == "default"
    assert "use_sgemm_convolution=0: 1.25×" in tuning_rows(run)[0].others


def test_a_choice_of_an_earlier_run_says_so(tmp_path: Path) -> None:
    (note,) = tuning_notes(run_with(tmp_path / "run", tuning(known=True)))
    assert note.endswith("chosen from 4 candidates, by an earlier run, 2026-11-24T00:00:00+00:00.")


def test_a_default_that_failed_is_named_as_the_reason(tmp_path: Path) -> None:
    failed = TrialRecord(settings=DEFAULT, status=Status.OOM, reason="memory")
    (note,) = tuning_notes(run_with(tmp_path / "run", tuning(trials=(failed, *tuning().trials[1:]), speedup=None)))
    assert "with use_sgemm_convolution=0, as its default ended oom: chosen" in note


def test_a_run_without_choices_has_no_section(tmp_path: Path) -> None:
    assert "what they were chosen from" not in page([run_with(tmp_path / "run")], [[]])


@pytest.fixture
def software(tmp_path: Path) -> tuple[Run, Run]:
    def run(name: str) -> Run:
        soft = launch(VULKAN, placement=placement(DeviceType.SOFTWARE, "llvmpipe"), samples=samples(9.0))
        return write_run(tmp_path / name, [launch("torch@cpu:fp32"), soft])

    return run("before"), run("after")


def test_a_software_device_is_named_as_such_where_runs_are_compared(software: tuple[Run, Run]) -> None:
    text = comparison_md(compare_runs(*software), [])
    assert f"`{VULKAN} (software)`" in text
    assert "`torch@cpu:fp32`" in text


def test_a_software_device_is_named_as_such_over_time(software: tuple[Run, Run]) -> None:
    (found,) = histories(software)
    text = "\n".join(history_md(found))
    assert f"{VULKAN} (software)" in text
    assert "torch@cpu:fp32 (software)" not in text
    assert output_name(VULKAN)
