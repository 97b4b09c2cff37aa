"""A run that contradicts itself is refused in words, and nothing is made of it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from recorded import TORCH, fidelity, launch, placement, rewritten, samples, workload, write_run

from esrbench import store
from esrbench.errors import RecordError
from esrbench.record import (
    Attainable,
    Case,
    LaunchRecord,
    ReferenceCheck,
    Repeats,
    Resumption,
    RunEnd,
    Status,
    ThreadsAtWork,
)
from esrbench.results.consistency import contradictions
from esrbench.store import Run, RunWriter
from esrbench.target import Precision, Target

NCNN = "ncnn@cpu:fp32"
replace = msgspec.structs.replace


@pytest.fixture
def run(tmp_path: Path) -> Run:
    launches = [launch(target, round_=round_) for round_ in range(3) for target in (TORCH, NCNN)]
    return write_run(tmp_path / "run", launches)


def refused(folder: Path) -> str:
    with pytest.raises(RecordError, match="contradicts itself, so nothing of it is reported") as raised:
        store.read_run(folder)
    return str(raised.value)


OF_A_LAUNCH: dict[str, tuple[Callable[[LaunchRecord], LaunchRecord], str]] = {
    "a negative time": (lambda x: replace(x, samples=replace(x.samples, cold_ns=-5)), "cold_ns is -5, below 0"),
    "no time at all": (lambda x: replace(x, samples=replace(x.samples, load_ns=0)), "load_ns is 0"),
    "passes of a nanosecond": (lambda x: replace(x, samples=samples(1e-9)), "no call is that short"),
    "more time than it took": (lambda x: replace(x, wall_ns=1_500_000_000), "it timed 2 s, but took 1.5 s"),
    "no passes": (lambda x: replace(x, samples=samples(())), "ended ok without times"),
    "NaN": (
        lambda x: replace(x, fidelity=replace(fidelity(1e-9), nan_count=7)),
        "but the output holds 7 NaN",
    ),
    "a wrong picture": (lambda x: replace(x, fidelity=fidelity(0.9)), "PSNR to the reference is 0.5 dB"),
    "an answer from memory": (
        lambda x: replace(x, samples=replace(x.samples, repeats=(Repeats(tiles=1, new_ns=9000, repeated_ns=(1000,)),))),
        "ended ok, but answers repeated tiles from memory",
    ),
    "no picture": (lambda x: replace(x, fidelity=None), "without a picture that was compared"),
    "no device": (lambda x: replace(x, placement=None), "without saying what it ran on"),
    "another arithmetic": (
        lambda x: replace(x, placement=replace(placement(), precision=Precision.BF16)),
        "computed in bf16",
    ),
    "a signal": (lambda x: replace(x, exit_code=-9), "ended ok with exit code -9"),
    "a workload of nobody": (lambda x: replace(x, case=Case(target=x.case.target, workload="x")), "none of the run's"),
    "a pixel outside": (lambda x: replace(x, fidelity=fidelity(1e-9, yx=(400, 0))), "lies outside of its picture"),
    "negative memory": (lambda x: replace(x, memory=replace(x.memory, peak_rss_bytes=-1)), "peak_rss_bytes is -1"),
    "no memory": (lambda x: replace(x, memory=replace(x.memory, peak_rss_bytes=0)), "peak_rss_bytes is 0"),
    "a number of 400 digits": (lambda x: replace(x, wall_ns=10**400), "wall_ns is beyond 1e+18"),
    "a number below 0 of 400 digits": (lambda x: replace(x, wall_ns=-(10**400)), "wall_ns is -1e+18, below 0"),
    "a first tile before it began": (
        lambda x: replace(x, samples=replace(x.samples, cold_ns=600_000_000)),
        "its first tile was back after 0.6 s, but took 0.75 s",
    ),
    "work behind its end": (
        lambda x: replace(x, threads_at_work=ThreadsAtWork(cpu_s=1.0, wall_s=1e6)),
        "it worked for 1e+06 s",
    ),
    "a reference that was wrong": (
        lambda x: replace(x, reference_check=ReferenceCheck(side_px=8, mse=0.1, seconds=1)),
        "its reference computed in less than fp32: 10.0 dB",
    ),
    "more alike than alike": (lambda x: replace(x, fidelity=fidelity(1e-9, ssim=2)), "ssim is 2, beyond 1"),
    "an exact picture with an error": (lambda x: replace(x, fidelity=fidelity(0, worst_abs=0.5)), "off by 0.5"),
    "a mean above the largest": (lambda x: replace(x, fidelity=fidelity(1e-9, worst_abs=1e-6)), "off by 1e-06"),
    "an exact picture that is unlike": (lambda x: replace(x, fidelity=fidelity(0, ssim=0.1)), "yet is unlike it"),
    "a border and nothing else": (
        lambda x: replace(x, fidelity=replace(fidelity(1e-9), border_px=10**6)),
        "leaves nothing to compare",
    ),
    "no time of day": (lambda x: replace(x, started_at="noon"), "started_at is 'noon'"),
}


@pytest.mark.parametrize("what", OF_A_LAUNCH)
def test_a_launch_that_cannot_be_is_named(run: Run, what: str) -> None:
    change, said = OF_A_LAUNCH[what]
    changed = replace(run, launches=(*run.launches[:2], change(run.launches[2]), *run.launches[3:]))
    with pytest.raises(RecordError) as raised:
        rewritten(changed)
    assert "launch 2 (torch@cpu:fp32 " in str(raised.value)
    assert said in str(raised.value)


def test_a_launch_that_failed_after_it_was_measured_keeps_its_exit_code(run: Run) -> None:
    met = replace(run.launches[2].samples.new_shape, reason="after the measurement: the process was killed")
    late = replace(run.launches[2], exit_code=-9, samples=replace(run.launches[2].samples, new_shape=met))
    assert rewritten(replace(run, launches=(*run.launches[:2], late, *run.launches[3:]))).launches[2].exit_code == -9


OF_A_PLAN = {
    "a path for an id": ({"workloads": (workload("../../victim"),)}, "letters, digits, - and _ alone"),
    "an empty id": ({"workloads": (workload(""),)}, "letters, digits, - and _ alone"),
    "a workload twice": ({"workloads": (workload(), workload())}, "'t48b1' is there 2 times"),
    "no workload": ({"workloads": ()}, "it has no workload"),
    "other tiles": ({"workloads": (replace(workload(), tiles=1),)}, "1 tiles are recorded, its picture is cut into 9"),
    "a huge tile": ({"workloads": (replace(workload(), tile_px=10**12),)}, "tile_px is 1000000000000"),
    "a huge halo": ({"workloads": (replace(workload(), halo_px=10**12),)}, "leaves nothing between the halos"),
    "a case twice": ({"cases": (Case(target=Target(TORCH), workload="t48b1"),) * 2}, "is there twice"),
    "a case of nobody": ({"cases": (Case(target=Target(TORCH), workload="x"),)}, "a workload that the run does not"),
    "another reference": ({"reference": Target(NCNN)}, "its reference is ncnn@cpu:fp32"),
    "copies that make it fast": ({"workloads": (replace(workload(), copies=10**6),)}, "more than fill its batches"),
    "two controls": (
        {"cases": tuple(Case(target=Target(name), workload="t48b1", control=True) for name in (TORCH, NCNN))},
        "more than one control",
    ),
    "a device that reaches nothing": (
        {"attainable": (Attainable(device="cpu", precision=Precision.FP32, gflops_s=0, gbytes_s=1, how="x"),)},
        "gflops_s is 0",
    ),
    "no day": ({"created_at": "2026-01-02"}, "not a date and time with a time zone"),
}


@pytest.mark.parametrize("what", OF_A_PLAN)
def test_a_plan_that_cannot_be_is_named(run: Run, what: str) -> None:
    fields, said = OF_A_PLAN[what]
    with pytest.raises(RecordError) as raised:
        rewritten(replace(run, record=replace(run.record, **fields)))
    assert said in str(raised.value)


def test_a_round_that_was_launched_twice_is_named(run: Run) -> None:
    twice = replace(run.launches[0], sequence=6)
    with pytest.raises(RecordError, match=r"torch@cpu:fp32 t48b1 was launched 2 times in round 1"):
        rewritten(replace(run, launches=(*run.launches, twice)))


def without_chain(folder: Path) -> None:
    """Make the run one of schema 2, which carries no digests."""
    for path in [folder / "run.json", folder / "end.json", *(folder / "launches").iterdir()]:
        old = json.loads(path.read_bytes())
        new = ("previous_sha256", "launches", "last_sha256", "files")
        path.write_text(json.dumps({name: old[name] for name in old if name not in new} | {"schema_version": 2}))


@pytest.mark.parametrize("version", [2, 3])
def test_a_launch_that_was_removed_is_missing(run: Run, version: int) -> None:
    if version == 2:
        without_chain(run.folder)
    (run.folder / "launches" / "0003.json").unlink()
    assert "launch 3 is missing" in refused(run.folder)


@pytest.mark.parametrize("version", [2, 3])
def test_a_launch_that_was_copied_is_named(run: Run, version: int) -> None:
    if version == 2:
        without_chain(run.folder)
    shutil.copy(run.folder / "launches" / "0003.json", run.folder / "launches" / "0006.json")
    text = refused(run.folder)
    assert "launches/0006.json holds launch 3" in text
    assert "launch 3 is there 2 times" in text


def edited(path: Path, before: bytes, after: bytes) -> None:
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("run.json", "launches/0000.json does not follow run.json"),
        ("launches/0002.json", "launches/0003.json does not follow launches/0002.json"),
        ("launches/0005.json", "launches/0005.json was changed since end.json was written"),
    ],
)
def test_a_file_that_was_changed_breaks_the_chain(run: Run, file: str, said: str) -> None:
    edited(run.folder / file, b"\n", b"\n ")
    assert said in refused(run.folder)


def test_the_last_launches_of_a_finished_run_are_missed(run: Run) -> None:
    (run.folder / "launches" / "0005.json").unlink()
    assert "end.json counts 6 launches, 5 are there" in refused(run.folder)


def test_a_run_of_today_without_its_chain_is_refused(run: Run) -> None:
    path = run.folder / "launches" / "0004.json"
    old = json.loads(path.read_bytes())
    path.write_text(json.dumps(old | {"previous_sha256": None}))
    assert "launches/0004.json carries no digest of launches/0003.json" in refused(run.folder)


def test_a_run_of_an_older_schema_is_read_and_known_to_carry_no_digests(run: Run) -> None:
    without_chain(run.folder)
    assert not store.read_run(run.folder).chained
    assert run.chained


def test_a_run_whose_writer_was_killed_is_read_and_goes_on(run: Run) -> None:
    (run.folder / "end.json").unlink()
    (run.folder / "launches" / "0005.json").unlink()
    writer = RunWriter(run.folder)
    assert len(store.read_run(run.folder).launches) == 5
    writer.launch(run.launches[5])
    writer.end(RunEnd(ended_at="2026-01-02T03:06:05Z", elapsed_s=120.0, notes=()))
    assert store.read_run(run.folder).chained


def test_notes_and_settings_that_came_or_went_after_the_end_are_named(run: Run) -> None:
    (run.folder / "end.json").unlink()
    writer = RunWriter(run.folder)
    changes = {"resumed_at": "2026-01-02T03:06:05Z", "esrbench_version": "1", "changes": ()}
    writer.resumed(Resumption(sequence=6, environment=run.record.environment, **changes))
    writer.end(RunEnd(ended_at="2026-01-02T03:06:05Z", elapsed_s=120.0, notes=()))
    (run.folder / "resumed.0006.json").rename(run.folder / "resumed.0005.json")
    text = refused(run.folder)
    assert "resumed.0005.json says that it went on with launch 6" in text
    assert "resumed.0006.json is missing" in text
    assert "resumed.0005.json was added" in text


def test_a_note_behind_the_last_launch_is_named(run: Run) -> None:
    (run.folder / "end.json").unlink()
    changes = {"resumed_at": "noon", "esrbench_version": "1", "changes": ()}
    RunWriter(run.folder).resumed(Resumption(sequence=99, environment=run.record.environment, **changes))
    assert "resumed.0099.json lies behind the last launch, 5" in refused(run.folder)


def test_a_sequence_of_many_digits_is_counted_up_to_no_further_than_is_said(run: Run) -> None:
    last = replace(run.launches[5], sequence=10**17)
    found = [said for said in contradictions(run.record, (*run.launches[:5], last)) if said.endswith("is missing")]
    assert found[0] == "launch 5 is missing"
    assert len(found) < 100


def test_a_picture_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    import numpy as np

    run = write_run(tmp_path / "run", [launch(TORCH)], pictures={"input.t48b1.png": np.zeros((100, 100, 3), np.uint8)})
    picture = run.input_picture("t48b1")
    assert picture is not None
    edited(picture, b"IDAT", b"IdAT")
    with pytest.raises(RecordError, match="is not the picture that the run drew"):
        run.input_picture("t48b1")
    picture.unlink()
    assert run.input_picture("t48b1") is None


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
@pytest.mark.parametrize("place", ["pictures/input.t48b1.png", "logs/0000.txt", "launches", "tuning", "end.json"])
def test_a_link_in_a_run_is_refused_wherever_it_lies(run: Run, tmp_path: Path, place: str) -> None:
    path = run.folder / place
    kept = tmp_path / "elsewhere"
    if path.exists():
        path.rename(kept)
    path.symlink_to(kept)
    with pytest.raises(RecordError, match="link, a pipe, a device"):
        store.read_run(run.folder)


def test_launches_that_cannot_be_read_are_an_error_and_not_none(run: Run) -> None:
    shutil.rmtree(run.folder / "launches")
    with pytest.raises(RecordError, match="launches cannot be read as part of a run"):
        store.read_run(run.folder)


def test_records_that_would_take_minutes_to_read_are_refused(run: Run) -> None:
    for number in range(20):
        with (run.folder / "launches" / f"{number:04d}.json").open("a") as file:
            file.truncate(15 << 20)
    with pytest.raises(RecordError, match=r"has records of 3[0-9]{8} bytes; a run of at most 268435456 is read"):
        store.read_run(run.folder)


def test_no_more_than_eight_findings_are_said(run: Run) -> None:
    launches = tuple(replace(each, exit_code=1) for each in run.launches)
    with pytest.raises(RecordError) as raised:
        rewritten(replace(run, launches=launches, record=replace(run.record, workloads=(workload("/"),))))
    lines = str(raised.value).splitlines()
    assert (
        sum(line.startswith("  launch") or line.startswith("  case") or line.startswith("  work") for line in lines)
        == 8
    )
    assert lines[-2].startswith("  and ")


def test_what_cannot_be_read_back_is_not_written(run: Run) -> None:
    (run.folder / "end.json").unlink()
    absurd = replace(run.launches[0], sequence=6, fidelity=fidelity(float("nan")))
    with pytest.raises(RecordError, match="what is to be written is not a valid LaunchRecord"):
        RunWriter(run.folder).launch(absurd)
    assert not (run.folder / "launches" / "0006.json").exists()


def test_a_status_other_than_ok_needs_no_numbers(tmp_path: Path) -> None:
    made = write_run(tmp_path / "run", [launch(TORCH), launch(NCNN, status=Status.OOM, reason="none left")])
    assert made.launches[1].status is Status.OOM
