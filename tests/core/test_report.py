"""The report of made-up runs: complete, self-contained, repeatable, and careful with what lies in its place."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded import TORCH, failed, fidelity, launch, memory, output_name, placement, samples, workload, write_run
from rich.console import Console
from typer.testing import CliRunner

from esrbench.case_summary import ranking, summarise
from esrbench.cli import app, exit_code
from esrbench.errors import EsrbenchError, OutputError, RecordError
from esrbench.record import Attainable, Energy, Status
from esrbench.report import render, terminal_table
from esrbench.report.charts import CHARTS
from esrbench.report.findings import noise_notes
from esrbench.report.pictures import workload_pictures
from esrbench.report.summary import CSV_COLUMNS, summary_csv, summary_md
from esrbench.roofline import Bound
from esrbench.runner import DeviceType
from esrbench.store import Run, read_run
from esrbench.target import Precision

STATUSES = {
    "onnxruntime@cpu:int8": Status.WRONG,
    "onnxruntime@cuda:fp32": Status.FELL_BACK,
    "torch@cuda:fp32": Status.UNAVAILABLE,
    "torch@cuda:fp16": Status.OOM,
    "ncnn@vulkan1:fp16": Status.TIMEOUT,
    "tvm@cpu:fp32": Status.CRASHED,
    "mnn@cpu:fp32": Status.ERROR,
}
NASTY = "<script>alert('x')</script> | ``` & \"quoted\""


def full_run(folder: Path) -> Run:
    """All eight statuses, a software device, missing values, an identical picture, two workloads."""
    rng = np.random.default_rng(5)
    reference = rng.integers(0, 256, (400, 400, 3), dtype=np.uint8)
    launches = []
    for round_ in range(2):
        for id_ in ("t48b1", "t96b1"):
            launches += [
                launch(TORCH, round_=round_, workload_id=id_, fidelity=fidelity(0.0, ssim=1.0, worst_abs=0.0)),
                launch("openvino@cpu:bf16", round_=round_, workload_id=id_, samples=samples(0.5 + 0.01 * round_)),
                launch("newruntime@cpu:fp32", round_=round_, workload_id=id_, memory=memory(None)),
                launch(
                    "ncnn@vulkan:fp32",
                    round_=round_,
                    workload_id=id_,
                    placement=placement(DeviceType.SOFTWARE, "llvmpipe"),
                    memory=memory(800, 120),
                    samples=samples(9.0, [900.0, 950.0]),
                ),
            ]
    launches += [failed(target, status, f"{NASTY} {status}", f"do {NASTY}") for target, status in STATUSES.items()]
    pictures = {}
    for id_ in ("t48b1", "t96b1"):
        pictures |= {
            f"input.{id_}.png": rng.integers(0, 256, (100, 100, 3), dtype=np.uint8),
            f"reference.{id_}.png": reference,
            output_name(TORCH, id_): reference,
            output_name("openvino@cpu:bf16", id_): np.where(reference < 250, reference + 4, reference).astype(np.uint8),
        }
    workloads = [workload(), workload("t96b1", tile=96)]
    roofs = [roof(Precision.FP32, 1800.0), roof(Precision.BF16, 3000.0), roof(Precision.INT8, None)]
    return write_run(folder, launches, workloads=workloads, pictures=pictures, notes=[NASTY], attainable=roofs)


def roof(precision: Precision, gflops_s: float | None) -> Attainable:
    gbytes_s = None if gflops_s is None else 40.0
    return Attainable(device="cpu", precision=precision, gflops_s=gflops_s, gbytes_s=gbytes_s, how=f"so {NASTY}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return full_run(tmp_path_factory.mktemp("results") / "full")


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render([run], tmp_path_factory.mktemp("reports") / "full").parent


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return write_run(tmp_path_factory.mktemp("results") / "small", [launch(TORCH)])


class Page(HTMLParser):
    """What a page loads, and the tags that it opens."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.opened: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in {"src", "srcset", "href"}]


def test_the_report_holds_the_page_the_summaries_and_every_chart_for_light_and_dark(folder: Path) -> None:
    names = [*(chart.name for chart in CHARTS), "frontier"]  # the run has two tiles
    charts = {f"{name}{suffix}.png" for name in names for suffix in ("", "-dark")}
    assert {path.name for path in folder.iterdir()} == charts | {"index.html", "summary.md", "summary.csv"}
    for name in charts:
        with Image.open(folder / name) as image:
            assert image.width > 800
            assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20


def test_the_page_loads_nothing_from_outside(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in Page(text).loaded)
    assert not re.search(r"https?://|url\(\"?(?!data:|\"data:)|@import", text)


def test_the_page_names_every_target_and_says_why_each_was_not_measured(folder: Path, run: Run) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    for case in run.record.cases:
        assert case.target in text
    for status in STATUSES.values():
        assert f"&#34;quoted&#34; {status.value}" in text
    assert "ncnn@vulkan:fp32 (software)" in text


def test_text_from_a_record_never_becomes_markup(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(" in text
    assert Page(text).opened.count("script") == 1  # the page's own
    assert "<script>" not in (folder / "summary.md").read_text(encoding="utf-8")


def test_the_page_begins_with_the_answer(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    order = [
        "<h1>On this machine",
        'class="results"',
        ">Charts<",
        ">Pictures",
        ">Not measured or not known, and why<",
        ">The machine<",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "<code>openvino@cpu:bf16</code> is" in text


def test_rendering_twice_gives_the_same_bytes(folder: Path, run: Run, tmp_path: Path) -> None:
    again = render([run], tmp_path / "again").parent
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_the_csv_has_the_stable_columns_and_leaves_what_was_not_measured_empty(run: Run) -> None:
    text = summary_csv([run])
    assert text.splitlines()[0] == (
        "target,status,reason,tile_px,batch,speedup,speedup_low,speedup_high,latency_ms,throughput_mpix_s,"
        "peak_ram_mb,device_memory_mb,load_s,first_tile_s,psnr_db,ssim,device_type,"
        "gflops_s,attainable_percent,bound_by,joules_per_mpix,cold_s,new_shape_s,latency_p90_ms,latency_p99_ms"
    )
    rows = {(row["target"], row["tile_px"]): row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == len(run.record.cases)
    reference = rows[TORCH, "48"]
    assert (reference["status"], reference["speedup"], reference["speedup_low"]) == ("ok", "1", "")
    assert (reference["psnr_db"], reference["latency_ms"], reference["load_s"]) == ("inf", "110", "0.5")
    assert reference["device_memory_mb"] == ""
    assert (reference["cold_s"], reference["new_shape_s"], reference["latency_p90_ms"]) == ("2", "0.04", "")
    unmeasured = rows["newruntime@cpu:fp32", "48"]
    assert unmeasured["peak_ram_mb"] == ""
    gone = rows["torch@cuda:fp32", "48"]
    assert gone["status"] == "unavailable"
    assert all(gone[name] == "" for name in CSV_COLUMNS[5:])
    assert (reference["device_type"], rows["ncnn@vulkan:fp32", "48"]["device_type"]) == ("cpu", "software")


def test_the_markdown_has_the_answer_one_row_a_ranked_case_and_the_reasons(run: Run) -> None:
    text = summary_md([run])
    assert text.startswith("On this machine (AMD EPYC, 2 cores)")
    rows = [line for line in text.partition("Fastest within")[0].splitlines() if line.startswith("| ")]
    ranked = [row for row in summarise(run) if row.ranked]
    assert len(rows) == 2 + len(ranked)
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1
    assert "**fell back** `onnxruntime@cuda:fp32`" in text


def test_the_terminal_table_fits_80_columns_and_cuts_no_number(run: Run) -> None:
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(terminal_table(run))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    assert "openvino@cpu:bf16" in text
    assert "timeout: ncnn@vulkan1:fp16" in text


def test_a_run_without_any_speed_has_a_page_without_charts(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [failed(TORCH, Status.CRASHED, "signal 11")], ended=False)
    index = render([run], tmp_path / "report")
    text = index.read_text(encoding="utf-8")
    assert "nothing could be measured" in text
    assert "signal 11" in text
    assert not list(index.parent.glob("*.png"))


def test_a_run_without_a_launch_has_a_page(tmp_path: Path) -> None:
    text = render([write_run(tmp_path / "run", [], ended=False)], tmp_path / "report").read_text(encoding="utf-8")
    assert "no launch was finished" in text
    assert "The run was cut short" in text


def test_several_runs_share_a_page_and_have_charts_of_their_own(small: Run, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", [launch(TORCH), launch("ncnn@cpu:fp32")])
    index = render([small, other], tmp_path / "report")
    assert index.read_text(encoding="utf-8").count("<h1>On this machine") == 2
    assert {"throughput.png", "throughput.2.png", "throughput-dark.2.png"} <= {
        path.name for path in index.parent.iterdir()
    }
    assert len(summary_csv([small, other]).splitlines()) == 1 + 1 + 2


def test_an_earlier_report_is_replaced_whole(small: Run, tmp_path: Path) -> None:
    out = tmp_path / "report"
    render([small, small], out)
    assert (out / "throughput.2.png").exists()
    render([small], out)
    assert not (out / "throughput.2.png").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["notes.txt", "index.html", "run.json"])
def test_a_folder_that_is_no_report_is_left_alone(small: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / "precious"
    out.mkdir()
    (out / name).write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="choose another --out"):
        render([small], out)
    assert [path.name for path in out.iterdir()] == [name]
    assert (out / name).read_text(encoding="utf-8") == "mine"


def test_a_file_added_to_a_report_is_not_deleted(small: Run, tmp_path: Path) -> None:
    index = render([small], tmp_path / "report")
    (index.parent / "my-notes.md").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"my-notes\.md"):
        render([small], index.parent)


def test_a_report_in_the_place_of_a_file_is_refused(small: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="choose another --out"):
            render([small], out)


def test_the_difference_is_amplified_as_far_as_no_ranked_target_saturates(run: Run) -> None:
    pictures = workload_pictures(run, run.record.workloads[0], ranking(summarise(run)))
    assert pictures is not None
    # the largest difference drawn above is 4 steps: 4 × 32 = 128 fits, and so does 4 × 63; 64 does not
    assert pictures.gain == 32
    assert {target.label: target.worst_steps for target in pictures.targets} == {TORCH: 0, "openvino@cpu:bf16": 4}
    assert pictures.is_whole


def test_a_large_picture_is_shown_around_its_worst_pixel(tmp_path: Path) -> None:
    pixels = np.zeros((800, 800, 3), dtype=np.uint8)
    bf16 = "torch@cpu:bf16"
    run = write_run(
        tmp_path / "run",
        [launch(TORCH, fidelity=fidelity(0.0, worst_abs=0.0)), launch(bf16, fidelity=fidelity(yx=(790, 400)))],
        workloads=[workload(side=200)],
        pictures={"input.t48b1.png": pixels[::4, ::4], "reference.t48b1.png": pixels, output_name(bf16): pixels},
    )
    pictures = workload_pictures(run, run.record.workloads[0], summarise(run))
    assert pictures is not None
    assert not pictures.is_whole
    # 384 output px are 96 input px; row 790 // 4 = 197 is nearer to the edge than half of that
    assert (pictures.window.y, pictures.window.x) == (200 - 96, 400 // 4 - 48)


def test_the_notes_say_how_far_the_reference_drifted_and_when_there_was_one_round(tmp_path: Path) -> None:
    drifting = [launch(TORCH, round_=round_, samples=samples(s)) for round_, s in enumerate([1.0, 1.1])]
    run = write_run(tmp_path / "two", drifting, notes=["left out: tile 512"])
    notes = noise_notes(run, summarise(run))
    # speeds 1 and 1/1.1: apart by 0.0909 of their median 0.9545
    assert "2 launches of torch@cpu:fp32 on t48b1 lie 9.5% apart" in notes[1]
    assert notes[-1] == "left out: tile 512"
    busy = [launch(TORCH, round_=round_, samples=samples(s)) for round_, s in enumerate([1.0, 1.5])]
    disturbed = write_run(tmp_path / "busy", busy)
    assert any("Measure again when it is quiet" in note for note in noise_notes(disturbed, summarise(disturbed)))
    once = write_run(tmp_path / "one", [launch(TORCH)])
    assert any("launched once" in note for note in noise_notes(once, summarise(once)))


def test_the_command_prints_the_answer_the_table_and_the_page(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import esrbench.cli.report  # noqa: F401

    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, ["report", str(run.folder)])
    assert found.exit_code == 0, found.output
    assert found.stdout.startswith("On this machine (AMD EPYC, 2 cores)")
    assert found.stdout.rstrip().endswith("reports/full/index.html")
    assert (tmp_path / "reports/full/index.html").is_file()


def test_the_command_prints_rows_as_json(run: Run, tmp_path: Path) -> None:
    import esrbench.cli.report  # noqa: F401

    found = CliRunner().invoke(app, ["report", str(run.folder), "--out", str(tmp_path / "out"), "--json"])
    printed = json.loads(found.stdout)
    cases = {(case["target"], case["tile_px"]): case for case in printed["runs"][0]["cases"]}
    assert printed["index"] == str(tmp_path / "out" / "index.html")
    assert cases["openvino@cpu:bf16", 48]["psnr_db"] == pytest.approx(60.0)
    identical = cases[TORCH, 48]
    assert (identical["psnr_db"], identical["mse"]) == (None, 0)
    assert math.isclose(cases["ncnn@vulkan:fp32", 48]["device_memory_mb"], 120)


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "broken"])
def test_a_run_that_cannot_be_read_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    import esrbench.cli.report  # noqa: F401

    place = tmp_path / kind
    if kind == "file":
        place.write_text("text", encoding="utf-8")
    elif kind != "missing":
        place.mkdir()
    if kind == "broken":
        (place / "run.json").write_text("{", encoding="utf-8")
    found = CliRunner().invoke(app, ["report", str(place), "--out", str(tmp_path / "out")])
    assert isinstance(found.exception, RecordError | EsrbenchError)
    assert exit_code(found.exception) == 2
    assert str(place) in str(found.exception)
    assert not (tmp_path / "out").exists()


def test_report_code_loads_no_runtime() -> None:
    heavy = ["torch", "onnxruntime", "ncnn", "openvino", "matplotlib.pyplot"]
    code = f"import sys, esrbench.report; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_target_stands_beside_what_its_device_reaches(tmp_path: Path) -> None:
    energy = Energy(joules=90.0, seconds=3.0, method="scripted")
    launches = [
        launch(TORCH, samples=samples(2.0), energy=energy),
        launch("openvino@cpu:bf16", samples=samples(1.0)),
        launch("onnxruntime@cpu:int8"),
        launch("ncnn@vulkan:fp32"),
    ]
    roofs = [roof(Precision.FP32, 800.0), roof(Precision.BF16, 743.4), roof(Precision.INT8, None)]
    run = write_run(tmp_path / "run", launches, attainable=roofs)
    torch, openvino, int8, vulkan = summarise(run)
    gflop = 35.853696 * 9 * 48**2 / 1e3  # nine windows of 48² px, 35.85 MFLOP each pixel
    assert torch.gflops_s == pytest.approx(gflop / 2)
    assert torch.attainable_percent == pytest.approx(100 * gflop / 2 / 800)
    assert openvino.attainable_percent == pytest.approx(100 * gflop / 743.4)
    assert (torch.bound_by, openvino.bound_by) == (Bound.COMPUTE, Bound.COMPUTE)
    assert (int8.attainable_percent, int8.bound_by, vulkan.attainable_percent) == (None, None, None)
    assert int8.gflops_s == pytest.approx(gflop)
    # 30 W for the 2 s of a pass, over 0.16 output megapixels; not the 3 s of the loop
    assert torch.joules_per_mpix == pytest.approx(375)
    assert openvino.joules_per_mpix is None
    text = summary_md([run])
    assert "| GFLOP/s | % attainable | bound by | J/Mpix |" in text
    assert "cpu fp32 800 GFLOP/s, cpu bf16 743 GFLOP/s" in text
    assert "More than" not in " ".join(noise_notes(run, summarise(run)))


def test_more_than_can_be_reached_is_remarked_on(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [launch(TORCH)], attainable=[roof(Precision.FP32, 500.0)])
    assert "torch@cpu:fp32 149 %" in " ".join(noise_notes(run, summarise(run)))


def test_a_run_without_roofs_has_neither_the_chart_nor_the_columns(small: Run, tmp_path: Path) -> None:
    folder = render([small], tmp_path / "report").parent
    assert not list(folder.glob("efficiency*"))
    text = (folder / "index.html").read_text(encoding="utf-8")
    assert "% attainable" not in text
    assert "What each device can reach" not in text


def test_the_page_says_what_each_device_reaches_and_how_that_was_found(folder: Path) -> None:
    text = (folder / "index.html").read_text(encoding="utf-8")
    table = text[text.index(">What each device can reach<") :].split("</table>")[0]
    assert table.count("<tr>") == 4
    assert '<td>bf16</td><td class="number">3000</td><td class="number">40.0</td><td class="number">75.0</td>' in table
    assert '<td>int8</td><td class="number">–</td>' in table


def test_a_run_that_was_paused_after_every_round_says_once_that_it_was_resumed() -> None:
    run = read_run(Path(__file__).parents[2] / "results" / "curated" / "ci-equal-head-epyc-zen4-2-cores" / "base")
    resumed = [note for note in noise_notes(run, summarise(run)) if "resumed" in note]
    assert resumed == [f"The run was resumed with launch {', '.join(str(6 * at) for at in range(1, 20))}."]
