"""A run that is killed: what was measured stays, nothing keeps running."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from esrbench import store
from esrbench.record import Status
from esrbench.target import Target
from esrbench.testing import FakeScript

from .test_statuses import write_suite

TARGETS = tuple(Target(f"fake@cpu{index}:fp32") for index in range(3))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="orphans are ended through a Linux facility")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_finished_launches_of_a_killed_run_are_whole_and_its_worker_ends(
    sent, scripted, environment, zero_checkpoint, tmp_path
):
    scripted([FakeScript(target=target) for target in TARGETS])
    suite = write_suite(tmp_path / "run.toml", zero_checkpoint, TARGETS, max_rounds=50)
    command = [sys.executable, "-m", "esrbench", "bench", "--suite", str(suite), "--out", "results/run"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        for line in bench.stderr:  # until the third launch starts
            if line.startswith("fake@") and (tmp_path / "results/run/launches/0001.json").exists():
                break
        workers = psutil.Process(bench.pid).children(recursive=True)
        os.kill(bench.pid, sent)
        said = bench.stderr.read()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    assert bench.returncode == (-signal.SIGKILL if sent is signal.SIGKILL else 130)
    assert ("esrbench report results/run" in said) is (sent is signal.SIGINT)
    recorded = store.read_run(tmp_path / "results" / "run")
    assert recorded.end is None
    assert len(recorded.launches) >= 2
    assert {launch.status for launch in recorded.launches} == {Status.OK}
    report = subprocess.run(
        [sys.executable, "-m", "esrbench", "report", "results/run"], cwd=tmp_path, env=environment, check=False
    )
    assert report.returncode == 0
