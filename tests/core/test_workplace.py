import errno
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import pytest

from esrbench.errors import CheckpointError, ExportError, OutputError
from esrbench.workplace import workplace

PREFIX = ".working-"
PROGRAM = f"""
import sys
from pathlib import Path
from esrbench.workplace import workplace
with workplace(Path(sys.argv[1]), {PREFIX!r}) as folder:
    (folder / "half").write_text("half-written")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def elsewhere(tmp_path):
    """Start a process that works in a folder of its own until it is ended; says which."""
    started = []

    def start():
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process, tmp_path / os.path.basename(process.stdout.readline().strip())  # noqa: PTH119

    yield start
    for process in started:
        process.kill()
        process.communicate()


def age(folder, hours: float) -> None:
    """Make it look as if nothing had been done there for so long."""
    then = folder.stat().st_mtime - hours * 3600
    os.utime(folder, (then, then))


def test_a_folder_is_empty_and_gone_afterwards(tmp_path):
    with workplace(tmp_path / "new" / "cache", PREFIX) as folder:
        assert list(folder.iterdir()) == []
        (folder / "file").write_text("")
    assert list((tmp_path / "new" / "cache").iterdir()) == []


def test_what_a_killed_process_left_is_swept(elsewhere, tmp_path):
    process, left = elsewhere()
    process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    process.wait()
    age(left, 48 if os.name == "nt" else 0.1)
    with workplace(tmp_path, PREFIX) as folder:
        assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks for folders")
def test_a_folder_where_a_process_works_stays_however_old(elsewhere, tmp_path):
    _, busy = elsewhere()
    age(busy, 48)
    with workplace(tmp_path, PREFIX):
        assert (busy / "half").is_file()


def test_a_folder_that_was_just_made_stays(tmp_path):
    (tmp_path / f"{PREFIX}new").mkdir()
    with workplace(tmp_path, PREFIX):
        pass
    assert (tmp_path / f"{PREFIX}new").is_dir()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks for folders")
@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_where_folders_cannot_be_locked_age_decides(hours, stays, tmp_path, monkeypatch):
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    old = tmp_path / f"{PREFIX}old"
    old.mkdir()
    age(old, hours)
    with workplace(tmp_path, PREFIX):
        assert old.exists() is stays


def test_other_folders_are_left_alone(tmp_path):
    other = tmp_path / "artifact"
    other.mkdir()
    age(other, 1000)
    with workplace(tmp_path, PREFIX):
        pass
    assert other.is_dir()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS])
def test_a_disk_that_refuses_is_the_users_to_mend(code, tmp_path):
    def write() -> None:
        with workplace(tmp_path, PREFIX):
            raise OSError(code, os.strerror(code))

    with pytest.raises(OutputError, match=f"{os.strerror(code)}; make room there, or set ESRBENCH_CACHE"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("free_bytes", "raised"), [(0, OutputError), (1 << 30, ExportError)])
def test_a_librarys_failure_is_put_down_to_a_full_disk_only(free_bytes, raised, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "free")(free_bytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def export() -> None:
        with workplace(tmp_path, PREFIX):
            raise ExportError("writing failed")

    with pytest.raises(raised, match="writing failed"):
        export()


@pytest.mark.parametrize("error", [FileNotFoundError(errno.ENOENT, "No such file"), CheckpointError("damaged")])
def test_other_errors_pass_as_they_are(error, tmp_path):
    def work() -> None:
        with workplace(tmp_path, PREFIX):
            raise error

    with pytest.raises(type(error)) as caught:
        work()
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []
