"""Report targets that used other cores than asked."""

from collections.abc import Sequence

from esrbench.advice import BUSY_CORES
from esrbench.record import LaunchRecord, ThreadsAtWork, is_software
from esrbench.run_cases import launches_of, workload_of
from esrbench.stats import median
from esrbench.store import Run

FEWER, MORE = 0.75, 1.2
"""Shares of the number of threads; below and above them the cores in use are reported. Of two threads, one that always
waits makes 0.5, a third one 1.5."""

LEAST_CPU_S = 0.2
"""With less CPU time than this, ticks of 10 ms tell too little."""


def thread_notes(run: Run) -> list[str]:
    """Name CPU targets that used clearly fewer or more cores."""
    found: list[str] = []
    for case in run.record.cases:
        launches = [] if case.control else [each for each in launches_of(run, case) if _is_judged(each)]
        if launches and (said := _said(launches, workload_of(run, case).threads)):
            found.append(f"{case.target} on {case.workload} {said}")
    if not found:
        return []
    return [
        f"Other cores were used than asked for: {'; '.join(found)}. The speed is that of the cores in use: check what "
        "limits them (affinity, a CPU quota, --env, the runtime itself)."
    ]


def _said(launches: Sequence[LaunchRecord], threads: int) -> str | None:
    off = [each for each in launches if _is_off(each, threads)]
    cores = median([each.threads_at_work.cores for each in off if each.threads_at_work])
    if cores is None or len(off) <= len(launches) / 2:
        return None
    return f"ran on {cores:.1f} cores of {threads} asked"


def _is_off(launch: LaunchRecord, threads: int) -> bool:
    """Tell whether a launch used other cores than asked.

    Fewer is excused where other programs took them and all threads were at work.
    """
    found = launch.threads_at_work or ThreadsAtWork(cpu_s=0.0, wall_s=0.0)
    idle = found.busy_threads is not None and found.busy_threads < threads
    others = launch.noise.other_cores if launch.noise else None
    quiet = others is not None and others <= BUSY_CORES
    return found.cores > MORE * threads or (found.cores < FEWER * threads and (idle or quiet))


def _is_judged(launch: LaunchRecord) -> bool:
    found = launch.threads_at_work
    on_cpu = launch.case.target.device_kind == "cpu" and not is_software(launch)
    return on_cpu and found is not None and found.cpu_s >= LEAST_CPU_S
