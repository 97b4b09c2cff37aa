"""What disturbed a run, in words, where it matters: from the records of its launches."""

from collections import Counter
from collections.abc import Callable, Sequence

from esrbench.record import LaunchRecord, Noise
from esrbench.store import Run
from esrbench.wording import counted, significant

BUSY_CORES = 0.05
"""Share of a core that others may use. Where every core is at work a tile waits for the slowest thread, so that a
launch slows down by at least what is taken from one core. Launches on a quiet machine of two cores had 0.016 at most,
beside another process 0.32 to 0.91 (measured)."""

STOPPED_SHARE = 0.01
"""Share of a launch for which a control group's quota may stop it: a standstill is paid in full."""

CLOCK_SPREAD = 0.05
"""By how much the clocks of a target's launches may differ: a tile's time follows the clock."""

CLOCK_REMEDY = (
    "Keep it steady with the governor performance (cpupower frequency-set -g performance), or measure more rounds."
)

MAX_NAMED = 3

Share = Callable[[Noise], float | None]
Disturbed = list[tuple[LaunchRecord, float]]


def advice(run: Run) -> list[str]:
    """What to know or to change before leaning on this run; empty where nothing was in its way, or nothing is known."""
    launched = [launch for launch in run.launches if launch.noise or launch.clocks]  # one that failed has noise too
    found = (_others(launched), _stolen(launched), _stopped(launched), _hot(launched), _held_back(launched))
    return [text for text in (*found, _clocks(launched)) if text]


def _others(launches: Sequence[LaunchRecord]) -> str | None:
    found = _above(launches, lambda noise: noise.other_cores, BUSY_CORES)
    remedy = "Stop what else runs, or measure again when the machine is quiet."
    return f"Other processes used {_cores(found)} during {_during(found, launches)}. {remedy}" if found else None


def _stolen(launches: Sequence[LaunchRecord]) -> str | None:
    found = _above(launches, lambda noise: noise.steal_cores, BUSY_CORES)
    remedy = "Measure again, or on a machine that is not shared."
    return f"The hypervisor gave others {_cores(found)} during {_during(found, launches)}. {remedy}" if found else None


def _stopped(launches: Sequence[LaunchRecord]) -> str | None:
    found = [
        (launch, stopped_s)
        for launch in launches
        if launch.noise and launch.wall_ns and (stopped_s := launch.noise.quota_stopped_s)
        if stopped_s > STOPPED_SHARE * launch.wall_ns / 1e9
    ]
    if not found:
        return None
    longest_s = significant(max(stopped_s for _, stopped_s in found))
    remedy = "Raise the CPU limit of the container or slice, or give --threads fewer than it allows."
    return f"The CPU quota stopped {_during(found, launches)}, for up to {longest_s} s. {remedy}"


def _hot(launches: Sequence[LaunchRecord]) -> str | None:
    found = _above(launches, lambda noise: noise.thermal_throttles, 0)
    remedy = "Cool the machine, or let it rest between runs."
    return f"The processor slowed down for heat during {_during(found, launches)}. {remedy}" if found else None


def _held_back(launches: Sequence[LaunchRecord]) -> str | None:
    reasons = {launch.sequence: _gpu_reasons(launch) for launch in launches}
    found = [(launch, 0.0) for launch in launches if reasons[launch.sequence]]
    words = ", ".join(dict.fromkeys(reason for each in reasons.values() for reason in each))
    fact = f"The GPU held its clock back ({words}) in {_during(found, launches)}."
    return " ".join((fact, *_gpu_remedies(words))) if found else None


def _gpu_remedies(words: str) -> list[str]:
    """What helps against the reasons of :data:`esrbench.clocks.REASONS`, a sentence each."""
    remedies = []
    if "power" in words:
        remedies.append("Raise its power limit (nvidia-smi -pl), or compare with runs under the same one alone.")
    if "slowdown" in words:
        remedies.append("Cool it, or let it rest between runs, and see that its power supply suffices.")
    return remedies or ["Measure again when it runs freely (nvidia-smi -q -d PERFORMANCE says why it does not)."]


def _gpu_reasons(launch: LaunchRecord) -> tuple[str, ...]:
    gpu = launch.clocks.gpu if launch.clocks else None
    return (gpu.held_back or ()) if gpu else ()


def _clocks(launches: Sequence[LaunchRecord]) -> str | None:
    """Where a target's launches ran at different clocks; the target with the widest spread is named."""
    by_target: dict[str, list[float]] = {}
    for launch in launches:
        if launch.clocks and launch.clocks.cpu_mhz and launch.case.target.device_kind == "cpu":
            by_target.setdefault(launch.case.target, []).append(launch.clocks.cpu_mhz)
    spreads = {target: max(mhz) / min(mhz) - 1 for target, mhz in by_target.items()}
    target = max(spreads, key=lambda target: spreads[target], default=None)
    if target is None or spreads[target] <= CLOCK_SPREAD:
        return None
    low, high = min(by_target[target]), max(by_target[target])
    governors = {launch.noise.governor for launch in launches if launch.noise and launch.noise.governor}
    governor = f" under the governor {', '.join(sorted(governors))}" if governors else ""
    clocks = f"between {low:.0f} and {high:.0f} MHz"
    return f"The processor's clock was {clocks} in launches of {target}{governor}. {CLOCK_REMEDY}"


def _above(launches: Sequence[LaunchRecord], share: Share, least: float) -> Disturbed:
    found = [(launch, share(launch.noise)) for launch in launches if launch.noise]
    return [(launch, value) for launch, value in found if value is not None and value > least]


def _cores(found: Disturbed) -> str:
    most = max(share for _, share in found)
    amount = f"{most:.0%} of a core" if most < 1 else f"{most:.1f} cores"
    return f"up to {amount}" if len(found) > 1 else amount


def _during(found: Disturbed, launches: Sequence[LaunchRecord]) -> str:
    """``2 of 28 launches (ncnn@cpu:fp32, torch@cpu:fp32)``: the targets that it happened to most often."""
    targets = Counter(str(launch.case.target) for launch, _ in found).most_common()
    named = [target if count == 1 else f"{target} {count}×" for target, count in targets[:MAX_NAMED]]
    others = [f"{counted(len(targets) - MAX_NAMED, 'other')}"] if len(targets) > MAX_NAMED else []
    return f"{len(found)} of {counted(len(launches), 'launch')} ({', '.join([*named, *others])})"
