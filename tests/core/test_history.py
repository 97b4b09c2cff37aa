"""Runs over time: told apart by machine, joined where they measured the same, every change named."""

import json
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from recorded import TORCH, failed, rewritten, workload
from sides import QUIET, changed, rounds_of, run_of, scaled
from typer.testing import CliRunner

import esrbench.cli.report  # noqa: F401  (registers the command)
from esrbench.cli import app
from esrbench.compare import machine_name
from esrbench.comparison import compare_runs
from esrbench.errors import RecordError
from esrbench.history import History, Series, histories
from esrbench.record import Case, Status
from esrbench.report import render
from esrbench.report.history_text import changes, history_md, notes
from esrbench.report.summary import summary_md
from esrbench.store import Run, read_run
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import Target
from esrbench.verdict import Verdict

FAST = "openvino@cpu:fp32"
CURATED = Path(__file__).parents[2] / "results" / "curated"


def made(tmp_path: Path, day: int, seconds: dict[str, list[float]], **fields: object) -> Run:
    """A run of that day, on disk with these fields of its record."""
    extra = [failed(FAST, Status.CRASHED, "SIGSEGV")] if FAST not in seconds else []
    run = changed(
        run_of(tmp_path / f"day{day}", seconds, extra=extra, from_minute=day * 1440),
        created_at=f"2026-01-{day:02d}T10:00:00+00:00",
        **fields,
    )
    return rewritten(run)


def series_of(history: History, target: str) -> Series:
    return next(series for series in history.series if series.target == target)


def test_runs_are_ordered_by_their_dates_and_joined_where_they_measured_the_same(tmp_path: Path) -> None:
    later = made(tmp_path, 9, {TORCH: scaled(QUIET, 0.8)})
    earlier = made(tmp_path, 2, {TORCH: QUIET})
    (history,) = histories([later, earlier])
    assert [visit.run for visit in history.visits] == ["day2", "day9"]
    assert history.machine == "AMD EPYC, 2 cores"
    points = series_of(history, TORCH).points
    assert [point.throughput_mpix_s for point in points] == pytest.approx([0.16, 0.2], rel=1e-3)
    assert [point.continues for point in points] == [False, True]


def test_the_newest_run_is_judged_against_the_one_before_and_not_paired_where_they_took_no_turns(
    tmp_path: Path,
) -> None:
    days = [made(tmp_path, day, {TORCH: scaled(QUIET, factor)}) for day, factor in ((1, 9.0), (2, 1.0), (3, 1.1))]
    change = series_of(histories(days)[0], TORCH).change
    assert change is not None
    assert change.ratio is not None
    assert (change.verdict, change.ratio.paired) == (Verdict.SLOWER, False)
    assert change.ratio.value == pytest.approx(1 / 1.1, rel=1e-3)


@pytest.mark.parametrize("from_minute", [0.5, 600])
def test_report_and_compare_give_two_runs_the_same_verdicts(tmp_path: Path, from_minute: float) -> None:
    drift = [1.0, 1.2, 1.5, 1.1, 0.9, 1.3, 1.4, 1.0]
    factors = {TORCH: 1.0, FAST: 1.1, "ncnn@cpu:fp32": 1.0, "torch@cpu:bf16": 0.8}
    before = {target: [a * b for a, b in zip(QUIET, drift, strict=True)] for target in factors}
    after = {target: scaled(times, factors[target]) for target, times in before.items()}
    base = run_of(tmp_path / "base", before)
    head = run_of(tmp_path / "head", after, from_minute=from_minute)
    (history,) = histories([base, head])
    compared = {row.name: row.judgement for row in compare_runs(base, head).rows}
    assert {str(series.target): series.change for series in history.series} == compared
    told = " ".join(notes(history))
    if from_minute < 1:
        assert compared[FAST].verdict is Verdict.SLOWER  # the drift cancels within rounds alone
        assert "took turns" in told
    else:
        assert "one after the other" in told


