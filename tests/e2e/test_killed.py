"""A run that is stopped: what was measured stays, nothing keeps running, and it can go on."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from esrbench import store, turn
from esrbench.record import Status
from esrbench.target import Target
from esrbench.testing import (
    FAKE_ENTRY_POINTS,
    SCRIPTS_VARIABLE,
    FakeScript,
    Fault,
    Moment,
    encode_scripts,
    write_distribution,
)

from .test_statuses import write_suite

TARGETS = tuple(Target(f"fake@cpu{index}:fp32") for index in range(2))
SCRIPTS = tuple(FakeScript(target=target) for target in TARGETS)
FAULTY = Target("fake@cpu7:fp32")  # its artifact is proved on the first of the others
ROUNDS = 2

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are ended by a Linux facility")


@pytest.fixture
def suite(scripted, zero_checkpoint, tmp_path):
    scripted(SCRIPTS)
    return write_suite(tmp_path / "run.toml", zero_checkpoint, TARGETS, max_rounds=ROUNDS)


@pytest.fixture(scope="module")
def whole(zero_checkpoint, cache, tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    write_distribution(folder / "site", "esrbench-fakes", FAKE_ENTRY_POINTS)
    environment = os.environ | {
        "ESRBENCH_CACHE": str(cache),
        "ESRBENCH_LOCK": str(folder / "lock"),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(folder / "site"), os.environ.get("PYTHONPATH")))),
        SCRIPTS_VARIABLE: encode_scripts(SCRIPTS),
    }
    suite = write_suite(folder / "run.toml", zero_checkpoint, TARGETS, max_rounds=ROUNDS)
    command = [sys.executable, "-m", "esrbench", "bench", "--suite", str(suite), "--out", "results/whole"]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=240)
    return folder / "results" / "whole"


def until_the_third_launch(bench, run):
    """Read what it says until the third launch has begun; what is on disk is then two launches."""
    for line in bench.stderr:
        if line.startswith("fake@") and "…" in line and (run / "launches" / "0001.json").exists():
            return
    pytest.fail("it ended before its third launch")


def until(found, bench, within_s=60.0):
    """Wait for what another process makes."""
    deadline = time.monotonic() + within_s
    while not (seen := found()):
        assert bench.poll() is None, "it ended"
        assert time.monotonic() < deadline, "it never came"
        os.sched_yield()
    return seen


def workers_of(bench):
    """Its launches' processes; the runtimes are asked in others."""
    children = psutil.Process(bench.pid).children(recursive=True)
    return [child for child in children if "esrbench.worker" in words_of(child)]


def words_of(child):
    try:
        return child.cmdline()
    except psutil.Error:
        return []


def until_a_fake_is_launched(bench):
    assert any(line.startswith("fake@") and "…" in line for line in bench.stderr)


def is_past_its_start(worker):
    """Whether it has asked to die with its parent: what it does next is to volunteer for the out-of-memory killer."""
    return Path(f"/proc/{worker.pid}/oom_score_adj").read_text().strip() == "1000"


@pytest.mark.parametrize(
    ("sent", "past_start"), [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGINT, True)]
)
def test_a_launch_that_would_never_end_ends_with_its_run(
    sent, past_start, scripted, zero_checkpoint, started, tmp_path
):
    scripted([*SCRIPTS, FakeScript(target=FAULTY, fault=Fault.HANG)])
    suite = write_suite(tmp_path / "run.toml", zero_checkpoint, [FAULTY], timeout_s=600)
    with started("bench", "--suite", suite, "--out", "results/run") as bench:
        until_a_fake_is_launched(bench)
        workers = until(lambda: workers_of(bench), bench)
        until(lambda: all(map(is_past_its_start, workers)) or not past_start, bench)
        os.kill(bench.pid, sent)
        bench.communicate(timeout=120)
    _, alive = psutil.wait_procs(workers, timeout=20)
    left = [worker for worker in alive if worker.status() != psutil.STATUS_ZOMBIE]  # who adopts it may never collect it
    for worker in left:
        worker.kill()
    assert not left


def test_what_was_measured_when_ctrl_c_came_is_kept(scripted, zero_checkpoint, started, places, tmp_path):
    scripted([*SCRIPTS, FakeScript(target=FAULTY, fault=Fault.HANG, moment=Moment.NEW_SHAPE)])
    suite = write_suite(tmp_path / "run.toml", zero_checkpoint, [FAULTY], timeout_s=600)
    with started("bench", "--suite", suite, "--out", "results/run") as bench:
        until_a_fake_is_launched(bench)
        until(lambda: list(places.glob("esrbench-run-*/measured.outcome.json")), bench)
        os.kill(bench.pid, signal.SIGINT)
        _, said = bench.communicate(timeout=120)
    assert bench.returncode == 130
    assert "Traceback" not in said
    recorded = store.read_run(tmp_path / "results" / "run")
    (launch,) = recorded.launches
    assert launch.status is Status.OK
    assert launch.samples.new_shape.reason == "after the measurement: interrupted"
    assert recorded.picture(launch.case)
    assert recorded.interruptions


