"""The process of one launch: ``python -m esrbench.worker OUTCOME``, the job on standard input.

Whatever the runtime prints goes to the launch's log; the outcome is a file of its own, whole or absent.
"""

import os
import sys
import time
from pathlib import Path

from esrbench.codec import decode, encode
from esrbench.errors import EsrbenchError, OutOfMemoryError, PlacementError, UnavailableError
from esrbench.job import Job, Outcome
from esrbench.process import die_with_parent
from esrbench.record import Status
from esrbench.store import write_once


def main() -> None:
    """Read the job, measure, write the outcome."""
    die_with_parent()
    job = decode(sys.stdin.buffer.read(), Job, "the job on standard input")
    write_once(Path(sys.argv[1]), encode(outcome_of(job)))
    sys.stdout.flush()
    # A runtime's own threads and destructors can hang or crash at exit; everything worth keeping is on disk.
    os._exit(0)


def outcome_of(job: Job) -> Outcome:
    """Measure, and turn whatever goes wrong into a status."""
    from esrbench.launch import launch  # noqa: PLC0415  (numpy and the plug-in: after the job was read)

    try:
        return launch(job, time.perf_counter_ns)
    except UnavailableError as error:
        return Outcome(status=Status.UNAVAILABLE, reason=error.reason, remedy=error.remedy)
    except PlacementError as error:
        return Outcome(status=Status.FELL_BACK, reason=error.reason, remedy=error.remedy)
    except (OutOfMemoryError, MemoryError) as error:
        return Outcome(status=Status.OOM, reason=_first_line(error) or "memory ran out", remedy="try a smaller --tile")
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
