"""Every way in which a launch can end, in one run of real processes with scripted runtimes."""

import csv

import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.runner import DeviceType
from esrbench.target import Target
from esrbench.testing import FakeScript, Fault, Moment

GOOD = Target("fake@cpu:fp32")

FAULTS = {
    "fake@cpu1:fp32": (Fault.WRONG, Moment.RUN, Status.WRONG, "dB"),
    "fake@cpu2:fp32": (Fault.NAN, Moment.RUN, Status.WRONG, "NaN"),
    "fake@cpu3:fp32": (Fault.FELL_BACK, Moment.RUN, Status.FELL_BACK, "scripted to fall back"),
    "fake@cpu4:fp32": (Fault.UNAVAILABLE, Moment.PROBE, Status.UNAVAILABLE, "scripted to be unavailable"),
    "fake@cpu5:fp32": (Fault.OOM, Moment.LOAD, Status.OOM, "memory"),
    "fake@cpu6:fp32": (Fault.HANG, Moment.RUN, Status.TIMEOUT, "no result within 6 s"),
    "fake@cpu7:fp32": (Fault.CRASH, Moment.RUN, Status.CRASHED, "SIGKILL"),
    "fake@cpu8:fp32": (Fault.RAISE, Moment.LOAD, Status.ERROR, "RuntimeError: scripted to raise"),
    "fake@cpu9:fp32": (Fault.RAISE, Moment.RUN, Status.ERROR, "RuntimeError: scripted to raise"),
    "fake@cpu10:fp32": (Fault.RAISE, Moment.STREAM, Status.ERROR, "RuntimeError: scripted to raise"),
    "fake@cpu11:fp32": (Fault.RAISE, Moment.PLACEMENT, Status.ERROR, "RuntimeError: scripted to raise"),
    "fake@cpu13:fp32": (Fault.RAISE, Moment.PRECISION, Status.ERROR, "could not say which artifact it wants"),
    "fake@cpu14:fp32": (Fault.SILENT, Moment.RUN, Status.CRASHED, "left no result: [Errno 2] No such file"),
    "fake@cpu15:fp32": (Fault.GARBAGE, Moment.RUN, Status.CRASHED, "left no result: the launch's outcome is not a"),
}

HARMLESS = {
    "fake@cpu12:fp32": (
        Fault.RAISE,
        Moment.CLOSE,
        "after the measurement: closing the session failed: RuntimeError: scripted to raise",
    ),
    "fake@cpu20:fp32": (Fault.CHATTER, Moment.RUN, None),
    "fake@cpu21:fp32": (Fault.RAISE, Moment.NEW_SHAPE, "refused: scripted to raise"),
    "fake@cpu22:fp32": (Fault.CRASH, Moment.NEW_SHAPE, "after the measurement: the process was killed by SIGKILL"),
    "fake@cpu23:fp32": (Fault.HANG, Moment.NEW_SHAPE, "after the measurement: no result within 6 s"),
    "fake@cpu24:fp32": (Fault.CRASH, Moment.CLOSE, "after the measurement: the process was killed by SIGKILL"),
}
"""What goes wrong without touching a number, and what the record then says of the new shape."""

SUITE = """
name = "faults"
model = "{model}"
targets = {targets}
max_rounds = 1
timeout_s = 6
warmup_s = 0.1
measure_s = 0.1
roofline = false

[[workloads]]
image = "astronaut"
crop = [80, 200, 24, 40]
tile = 24
halo = 4
"""


def write_suite(path, model, targets, **changes):
    text = SUITE.format(model=model, targets=list(map(str, targets)))
    for name, value in changes.items():
        text = "\n".join(f"{name} = {value}" if line.startswith(f"{name} =") else line for line in text.splitlines())
    path.write_text(text)
    return path


@pytest.fixture
def run(esrbench, scripted, zero_checkpoint, tmp_path):
    scripted(
        [FakeScript(target=GOOD, device_type=DeviceType.CPU)]
        + [
            FakeScript(target=Target(name), fault=fault, moment=moment)
            for name, (fault, moment, *_) in (FAULTS | HARMLESS).items()
        ]
    )
    suite = write_suite(tmp_path / "faults.toml", zero_checkpoint, [GOOD, *FAULTS, *HARMLESS])
    done = esrbench("bench", "--suite", suite, "--out", "results/faults")
    assert done.returncode == 1, done.stderr  # a wrong picture
    return done, store.read_run(tmp_path / "results" / "faults")


def test_every_fault_gets_its_status_and_its_reason_and_the_run_goes_on(run, tmp_path):
    done, recorded = run
    found = {launch.case.target: launch for launch in recorded.launches}
    assert set(found) == {GOOD, *FAULTS, *HARMLESS}
    assert found[GOOD].status is Status.OK
    for name, (_, _, status, reason) in FAULTS.items():
        launch = found[Target(name)]
        assert (name, launch.status) == (name, status)
        assert reason in (launch.reason or ""), (name, launch.reason)
    for name, (*_, reason) in HARMLESS.items():
        launch = found[Target(name)]
        assert (name, launch.status) == (name, Status.OK)
        assert launch.samples.tile_ns
        assert (launch.samples.new_shape.reason or "").startswith(reason or "")
    assert recorded.end is not None
    _every_target_is_reported_and_only_the_good_one_has_a_speed(tmp_path / "reports" / "faults", done.stdout)


def _every_target_is_reported_and_only_the_good_one_has_a_speed(folder, stdout):
    lines = (folder / "summary.csv").read_text().splitlines()
    rows = {row["target"]: row for row in csv.DictReader(lines)}
    assert set(rows) == {GOOD, *FAULTS, *HARMLESS}
    assert all(rows[name]["latency_ms"] for name in (GOOD, *HARMLESS))
    page = (folder / "index.html").read_text()
    for name in FAULTS:
        assert rows[name]["speedup"] == ""
        assert rows[name]["reason"]
        assert name in page
        assert name in stdout