def plan_of(run):
    return [(launch.case, launch.round, launch.status) for launch in run.launches]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_finished_launches_of_a_stopped_run_are_whole_and_the_rest_can_be_measured(
    sent, suite, whole, esrbench, started, places, tmp_path
):
    run = tmp_path / "results" / "run"
    with started("bench", "--suite", suite, "--out", "results/run") as bench:
        until_the_third_launch(bench, run)
        workers = psutil.Process(bench.pid).children(recursive=True)
        os.kill(bench.pid, sent)
        shown, said = bench.communicate(timeout=120)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert bench.returncode == (-signal.SIGKILL if sent is signal.SIGKILL else 130)
    kept = _what_was_measured_is_there(run, sent, shown + said)
    left = {path.name for path in places.glob("esrbench-run-*")}
    assert bool(left) is (sent is signal.SIGKILL)
    assert esrbench("report", "results/run").returncode == 0
    done = esrbench("bench", "--resume", "results/run")
    assert done.returncode == 0, done.stderr
    resumed = store.read_run(run)
    assert plan_of(resumed) == plan_of(store.read_run(whole))
    assert len(resumed.launches) == ROUNDS * (len(TARGETS) + 1)  # a control beside them
    assert resumed.end is not None
    assert [each.sequence for each in resumed.resumptions] == [kept]
    assert not list(places.glob("esrbench-run-*"))


def _what_was_measured_is_there(run, sent, output):
    """How many launches: two, and the one that Ctrl-C ended where it had measured already."""
    recorded = store.read_run(run)
    assert recorded.end is None
    kept = len(recorded.launches)
    assert kept in ({2, 3} if sent is signal.SIGINT else {2})
    assert {launch.status for launch in recorded.launches} == {Status.OK}
    if sent is signal.SIGINT:
        assert "esrbench bench --resume results/run" in output
        assert "reports/run/index.html" in output
        assert recorded.interruptions[0].interrupted
        assert (run.parents[1] / "reports" / "run" / "index.html").is_file()
    return kept


def test_a_second_ctrl_c_ends_a_run_at_once(suite, started, tmp_path):
    run = tmp_path / "results" / "run"
    with started("bench", "--suite", suite, "--out", "results/run") as bench:
        until_the_third_launch(bench, run)
        os.kill(bench.pid, signal.SIGINT)
        assert any(line.startswith("interrupted") for line in bench.stderr)
        os.kill(bench.pid, signal.SIGINT)
        _, said = bench.communicate(timeout=30)
    assert bench.returncode == 130
    assert "Traceback" not in said
    assert not (tmp_path / "reports" / "run").exists()
    assert len(store.read_run(run).launches) in {2, 3}  # the third is kept where it had measured


def test_a_run_that_came_to_its_end_is_reported_and_not_measured_again(whole, suite, esrbench, tmp_path):
    run = shutil.copytree(whole, tmp_path / "results" / "run")
    before = sorted(run.rglob("*"))
    done = esrbench("bench", "--resume", "results/run")
    assert done.returncode == 0
    assert "nothing is left to measure" in done.stderr
    assert sorted(run.rglob("*")) == before


@pytest.fixture
def cut(whole, suite, environment, tmp_path):
    """A run without its end and its last launches, and the folder of plug-ins that it began with."""
    environment["PYTHONPATH"] = store.read_run(whole).record.launch_environment.passed["PYTHONPATH"]
    run = shutil.copytree(whole, tmp_path / "results" / "run")
    (run / "end.json").unlink()
    for path in sorted((run / "launches").iterdir())[4:]:
        path.unlink()
    return run


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def as_of(run, old, new):
    """Make it a run that began otherwise, each of its launches behind the one before."""
    before = run / "run.json"
    edited(before, old, new)
    for path in sorted((run / "launches").iterdir()):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"previous_sha256": hashlib.sha256(before.read_bytes()).hexdigest()}))
        before = path


def test_a_run_of_another_machine_is_refused_with_what_changed_and_goes_on_where_that_is_allowed(cut, esrbench):
    kernel = os.uname().release
    as_of(cut, f'"os": "Linux {kernel}"', '"os": "Linux 1.0"')
    refused = esrbench("bench", "--resume", "results/run")
    assert refused.returncode == 2
    assert f"machine: operating system: Linux 1.0, now Linux {kernel}" in refused.stderr
    assert "--allow machine" in refused.stderr
    assert len(store.read_run(cut).launches) == 4
    assert esrbench("bench", "--resume", "results/run", "--allow", "machine").returncode == 0
    resumed = store.read_run(cut)
    assert len(resumed.launches) == ROUNDS * (len(TARGETS) + 1)
    assert any("Linux 1.0" in change for change in resumed.resumptions[0].changes)


def test_a_run_of_other_weights_is_refused(cut, esrbench):
    record = store.read_run(cut).record
    as_of(cut, record.model.weights_sha256, "0" * 64)
    refused = esrbench("bench", "--resume", "results/run")
    assert refused.returncode == 2
    assert "--allow weights" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "results/none"], "holds no readable run"),
        (["--resume", "results/run", "--tile", "32", "--seed-less"], "No such option"),
        (["--resume", "results/run", "--tile", "32"], "which --tile would change"),
        (["--resume", "results/run", "--allow", "weather"], "no kind of change is named 'weather'"),
    ],
)
def test_what_cannot_be_resumed_is_refused_with_one_message(cut, esrbench, arguments, message):
    done = esrbench("bench", *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_run_at_once_is_refused_or_waits_for_the_first(
    suite, esrbench, started, places, monkeypatch, tmp_path
):
    monkeypatch.setenv("ESRBENCH_LOCK", str(places / "esrbench.lock"))
    with turn.taken("results/first", pytest.fail, wait=False):
        refused = esrbench("bench", "--suite", suite, "--out", "results/second", "--no-wait")
        second = started("bench", "--suite", suite, "--out", "results/second")
        assert f"waiting for process {os.getpid()} (results/first) to end" in second.stderr.readline()
        assert not (tmp_path / "results").exists()
    second.communicate(timeout=120)
    assert (refused.returncode, second.returncode) == (3, 0)
    assert f"process {os.getpid()} (results/first) is measuring on this machine" in refused.stderr
    assert store.read_run(tmp_path / "results" / "second").end is not None
