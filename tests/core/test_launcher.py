"""A reference that several workloads share is drawn once and bears a name for each."""

import os
import shutil
from pathlib import Path

import pytest
from recorded import workload
from staged import ARTIFACT

from esrbench.errors import OutputError
from esrbench.job import Outcome
from esrbench.launcher import Inputs, Launcher
from esrbench.process import Ended
from esrbench.record import Status
from esrbench.store import RunWriter

FULL = OSError(28, os.strerror(28))


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Begin the run, or go on with it: a launcher whose process draws in no time."""
    writer = RunWriter(tmp_path / "run")
    for folder in (writer.pictures, writer.logs):
        folder.mkdir(parents=True)
    workloads = {each.id: each for each in (workload("t24b1", batch=1), workload("t24b2", batch=2))}
    pictures = dict.fromkeys(workloads, Path("x"))
    inputs = Inputs(workloads=workloads, pictures=pictures, artifacts={}, reference=ARTIFACT)

    def draw(_launcher, job, _log, _timeout_s):
        for file in (job.reference, job.picture):
            Path(file).unlink(missing_ok=True)
            Path(file).write_bytes(b"drawn")
        return Outcome(status=Status.OK), Ended(exit_code=0, timed_out=False, wall_ns=1)

    def begin():
        scratch = tmp_path / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        return Launcher(inputs, writer, scratch)

    monkeypatch.setattr(Launcher, "_run", draw)
    return begin


def drawn(folder, workload_id):
    places = (
        folder / "scratch" / f"reference.{workload_id}.npy",
        folder / "run/pictures" / f"reference.{workload_id}.png",
    )
    return [place.read_bytes() for place in places]


@pytest.mark.parametrize("links", [True, False])
def test_a_shared_reference_is_there_for_each_workload_also_when_the_run_goes_on(begun, tmp_path, monkeypatch, links):
    def no_links(_path, _other):
        raise OSError(1, os.strerror(1))

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    for _ in range(2):
        launcher = begun()
        for each in ("t24b1", "t24b2"):
            assert launcher.draw_reference(each, 1.0).status is Status.OK
            assert drawn(tmp_path, each) == [b"drawn", b"drawn"]


def test_a_full_disk_for_it_is_an_error_of_the_users_and_no_traceback(begun, monkeypatch):
    def refuse(*_):
        raise FULL

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    monkeypatch.setattr(shutil, "copyfile", refuse)
    launcher = begun()
    launcher.draw_reference("t24b1", 1.0)
    with pytest.raises(OutputError, match=r"reference\.t24b2\.npy cannot be written: No space left"):
        launcher.draw_reference("t24b2", 1.0)
