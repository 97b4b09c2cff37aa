"""Work in a process of its own: a job on standard input, an answer in a file, errors that keep their type."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from esrbench import scratch
from esrbench.codec import Value, decode, encode
from esrbench.errors import (
    CheckpointError,
    EsrbenchError,
    ExportError,
    OutOfMemoryError,
    OutputError,
    RecordError,
    UnavailableError,
    UsageError,
)
from esrbench.process import die_with_parent, parent_variable, signal_name
from esrbench.system.child_environment import child_environment

Job = TypeVar("Job", bound=Value)
Answer = TypeVar("Answer", bound=Value)

_TRANSLATED: dict[str, type[EsrbenchError]] = {
    error.__name__: error
    for error in (CheckpointError, OutOfMemoryError, OutputError, RecordError, UnavailableError, UsageError)
}


class Failure(Value, frozen=True, kw_only=True, tag=True):
    """The error that a child met instead of an answer."""

    error_type: str
    message: str


def ask(module: str, job: Value, answer_type: type[Answer], what: str) -> Answer:
    """Run ``python -m module`` on ``job`` to its end; ``answer_type`` must be tagged.

    One thread: what is asked this way converts or checks, and on a busy machine idle pools spin ten times longer.

    Raises:
        EsrbenchError: the one that the child met, or an :class:`ExportError` with its last words.
    """
    command = [sys.executable, "-P", "-m", module]  # -P: a file of the user's named like a library must not shadow it
    with scratch.folder() as folder:
        environment = child_environment(1, str(folder)) | parent_variable()
        path = folder / "answer.json"
        ended = subprocess.run(
            [*command, str(path)], input=encode(job), capture_output=True, check=False, env=environment
        )
        if ended.returncode != 0 or not path.is_file():
            raise ExportError(f"{what} failed: {_last_words(ended)}")
        answer: Answer | Failure = decode(path.read_bytes(), answer_type | Failure, f"the answer of {module}")  # type: ignore[arg-type]  # a union is no type to mypy
    if isinstance(answer, Failure):
        raise _TRANSLATED.get(answer.error_type, ExportError)(answer.message or f"{what} failed")
    return answer


def serve(job_type: type[Job], work: Callable[[Job], Value]) -> None:
    """Be the child: errors that esrbench knows are answers too, others a traceback and an exit code."""
    die_with_parent()
    job = decode(sys.stdin.buffer.read(), job_type, "standard input")
    answer: Value
    try:
        answer = work(job)
    except EsrbenchError as error:
        answer = Failure(error_type=type(error).__name__, message=str(error))
    Path(sys.argv[1]).write_bytes(encode(answer))
    sys.stderr.flush()
    os._exit(0)  # destructors of some runtimes crash or hang; the answer is on disk


def _last_words(ended: "subprocess.CompletedProcess[bytes]") -> str:
    lines = [line.strip() for line in ended.stderr.decode(errors="replace").splitlines() if line.strip()]
    if ended.returncode < 0:
        name = signal_name(ended.returncode)
        memory = "; memory may have run out" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{memory}"
    return lines[-1] if lines else f"its process ended with code {ended.returncode} and said nothing"
