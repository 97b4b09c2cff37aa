"""Other programs as targets: every way in which a call can end, in one run of real processes."""

import csv
import sys
from pathlib import Path

import pytest

from esrbench import store
from esrbench.command_launch import CLAIMED
from esrbench.record import Status
from esrbench.runner import DeviceType
from esrbench.target import REFERENCE, Target

from .test_statuses import write_suite

PROGRAM = Path(__file__).parents[1] / "tools" / "enlarge.py"

FAULTS = {
    "bicubic": (Status.WRONG, "PSNR to the reference is"),
    "black": (Status.WRONG, "a single value throughout"),
    "fail": (Status.ERROR, "ended with exit code 1: the network could not be found"),
    "silent": (Status.ERROR, "exit code 0, but wrote no picture: reading "),
    "garbage": (Status.ERROR, "output.png is not a picture that can be read"),
    "half": (Status.ERROR, "drew a picture of 80×48 pixels; ×4 is 160×96"),
    "kill": (Status.CRASHED, "killed by SIGSEGV: reading "),
    "out-of-memory": (Status.OOM, "ran out of memory: vkAllocateMemory failed"),
    "hang": (Status.TIMEOUT, "no result within 8 s"),
}
"""What the program is told, how its launch ends, and why."""

MISSING = "realesrgan-ncnn-vulkn"


