"""The process of one launch: ``python -m esrbench.worker OUTCOME``, the job on standard input.

Whatever the runtime prints goes to the launch's log; the outcome is a file of its own, whole or absent.
"""

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from esrbench.codec import decode, encode
from esrbench.errors import EsrbenchError, OutOfMemoryError, OutputError, PlacementError, UnavailableError
from esrbench.job import CANNOT_WRITE, SMALLER, Job, Outcome, measured_file
from esrbench.memory_room import not_enough, room_for
from esrbench.process import die_with_parent, volunteer_for_the_oom_killer
from esrbench.record import Status
from esrbench.store import write_once


def main() -> None:
    """Read the job, measure, write the outcome."""
    die_with_parent()
    volunteer_for_the_oom_killer()
    job = decode(sys.stdin.buffer.read(), Job, "the job on standard input")
    exit_code = 0
    try:
        answer(job, Path(sys.argv[1]))
    except OutputError as error:
        sys.stderr.write(f"{error}\n")
        exit_code = CANNOT_WRITE
    with suppress(OSError):  # the log's disk is full
        sys.stdout.flush()
    # A runtime's own threads and destructors can hang or crash at exit; everything worth keeping is on disk.
    os._exit(exit_code)


def answer(job: Job, file: Path) -> None:
    """Measure ``job`` and write its outcome to ``file``.

    Raises:
        OutputError: a file of esrbench's own cannot be written; the runtime is not to blame.
    """
    outcome = outcome_of(job, lambda measured: write_once(measured_file(file), encode(measured)))
    write_once(file, encode(outcome))


def outcome_of(job: Job, keep: Callable[[Outcome], None]) -> Outcome:
    """Measure, and turn whatever goes wrong with the runtime into a status.

    Raises:
        OutputError: as :func:`answer`.
    """
    from esrbench.launch import launch  # noqa: PLC0415  (numpy and the plug-in: after the job was read)

    room = room_for(job.metered)
    try:
        return launch(job, time.perf_counter_ns, keep)
    except OutputError:
        raise
    except UnavailableError as error:
        return Outcome(status=Status.UNAVAILABLE, reason=error.reason, remedy=error.remedy)
    except PlacementError as error:
        return Outcome(status=Status.FELL_BACK, reason=error.reason, remedy=error.remedy)
    except (OutOfMemoryError, MemoryError) as error:
        reason = not_enough(job.workload, room, _first_line(error) or type(error).__name__)
        return Outcome(status=Status.OOM, reason=reason, remedy=SMALLER, room=room)
    except EsrbenchError as error:
        return Outcome(status=Status.ERROR, reason=str(error))
    except Exception as error:
        _print_trace(error)
        return Outcome(status=Status.ERROR, reason=f"{type(error).__name__}: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else ""


def _print_trace(error: BaseException) -> None:
    import traceback  # noqa: PLC0415

    traceback.print_exception(error, file=sys.stderr)


if __name__ == "__main__":
    main()
