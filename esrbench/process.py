"""Start a launch's process and block until it ends: no polling loop runs beside the thing that is measured."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from esrbench.errors import OutputError, UnavailableError
from esrbench.system.child_environment import child_environment

PARENT_VARIABLE = "ESRBENCH_PARENT"
"""Environment variable in which a child is told its parent's process number."""

ORPHANED = 1
"""Exit code of a child whose parent is gone; nobody is left to read it."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended."""

    exit_code: int  # negative: killed by that signal
    timed_out: bool
    wall_ns: int


def run(
    command: Sequence[str],
    *,
    stdin: bytes,
    log: Path,
    threads: int,
    timeout_s: float,
    temp: Path | None = None,
    asked: Mapping[str, str] | None = None,
    stop: int | None = None,
) -> Ended:
    """Run ``command`` to its end, or kill it and what it started after ``timeout_s``.

    ``stdin`` must fit a pipe's buffer (64 KiB on Linux); ``log`` gets standard output and standard error. The
    environment is a clean one, with the variables ``asked`` for: :mod:`esrbench.system.child_environment`. The child's
    temporary files go to a folder in ``temp``, by default beside the log, and are removed with it. Closing
    the other end of the pipe ``stop`` ends the process as well, for a caller that waits in a thread (Linux).

    Raises:
        OutputError: the log or the folder cannot be made.
        UnavailableError: the system starts no further process.
    """
    with _temp_folder(temp or log.parent) as folder:
        environment = child_environment(threads, folder, asked) | parent_variable()
        begin_ns = time.perf_counter_ns()
        process = _started(command, log, environment)
        try:
            _feed(process, stdin)
            timed_out = not _ended_within(process, timeout_s, stop)
        finally:
            _kill_group(process)
        wall_ns = time.perf_counter_ns() - begin_ns
    return Ended(exit_code=process.returncode, timed_out=timed_out, wall_ns=wall_ns)


def signal_name(exit_code: int) -> str:
    """``SIGKILL`` of -9; real-time signals have numbers only."""
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def parent_variable() -> dict[str, str]:
    """For the environment of a child that will :func:`die_with_parent`."""
    return {PARENT_VARIABLE: str(os.getpid())}


def die_with_parent(parent: int | None = None) -> None:
    """Ask Linux to kill this process when its parent's thread ends, so that no orphan keeps the machine busy.

    It ends at once where its parent is no longer ``parent``, by default the one that the environment names: that one
    was killed while this process started.
    """
    if not sys.platform.startswith("linux"):
        return
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    named = os.environ.get(PARENT_VARIABLE, "")
    expected = int(named) if parent is None and named.isdecimal() else parent
    if expected is not None and os.getppid() != expected:
        os._exit(ORPHANED)


def volunteer_for_the_oom_killer() -> None:
    """Ask Linux to kill this process first where memory runs out, instead of the run or what else the user has open."""
    most_willing = "1000"  # oom_score_adj, proc(5); raising one's own needs no privilege
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(most_willing, encoding="ascii")


@contextmanager
def _temp_folder(place: Path) -> Iterator[str]:
    try:
        folder = tempfile.mkdtemp(prefix="temp-", dir=place.resolve())
    except OSError as error:
        raise OutputError(f"{place}: no folder can be made there: {error.strerror}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _started(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    try:
        log.unlink(missing_ok=True)  # never through a link, nor into a file that bears another name too
        output = log.open("x+b")  # readable: the worker quotes the last words of a program that it measures
    except OSError as error:
        raise OutputError(f"{log} cannot be written: {error.strerror}") from error
    with output:
        try:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=environment, start_new_session=True
            )
        except OSError as error:
            raise UnavailableError(
                f"no process can be started: {error.strerror}", "free memory or processes"
            ) from error


def _feed(process: "subprocess.Popen[bytes]", data: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(data)


def _ended_within(process: "subprocess.Popen[bytes]", timeout_s: float, stop: int | None) -> bool:
    """Whether the process ended by itself; its exit is not collected yet where the kernel can signal it."""
    if hasattr(os, "pidfd_open"):  # Linux
        descriptor = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            for each in (descriptor, stop):
                if each is not None:
                    poll.register(each, select.POLLIN)
            return descriptor in dict(poll.poll(timeout_s * 1000))
        finally:
            os.close(descriptor)
    try:  # elsewhere the standard library waits with naps that grow to 50 ms
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    """End whatever is left of the process and its children."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()