@pytest.mark.parametrize(
    "fields",
    [{"model": {"weights_sha256": "cd" * 32}}, {"workloads": (workload(side=120),)}],
    ids=["weights", "pixels"],
)
def test_other_weights_or_pixels_break_the_line_and_are_told(tmp_path: Path, fields: dict[str, object]) -> None:
    (history,) = histories([made(tmp_path, 1, {TORCH: QUIET}), made(tmp_path, 2, {TORCH: QUIET}, **fields)])
    series = series_of(history, TORCH)
    assert not series.points[1].continues
    assert series.change is None
    assert history.visits[1].changes
    assert any("¦" in line for line in history_md(history))


def test_another_version_is_told_and_does_not_break_the_line(tmp_path: Path) -> None:
    newer = made(
        tmp_path, 2, {TORCH: QUIET}, environment={"versions": {"torch": "2.14.0", "onnxruntime-gpu": "1.27.0"}}
    )
    (history,) = histories([made(tmp_path, 1, {TORCH: QUIET}), newer])
    assert list(changes(history)) == ["(1) 2026-01-02 day2: torch: 2.13.0 → 2.14.0"]
    assert series_of(history, TORCH).points[1].continues


def test_a_run_in_which_a_target_failed_is_a_gap_with_its_status(tmp_path: Path) -> None:
    runs = [made(tmp_path, day, {TORCH: QUIET, **({FAST: QUIET} if day != 2 else {})}) for day in (1, 2, 3)]
    points = series_of(histories(runs)[0], FAST).points
    assert [(point.status, point.continues) for point in points] == [("ok", False), ("crashed", False), ("ok", False)]
    assert points[1].throughput_mpix_s is None


def test_machines_are_kept_apart_and_one_run_is_no_history(tmp_path: Path) -> None:
    here = [made(tmp_path, day, {TORCH: QUIET}) for day in (1, 2)]
    there = [made(tmp_path, day, {TORCH: QUIET}, environment={"cpu": "Intel Xeon"}) for day in (3, 4)]
    alone = made(tmp_path, 5, {TORCH: QUIET}, environment={"usable_cores": 1})
    found = histories([*there, *here, alone])
    assert [history.machine for history in found] == ["AMD EPYC, 2 cores", "Intel Xeon, 2 cores"]
    assert histories([alone]) == ()


def test_two_generations_of_processors_under_one_name_are_two_machines(tmp_path: Path) -> None:
    """The committed runs: a hypervisor calls a Zen 3 and a Zen 5 alike."""
    curated = [read_run(CURATED / name) for name in ("quick-epyc-2-cores", "quick-epyc-zen5-2-cores")]
    assert {machine_name(run.record.environment) for run in curated} == {"AMD EPYC, 2 cores"}
    assert histories(curated) == ()
    zen3, zen5 = (run.record.environment.cpu_features for run in curated)
    days = [
        made(tmp_path, day, {TORCH: QUIET}, environment={"cpu_features": features})
        for day, features in ((1, zen3), (2, zen5), (3, zen3), (4, zen5))
    ]
    found = histories(days)
    assert [[visit.run for visit in history.visits] for history in found] == [["day1", "day3"], ["day2", "day4"]]
    assert found[0].machine == "AMD EPYC, 2 cores (avx2, fma, f16c)"
    assert found[1].machine.startswith("AMD EPYC, 2 cores (avx2, fma, f16c, avx_vnni, avx512f")


def test_no_smaller_change_is_claimed_than_the_control_of_either_run_shows(tmp_path: Path) -> None:
    control = Case(target=Target(TORCH), workload="t48b1", control=True)

    def verdict(name: str, apart: float) -> Verdict:
        twin = [msgspec.structs.replace(each, case=control) for each in rounds_of(TORCH, scaled(QUIET, apart))]
        earlier = run_of(tmp_path / f"{name}1", {TORCH: QUIET}, extra=twin)
        later = changed(run_of(tmp_path / f"{name}2", {TORCH: scaled(QUIET, 1.06)}), created_at="2026-02-01T00:00:00Z")
        change = series_of(histories([earlier, later])[0], TORCH).change
        assert change is not None
        return change.verdict

    assert verdict("noisy", 1.08) is Verdict.UNCLEAR
    assert verdict("quiet", 1.001) is Verdict.SLOWER


def test_other_settings_are_told_and_do_not_break_the_line(tmp_path: Path) -> None:
    suite = Suite(name="s", model="m", max_rounds=9, workloads=(WorkloadPlan(image="astronaut", tile=48, halo=8),))
    longer = msgspec.structs.replace(suite, measure_s=5.0)
    runs = [made(tmp_path, day, {TORCH: QUIET}, settings=each) for day, each in ((1, suite), (2, longer))]
    (history,) = histories(runs)
    assert list(changes(history)) == ["(1) 2026-01-02 day2: timed loop: 1 s → 5 s"]
    assert "nothing to tell the machine from the code by" in list(notes(history))[-1]
    assert series_of(history, TORCH).points[1].continues


def test_a_new_driver_or_kernel_is_the_same_machine_changed(tmp_path: Path) -> None:
    runs = [
        made(tmp_path, day, {TORCH: QUIET}, environment={"gpus": (f"NVIDIA L4, driver {driver}",), "os": system})
        for day, driver, system in ((1, "550", "Linux 6.1"), (2, "560", "Linux 6.2"))
    ]
    (history,) = histories(runs)
    assert {each.what for each in history.visits[1].changes} == {"graphics devices", "operating system"}


def test_the_page_and_the_summary_begin_with_the_machines_over_time(tmp_path: Path) -> None:
    runs = [made(tmp_path, day, {TORCH: scaled(QUIET, 1 + day / 10)}) for day in (1, 2, 3)]
    folder = render(runs, tmp_path / "report").parent
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert text.index("3 runs on <bdi>AMD EPYC, 2 cores") < text.index("On this machine")
    assert "<bdi>day3</bdi> against <bdi>day2</bdi>" in text
    for name in ("history.png", "history-dark.png"):
        with Image.open(folder / name) as image:
            assert image.width > 800
    summary = summary_md(runs)
    assert summary.startswith("### Over time: AMD EPYC, 2 cores, 3 runs\n")
    table = [line for line in summary.split("### day1")[0].splitlines() if line.startswith("|")]
    assert table[0] == "| Mpix/s | 2026-01-01 | 2026-01-02 | 2026-01-03 | last change |"
    assert len({line.count("|") for line in table}) == 1
    render(runs[:1], folder)  # an earlier report with a history is one that may be replaced
    assert not (folder / "history.png").exists()


def test_text_from_a_record_never_becomes_markup_in_the_history(tmp_path: Path) -> None:
    nasty = "<b>AMD</b> | EPYC"
    runs = [made(tmp_path, day, {TORCH: QUIET}, environment={"cpu": nasty}) for day in (1, 2)]
    text = render(runs, tmp_path / "report").read_text(encoding="utf-8")
    assert "<b>AMD" not in text
    assert "<b>AMD" not in summary_md(runs)


def test_the_command_takes_everything_under_results(tmp_path: Path) -> None:
    results = tmp_path / "results"
    for place, day in ((results, 1), (results, 2), (results / "curated", 3)):
        made(place, day, {TORCH: QUIET})
    (results / "README.md").write_text("what lies here", encoding="utf-8")
    arguments = sorted(map(str, results.iterdir()))
    done = CliRunner().invoke(app, ["report", *arguments, "--out", str(tmp_path / "report")])
    assert done.exit_code == 0, done.output
    assert "README.md holds no run: left out" in done.stderr
    assert "3 runs on <bdi>AMD EPYC" in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")


def test_the_json_has_the_history_too(tmp_path: Path) -> None:
    folders = [str(made(tmp_path, day, {TORCH: QUIET}).folder) for day in (1, 2)]
    done = CliRunner().invoke(app, ["report", *folders, "--out", str(tmp_path / "report"), "--json"])
    (history,) = json.loads(done.stdout)["history"]
    assert [visit["run"] for visit in history["visits"]] == ["day1", "day2"]
    assert history["series"][0]["change"]["verdict"] == "same"


def test_a_run_that_is_named_and_not_there_is_an_error_among_others_too(tmp_path: Path) -> None:
    made(tmp_path, 1, {TORCH: QUIET})
    missing = tmp_path / "day2"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "day1"), str(missing), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, RecordError)
    assert str(missing) in str(done.exception)
