"""One measuring run at a time, and folders that a killed one leaves."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esrbench import scratch, turn
from esrbench.errors import OutputError, UnavailableError

HOLD = """
import sys
from esrbench import turn
with turn.taken("results/first", print, wait=True):
    print("holding", flush=True)
    sys.stdin.read()
"""
LEAVE = """
import os, signal
from esrbench import scratch
with scratch.folder() as folder:
    (folder / "reference.npy").write_bytes(b"x")
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such locks there")


@pytest.fixture
def own_places(tmp_path, monkeypatch):
    monkeypatch.setenv("ESRBENCH_LOCK", str(tmp_path / "lock"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return dict(os.environ)


@pytest.fixture
def holder(own_places):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], env=own_places, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "holding\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_with_who_has_the_turn(holder):
    refusal = pytest.raises(UnavailableError, match=rf"process {holder.pid} \(results/first\) is measuring")
    with refusal, turn.taken("second", print, wait=False):
        pass


def test_a_second_run_waits_says_so_and_goes_on_when_the_first_ends(holder):
    said = []

    def say(text):
        said.append(text)
        holder.stdin.close()  # lets the first one end

    with turn.taken("second", say, wait=True):
        assert holder.wait(timeout=30) == 0
    assert said == [
        f"waiting for process {holder.pid} (results/first) to end: two runs at once would measure each other"
    ]


def test_a_killed_run_holds_nothing(holder):
    holder.kill()
    holder.wait()
    with turn.taken("second", pytest.fail, wait=False):
        pass


def test_the_turn_comes_back_after_an_error(own_places):
    with pytest.raises(ZeroDivisionError), turn.taken("first", pytest.fail, wait=False):
        raise ZeroDivisionError
    with turn.taken("second", pytest.fail, wait=False):
        pass


def test_the_lock_is_one_for_the_machine_whatever_the_users_folders_are(monkeypatch, tmp_path):
    monkeypatch.delenv("ESRBENCH_LOCK", raising=False)
    for variable in ("XDG_RUNTIME_DIR", "TMPDIR", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert turn._file() == Path("/tmp/esrbench.lock")


def test_others_may_take_the_lock_too_whatever_the_umask_is(own_places, tmp_path):
    before = os.umask(0o077)
    try:
        with turn.taken("first", pytest.fail, wait=False):
            pass
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666


def test_a_lock_that_may_only_be_read_keeps_runs_apart(holder, monkeypatch):
    open_ = os.open

    def refuse_writing(path, flags, *mode):
        if flags & os.O_RDWR and not flags & os.O_CREAT:
            raise PermissionError(13, os.strerror(13))
        return open_(path, flags, *mode)

    monkeypatch.setattr(os, "open", refuse_writing)
    with pytest.raises(UnavailableError, match=f"process {holder.pid} "), turn.taken("second", print, wait=False):
        pass
    holder.kill()
    holder.wait()
    with turn.taken("second", pytest.fail, wait=False):
        pass


@pytest.mark.parametrize("make", [lambda lock: lock.symlink_to("elsewhere"), os.mkfifo, os.mkdir])
def test_a_lock_that_is_no_plain_file_is_refused_with_what_to_do(own_places, tmp_path, make):
    make(tmp_path / "lock")
    with pytest.raises(OutputError, match="set ESRBENCH_LOCK to another file"), turn.taken("x", print, wait=False):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_is_gone_when_its_run_is(tmp_path):
    with scratch.folder(tmp_path) as folder:
        (folder / "file").touch()
        assert folder.name.startswith("esrbench-run-")
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_run_is_swept_by_the_next_and_a_living_ones_is_not(tmp_path, own_places):
    done = subprocess.run([sys.executable, "-c", LEAVE], env=own_places, capture_output=True, text=True, check=False)
    left = Path(done.stdout.strip())
    assert (left / "reference.npy").exists()
    with scratch.folder(tmp_path) as living, scratch.folder(tmp_path):
        assert not left.exists()
        assert living.exists()


def test_folders_of_other_commands_are_swept_when_they_are_a_day_old(tmp_path):
    for name, age_s in (("esrbench-child-a", 2 * 86400), ("esrbench-child-b", 60), ("somebody-elses", 9 * 86400)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    scratch.sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["esrbench-child-b", "somebody-elses"]
