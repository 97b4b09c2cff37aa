"""Faults of the machine around a run: each gets its status, what was measured is whole, `--resume` completes it."""

import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.target import REFERENCE, Target
from esrbench.testing import FakeScript, Fault, Moment

from .test_statuses import write_suite

ONE, TWO = (Target(f"fake@cpu{index}:fp32") for index in (1, 2))

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and file systems of Linux")


@pytest.fixture
def suite(scripted, zero_checkpoint, tmp_path):
    """Script the targets and write a suite of them."""

    def write(*scripts, **changes):
        scripted(scripts)
        return write_suite(tmp_path / "run.toml", zero_checkpoint, [script.target for script in scripts], **changes)

    return write


def statuses(folder):
    return {launch.case.target: launch.status for launch in store.read_run(folder).launches}


def limited(what, value):
    return lambda: resource.setrlimit(what, (value, value))


def test_a_worker_killed_from_outside_has_crashed_and_the_run_goes_on(suite, started, tmp_path):
    hanging = FakeScript(target=ONE, fault=Fault.HANG)
    file = suite(hanging, FakeScript(target=TWO), max_rounds=1, timeout_s=120)
    with started("bench", "--suite", file, "--out", "results/run") as bench:
        assert any(line.startswith(f"{ONE} ") and "…" in line for line in bench.stderr)
        worker = next(
            child
            for _ in iter(int, 1)  # until the launch's process is there
            for child in psutil.Process(bench.pid).children()
            if "esrbench.worker" in child.cmdline()
        )
        worker.send_signal(signal.SIGKILL)
        bench.communicate(timeout=120)
    assert bench.returncode == 0
    launches = {launch.case.target: launch for launch in store.read_run(tmp_path / "results" / "run").launches}
    assert launches[ONE].status is Status.CRASHED
    assert "killed by SIGKILL, as the kernel's out-of-memory killer does" in launches[ONE].reason
    assert launches[TWO].status is Status.OK


def test_memory_that_the_system_refuses_is_oom_with_what_to_do(suite, started, tmp_path):
    file = suite(FakeScript(target=ONE, fault=Fault.MEMORY), FakeScript(target=TWO), max_rounds=1)
    limit = limited(resource.RLIMIT_AS, 12 << 30)  # as `ulimit -v` does
    with started("bench", "--suite", file, "--out", "results/run", preexec_fn=limit) as bench:
        shown, said = bench.communicate(timeout=120)
    assert bench.returncode == 0, said
    assert statuses(tmp_path / "results" / "run") == {ONE: Status.OOM, TWO: Status.OK}
    assert "try a smaller --tile" in shown
    assert "out of memory at tile 24, batch 1, with 12.88 GB (address-space limit)" in " ".join(shown.split())


def test_a_sweep_launches_nothing_larger_than_what_ran_out_of_memory(suite, started, tmp_path):
    file = suite(FakeScript(target=ONE, fault=Fault.MEMORY), FakeScript(target=TWO), max_rounds=1)
    sizes = ["--sweep", "--tile", "24", "--tile", "32", "--batch", "1", "--batch", "2", "--halo", "4"]
    limit = limited(resource.RLIMIT_AS, 12 << 30)
    with started("bench", "--suite", file, *sizes, "--out", "results/run", preexec_fn=limit) as bench:
        _, said = bench.communicate(timeout=120)
    assert bench.returncode == 0, said
    run = store.read_run(tmp_path / "results" / "run")
    one, two = ([launch for launch in run.launches if launch.case.target == target] for target in (ONE, TWO))
    assert [launch.status for launch in one] == [Status.OOM] * 4
    assert [launch.case.workload for launch in one if launch.wall_ns is not None] == ["t24b1"]
    assert one[0].room is not None
    assert one[0].room.bytes == 12 << 30
    assert [launch.status for launch in two] == [Status.OK] * 4
    assert [launch.fidelity.mse for launch in two if launch.fidelity] == [0.0] * 4
    logs = sorted(file.name for file in (tmp_path / "results" / "run" / "logs").glob("reference.*"))
    assert logs == ["reference.t24b1.txt", "reference.t32b1.txt"]  # batches share them
    assert (tmp_path / "reports" / "run" / "frontier.png").is_file()


def test_a_launch_that_cannot_write_its_files_ends_the_run_and_no_target_is_blamed(
    suite, esrbench, started, places, tmp_path
):
    file = suite(FakeScript(target=ONE), FakeScript(target=TWO), max_rounds=2)
    assert esrbench("bench", "--suite", file, "--out", "results/whole").returncode == 0  # exports too
    limit = limited(resource.RLIMIT_FSIZE, 100_000)  # less than the reference's tiles
    with started("bench", "--suite", file, "--out", "results/run", preexec_fn=limit) as bench:
        _, said = bench.communicate(timeout=120)
    assert bench.returncode == 2
    assert "a launch could not write its files" in said
    assert "esrbench bench --resume results/run" in said
    assert "Traceback" not in said
    assert store.read_run(tmp_path / "results" / "run").launches == ()
    assert not list(places.glob("esrbench-run-*"))
    assert esrbench("bench", "--resume", "results/run").returncode == 0
    assert set(statuses(tmp_path / "results" / "run").values()) == {Status.OK}


@contextmanager
def small_disk(place, kilobytes):
    place.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}k", str(place)], check=True)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_ends_the_run_with_what_was_measured_whole_and_room_lets_it_go_on(suite, esrbench, tmp_path):
    file = suite(FakeScript(target=ONE), FakeScript(target=TWO), max_rounds=8)
    with small_disk(tmp_path / "results", kilobytes=100) as resize:
        done = esrbench("bench", "--suite", file, "--out", "results/run")
        assert done.returncode == 2
        assert "No space left on device" in done.stderr
        assert "esrbench bench --resume results/run" in done.stderr
        assert "Traceback" not in done.stderr
        before = store.read_run(tmp_path / "results" / "run").launches
        assert 0 < len(before) < 24
        resize(4000)
        assert esrbench("bench", "--resume", "results/run").returncode == 0
        resumed = store.read_run(tmp_path / "results" / "run")
        assert resumed.launches[: len(before)] == before
        assert len(resumed.launches) == 24
        assert resumed.end is not None


def test_a_plug_in_that_raises_when_it_is_asked_for_its_targets_harms_no_other(suite, esrbench, tmp_path):
    file = suite(FakeScript(target=ONE, fault=Fault.RAISE, moment=Moment.PROBE), max_rounds=1)
    file.write_text(file.read_text().replace(f"[{str(ONE)!r}]", f"[{str(ONE)!r}, {str(REFERENCE)!r}]"))
    done = esrbench("bench", "--suite", file, "--out", "results/run")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "results" / "run") == {ONE: Status.UNAVAILABLE, REFERENCE: Status.OK}
    assert "scripted to raise" in done.stdout
