"""Starting a process and blocking until it ends."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from esrbench import process


def python(code, log, stdin=b"", timeout_s=30.0):
    return process.run([sys.executable, "-c", code], stdin=stdin, log=log, threads=1, timeout_s=timeout_s)


def ends(pid, within_s=30.0):
    """Whether the process goes away: a kill is asynchronous, and who adopts an orphan may collect it late or never."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        os.sched_yield()
    return False


def test_the_exit_code_and_the_log_are_kept(tmp_path):
    ended = python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)", tmp_path / "log")
    assert (ended.exit_code, ended.timed_out) == (7, False)
    assert sorted((tmp_path / "log").read_text().split()) == ["err", "out"]
    assert ended.wall_ns > 0


def test_standard_input_arrives_whole(tmp_path):
    python("import sys; print(len(sys.stdin.buffer.read()))", tmp_path / "log", stdin=b"x" * 60_000)
    assert (tmp_path / "log").read_text() == "60000\n"


def test_a_process_that_reads_nothing_harms_nobody(tmp_path):
    assert python("pass", tmp_path / "log", stdin=b"x" * 60_000).exit_code == 0


def test_a_signal_is_a_negative_exit_code(tmp_path):
    ended = python("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path / "log")
    assert ended.exit_code == -signal.SIGSEGV


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no process groups here")
def test_after_the_timeout_the_process_and_its_children_are_gone(tmp_path):
    code = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(child.pid, flush=True)
child.wait()
"""
    ended = python(code, tmp_path / "log", timeout_s=3.0)
    assert ended.timed_out
    assert ends(int((tmp_path / "log").read_text()))


def test_every_thread_pool_is_told_the_budget(tmp_path):
    python("import os; print(os.environ['OMP_NUM_THREADS'], os.environ['MKL_NUM_THREADS'])", tmp_path / "log")
    assert (tmp_path / "log").read_text() == "1 1\n"


def test_signals_without_a_name_have_their_number():
    assert process.signal_name(-signal.SIGKILL) == "SIGKILL"
    assert process.signal_name(-45) == "signal 45"


ORPHAN = """
import os
from esrbench.process import die_with_parent
die_with_parent()
os.write(1, b"measures")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a Linux facility")
@pytest.mark.parametrize(
    ("parent", "says"),
    [(str(os.getpid() + 1), ""), (str(os.getpid()), "measures"), ("", "measures")],
    ids=["another", "its own", "not told"],
)
def test_a_child_whose_parent_died_while_it_started_ends_at_once(parent, says):
    environment = os.environ | {process.PARENT_VARIABLE: parent}
    done = subprocess.run([sys.executable, "-c", ORPHAN], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == (says, 0 if says else process.ORPHANED)


def test_a_process_is_told_who_started_it(tmp_path):
    python(f"import os; print(os.environ['{process.PARENT_VARIABLE}'])", tmp_path / "log")
    assert (tmp_path / "log").read_text() == f"{os.getpid()}\n"