def table(what: str, *, program: object = sys.executable, **fields: str) -> str:
    """A ``[[commands]]`` table of a suite file."""
    command = f"{program} '{PROGRAM}' {what} {{input}} {{output}} {{scale}}"
    lines = {"name": f"'{what}'", "command": f'"""{command}"""', "border_px": 4, **fields}
    return "\n".join(["", "[[commands]]", *(f"{name} = {value}" for name, value in lines.items())]) + "\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory, zero_checkpoint):
    """A run of them all, and what was printed; its folder is shared by the tests of this file."""
    import os
    import subprocess

    folder = tmp_path_factory.mktemp("commands")
    places = tmp_path_factory.mktemp("places")
    suite = write_suite(folder / "commands.toml", zero_checkpoint, [REFERENCE], timeout_s=8)
    good = table("nearest", device="'vulkan'", precision="'fp16'", software="true", environment="{GREETING = 'hello'}")
    tables = [good, table("child"), *map(table, FAULTS), table("missing", program=MISSING)]
    suite.write_text(suite.read_text() + "".join(tables))
    environment = os.environ | {"ESRBENCH_CACHE": str(folder / "cache"), "TMPDIR": str(places)}
    environment["ESRBENCH_LOCK"] = str(folder / "lock")
    done = subprocess.run(
        [sys.executable, "-m", "esrbench", "bench", "--suite", suite, "--out", "results/commands"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr  # a wrong picture
    assert not list(places.iterdir()), "something half-written stayed behind"
    recorded = store.read_run(folder / "results" / "commands")
    return {launch.case.target.runtime: launch for launch in recorded.launches}, folder / "reports" / "commands", done


def test_a_command_that_draws_the_reference_is_measured_a_call_a_picture(run):
    launch = run[0]["nearest"]
    assert (launch.status, launch.reason) == (Status.OK, None)
    samples = launch.samples
    assert samples.image_ns
    assert 0 < samples.start_ns < 2 * max(samples.image_ns)
    assert samples.start_side_px == 16
    assert (samples.load_ns, samples.first_tile_ns, samples.cold_ns, samples.tile_ns) == (None, None, None, ())
    assert launch.fidelity.mse == 0
    assert launch.fidelity.close_share == 1
    assert (launch.fidelity.bits, launch.fidelity.border_px) == (8, 4)
    assert 0 < launch.threads_at_work.cores < 4
    assert [each.tiles for each in samples.repeats] == [None]


def test_what_it_runs_on_is_recorded_as_its_claim_with_the_digests_of_its_files(run):
    placement = run[0]["nearest"].placement
    assert placement.provider == CLAIMED
    assert placement.device_type is DeviceType.SOFTWARE
    assert placement.options["GREETING"] == "hello"
    assert "{input}" in placement.options["command"]
    assert set(placement.versions) == {Path(sys.executable).name, PROGRAM.name}
    assert run[0]["nearest"].artifact is None


def test_memory_is_that_of_all_its_processes(run):
    alone, tree = run[0]["nearest"].memory, run[0]["child"].memory
    assert "VmHWM of the command" in alone.peak_rss_method
    assert 5e6 < alone.peak_rss_bytes < 100e6
    assert "2 processes" in tree.peak_rss_method
    assert tree.peak_rss_bytes > alone.peak_rss_bytes + 150e6


@pytest.mark.parametrize("what", FAULTS)
def test_every_fault_gets_its_status_and_its_reason(run, what):
    launch = run[0][what]
    status, reason = FAULTS[what]
    assert (launch.status, reason in launch.reason) == (status, True), launch.reason


def test_a_program_that_is_not_there_is_unavailable_and_harms_no_other(run):
    launch = run[0]["missing"]
    assert launch.status is Status.UNAVAILABLE
    assert launch.reason == f"no program '{MISSING}' is found"
    assert launch.wall_ns is None


def test_commands_stand_in_the_report_as_other_targets_do(run):
    _, report, done = run
    rows = {row["target"]: row for row in csv.DictReader((report / "summary.csv").read_text().splitlines())}
    good = rows["nearest@vulkan:fp16"]
    assert good["speedup"]
    assert (good["latency_ms"], good["load_s"], good["first_tile_s"]) == ("", "", "")
    assert rows["bicubic@cpu:fp32"]["speedup"] == ""
    page = (report / "index.html").read_text()
    for text in ("nearest@vulkan:fp16 (software)", CLAIMED, "are start (a picture of 16×16 px)", "within 1/255"):
        assert text in page
    assert "nearest@vulkan:fp16 (software) t24b1: ok, " in done.stderr
    assert " ms a picture" in done.stderr


COMMAND = "mine@cpu:fp32=python draw.py {input} {output}"


@pytest.mark.parametrize(
    ("command", "message"),
    [(COMMAND.replace("input", "inptu"), "did you mean 'input'"), (COMMAND.replace("mine", "ncnn"), "is installed")],
)
def test_a_command_that_cannot_be_is_refused_with_one_message(esrbench, tmp_path, zero_checkpoint, command, message):
    done = esrbench("bench", "--model", zero_checkpoint, "--target", REFERENCE, "--command", command)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_picture_too_small_to_be_compared_is_refused(esrbench, zero_checkpoint, tmp_path):
    from PIL import Image

    Image.new("RGB", (64, 20)).save(tmp_path / "flat.png")
    options = ["--model", zero_checkpoint, "--target", REFERENCE, "--image", "flat.png", "--command", COMMAND]
    done = esrbench("bench", *options)
    assert done.returncode == 2
    assert "64×20 pixels leaves nothing to compare between borders of 32 pixels" in done.stderr


def test_a_command_is_given_the_export_and_keeps_its_id_when_a_run_goes_on(esrbench, zero_checkpoint, tmp_path):
    copy = "import sys; from PIL import Image; p=Image.open(sys.argv[2]); n=int(sys.argv[4])*p.width; "
    draw = copy + "assert open(sys.argv[1]).read(7)=='7767517'; p.resize((n, n*p.height//p.width), 0).save(sys.argv[3])"
    (tmp_path / "draw.py").write_text(draw)
    target = Target("mine@vulkan1:fp16")
    command = f"{target} (software)={sys.executable} draw.py {{artifact_folder:ncnn}}/{{artifact_name:ncnn}}.param"
    suite = write_suite(
        tmp_path / "own.toml", zero_checkpoint, [REFERENCE], max_rounds=2, crop=[80, 200, 72, 68], tile=72
    )
    suite.write_text(f"control = false\n{suite.read_text()}")
    command += " {input} {output} {scale}"
    arguments = ["bench", "--suite", suite, "--command", command, "--out", "results/own", "--rounds", 1]
    done = esrbench(*arguments)
    assert done.returncode == 0, done.stderr
    assert esrbench("bench", "--resume", "results/own").returncode == 2  # a record is no reason to run a program
    assert esrbench("bench", "--resume", "results/own", "--command", command).returncode == 0
    launches = [each for each in store.read_run(tmp_path / "results" / "own").launches if each.case.target == target]
    assert [(each.round, each.status, each.reason) for each in launches] == [(0, Status.OK, None), (1, Status.OK, None)]
    assert {each.artifact.format for each in launches} == {"ncnn"}
    assert {each.artifact.precision for each in launches} == {"fp16"}
