"""One call of another program: started, blocked on until it ends, and held to its exit code."""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

from esrbench.errors import CommandError, OutOfMemoryError
from esrbench.process import die_with_parent, signal_name
from esrbench.translation import MEMORY_SIGNS

STDERR = 2
LAST_BYTES = 4096

REASON_LENGTH = 300

Watch = Callable[["subprocess.Popen[bytes]"], None]
"""Given the process when it was started; returns once it has ended."""


def call(
    argv: Sequence[str], environment: Mapping[str, str], clock: Callable[[], int], watch: Watch | None = None
) -> int:
    """Nanoseconds from just before ``argv`` is started until it has ended with exit code 0.

    What it prints goes where this process's output goes: the launch's log. It dies with this process.

    Raises:
        CommandError: it cannot be started, ended with another code, or was killed.
        OutOfMemoryError: it failed, and its last words are about memory.
    """
    log_begin = _log_size()
    begin_ns = clock()
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            preexec_fn=partial(die_with_parent, os.getpid()) if os.name == "posix" else None,  # noqa: PLW1509  (no other thread runs Python)
        )
    except OSError as error:
        raise CommandError(f"{argv[0]} cannot be started: {error.strerror or error}") from error
    if watch is not None:
        watch(process)
    exit_code = process.wait()
    took_ns = clock() - begin_ns
    if exit_code != 0:
        raise _failure(exit_code, _said_since(log_begin))
    return took_ns


def last_words() -> str:
    """The last line of this launch's log so far, in which the program's own are; empty where it cannot be read."""
    return _last_line(_said_since(0))


def _failure(exit_code: int, said: str) -> CommandError | OutOfMemoryError:
    words = _last_line(said)
    about = f": {words}" if words else ", without a word"
    if any(sign in said.lower() for sign in MEMORY_SIGNS):
        return OutOfMemoryError(f"the command ran out of memory{about}")
    if exit_code < 0:
        return CommandError(f"the command was killed by {signal_name(exit_code)}{about}", exit_code=exit_code)
    return CommandError(f"the command ended with exit code {exit_code}{about}", exit_code=exit_code)


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:REASON_LENGTH] if lines else ""


def _log_size() -> int:
    try:
        return os.fstat(STDERR).st_size
    except OSError:
        return 0


def _said_since(begin: int) -> str:
    """The end of what was written to the log after ``begin``; empty where the log cannot be read back."""
    with suppress(OSError, AttributeError):  # no file but a pipe or terminal; Windows has no pread
        size = os.fstat(STDERR).st_size
        start = max(begin, size - LAST_BYTES)
        return os.pread(STDERR, size - start, start).decode(errors="replace")
    return ""
