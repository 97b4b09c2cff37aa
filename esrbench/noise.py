"""What the machine did around a launch: read before it starts and after it ends, by the parent, without polling.

Linux alone tells; elsewhere, and where a file is missing, a value is None. ``docs/architecture.md`` lists the sources.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from esrbench.control_group import CpuGroup
from esrbench.record import Noise

CPU_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
"""Names of the kernel's CPU temperature drivers under ``/sys/class/hwmon``: Intel, AMD (two), Arm boards."""

CPU_ZONES = ("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "soc-thermal")
"""Types of thermal zones that stand for the CPU, where there is no such sensor."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Counters at one moment; CPU times in seconds, of all cores together."""

    at_ns: int  # monotonic
    own_s: float  # this process and the children that it has collected
    busy_s: float | None  # everything that ran, the hypervisor's share excluded
    steal_s: float | None
    stopped_s: float | None  # how long a control group's quota stopped it
    throttles: int | None
    load: float | None
    governor: str | None
    temperature_c: float | None


class Gauges:
    """Reads ``/proc`` and ``/sys``; tests give folders of their own."""

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._stat = proc / "stat"
        self._load = proc / "loadavg"
        self._cpus = sys / "devices" / "system" / "cpu"
        self._class = sys / "class"
        self._group = CpuGroup(sys / "fs" / "cgroup", proc)

    def read(self) -> Reading:
        """All of them, in well under a millisecond."""
        used = os.times()
        busy_s, steal_s = self._cpu_times()
        return Reading(
            at_ns=time.monotonic_ns(),
            own_s=used.user + used.system + used.children_user + used.children_system,
            busy_s=busy_s,
            steal_s=steal_s,
            stopped_s=self._group.stopped_s(),
            throttles=self._throttles(),
            load=_number((_text(self._load) or "").partition(" ")[0]),
            governor=_text(self._cpus / "cpu0" / "cpufreq" / "scaling_governor"),
            temperature_c=self._temperature_c(),
        )

    def _cpu_times(self) -> tuple[float | None, float | None]:
        """Busy and stolen seconds since boot: the first line of ``/proc/stat``, proc(5)."""
        first, *fields = (_text(self._stat) or "").split("\n")[0].split()[:9] or [""]
        if first != "cpu" or len(fields) < 8:
            return None, None
        ticks = os.sysconf("SC_CLK_TCK")
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) / ticks for field in fields)
        return user + nice + system + irq + softirq, steal

    def _throttles(self) -> int | None:
        """How often the cores have slowed down for heat since boot (Intel's driver counts)."""
        return _sum(_number(_text(path)) for path in self._cpus.glob("cpu[0-9]*/thermal_throttle/core_throttle_count"))

    def _temperature_c(self) -> float | None:
        """The hottest CPU sensor."""
        sensors = [chip for chip in self._class.glob("hwmon/hwmon*") if _text(chip / "name") in CPU_SENSORS]
        zones = [zone for zone in self._class.glob("thermal/thermal_zone*") if _text(zone / "type") in CPU_ZONES]
        found = [_number(_text(path)) for chip in sensors for path in chip.glob("temp*_input")]
        found = found or [_number(_text(zone / "temp")) for zone in zones]
        return max((value / 1000 for value in found if value is not None), default=None)


def between(before: Reading, after: Reading) -> Noise:
    """What happened from one reading to the other."""
    wall_s = max((after.at_ns - before.at_ns) / 1e9, 1e-9)
    steal_s = _growth(before.steal_s, after.steal_s)
    throttles = _growth(before.throttles, after.throttles)
    return Noise(
        load_before=before.load,
        other_cores=_others(before, after, wall_s),
        steal_cores=None if steal_s is None else steal_s / wall_s,
        quota_stopped_s=_growth(before.stopped_s, after.stopped_s),
        governor=after.governor,
        temperature_c=after.temperature_c,
        thermal_throttles=None if throttles is None else int(throttles),
    )


def _others(before: Reading, after: Reading, wall_s: float) -> float | None:
    """Cores that other processes kept busy: all that ran, less what ran for this one and its children."""
    own_s, busy_s = after.own_s - before.own_s, _growth(before.busy_s, after.busy_s)
    if busy_s is None or busy_s < own_s / 2:  # a container's /proc/stat that does not count
        return None
    return max(0.0, busy_s - own_s) / wall_s  # a little less than nothing: ticks on one side, exact times on the other


def _growth(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0, after - before)


def _sum(values: Iterable[float | None]) -> int | None:
    known = [int(value) for value in values if value is not None]
    return sum(known) if known else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None
