"""Cores and threads at work: measured in this process, and what a report makes of them."""

import hashlib
import sys
import threading
import time

import pytest
from recorded import launch, write_run

from esrbench.meters import thread_times
from esrbench.record import Noise, ThreadsAtWork
from esrbench.report.findings import trust
from esrbench.report.thread_notes import thread_notes

NCNN = "ncnn@cpu:fp32"
QUIET, BUSY = Noise(other_cores=0.01), Noise(other_cores=0.9)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are told apart by /proc")
def test_a_thread_that_works_alone_is_told_from_those_that_wait():
    data, worked, stop = bytes(1 << 20), threading.Event(), threading.Event()

    def work():
        while time.thread_time() < 0.4:  # 40 ticks
            hashlib.sha256(data).digest()  # without the interpreter's lock
        worked.set()
        stop.wait()  # a thread that has ended has no entry in /proc

    threads = [threading.Thread(target=work), threading.Thread(target=stop.wait)]
    meter = thread_times.ThreadMeter()
    for thread in threads:
        thread.start()
    worked.wait()
    found = meter.found()
    stop.set()
    for thread in threads:
        thread.join()
    assert found.busy_threads == 1
    assert found.cpu_s >= 0.4
    assert found.cores < 1.5


def test_a_helper_that_woke_now_and_then_is_not_at_work():
    before = {"main": 100, "helper": 5}
    assert thread_times.busy_threads(before, {"main": 200, "helper": 14, "second": 95}) == 2
    assert thread_times.busy_threads(before, before) is None


def worked(cores, threads, noise=QUIET, target=NCNN, round_=0, wall_s=1.0):
    at_work = ThreadsAtWork(cpu_s=cores * wall_s, wall_s=wall_s, busy_threads=threads)
    return launch(target, round_=round_, threads_at_work=at_work, noise=noise)


@pytest.mark.parametrize(
    ("launched", "says"),
    [
        (worked(1.0, 1), "ran on 1.0 cores of 2 asked"),
        (worked(0.9, 1, BUSY), "ran on 0.9 cores of 2 asked"),
        (worked(1.1, 2), "ran on 1.1 cores of 2 asked"),
        (worked(3.9, 4), "ran on 3.9 cores of 2 asked"),
        (worked(1.0, None), "ran on 1.0 cores of 2 asked"),
        (worked(1.9, 2), None),
        (worked(1.1, 2, BUSY), None),
        (worked(1.0, 1, target="ncnn@vulkan:fp32"), None),
        (worked(1.0, 1, wall_s=0.1), None),
    ],
    ids=["one", "one, busy machine", "half of two", "more", "command", "all", "taken by others", "a GPU", "too short"],
)
def test_a_target_that_ran_on_other_cores_than_asked_is_named(launched, says, tmp_path):
    run = write_run(tmp_path / "run", [launched])
    notes = thread_notes(run)
    assert bool(notes) == (says is not None)
    assert all(says in note and str(launched.case.target) in note and note in trust(run) for note in notes)


def test_one_odd_launch_of_several_says_nothing_of_the_target(tmp_path):
    rounds = [worked(1.0, 1), worked(1.9, 2, round_=1), worked(1.9, 2, round_=2)]
    assert thread_notes(write_run(tmp_path / "run", rounds)) == []
