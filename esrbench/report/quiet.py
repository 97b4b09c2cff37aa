"""What the machine did during each launch, as a table: the columns that this system can fill."""

from collections.abc import Callable

import msgspec

from esrbench.record import LaunchRecord, is_software, title
from esrbench.store import Run
from esrbench.wording import NOT_MEASURED, seconds


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A column: None is "not known"."""

    head: str
    meaning: str
    text: Callable[[LaunchRecord], str | None]


class NoiseTable(msgspec.Struct, frozen=True, kw_only=True):
    """One row a launch, in order."""

    gauges: list[Gauge]
    rows: list[tuple[str, ...]]  # sequence, round, case, time from start to end, then the gauges


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else format(value, form)


def _gpu(launch: LaunchRecord) -> str | None:
    gpu = launch.clocks.gpu if launch.clocks else None
    if gpu is None:
        return None
    parts = [
        f"{gpu.sm_mhz} of {gpu.max_sm_mhz} MHz" if gpu.sm_mhz is not None else None,
        f"{gpu.temperature_c} °C" if gpu.temperature_c is not None else None,
        f"{gpu.power_w:.0f} W" if gpu.power_w is not None else None,
        ", ".join(gpu.held_back or ()) or None,
    ]
    return ", ".join(part for part in parts if part) or None


def _watts(launch: LaunchRecord) -> str | None:
    used = launch.energy
    if used is None or used.joules is None or not used.seconds:
        return None
    return f"{used.joules / used.seconds:.0f}"


GAUGES = (
    Gauge(
        head="other processes",
        meaning="CPU time of all other processes over the launch's time, in per cent of one core",
        text=lambda launch: _number(launch.noise.other_cores, ".0%") if launch.noise else None,
    ),
    Gauge(
        head="steal",
        meaning="what the hypervisor gave to other machines, in per cent of one core",
        text=lambda launch: _number(launch.noise.steal_cores, ".0%") if launch.noise else None,
    ),
    Gauge(
        head="load before",
        meaning="one-minute load average when the launch began; the run's own earlier launches are in it",
        text=lambda launch: _number(launch.noise.load_before, ".2f") if launch.noise else None,
    ),
    Gauge(
        head="stopped s",
        meaning="how long the control group's CPU quota stopped the launch",
        text=lambda launch: _number(launch.noise.quota_stopped_s, ".2f") if launch.noise else None,
    ),
    Gauge(
        head="CPU MHz",
        meaning="mean clock of the cores at work, right after the timed loop",
        text=lambda launch: _number(launch.clocks.cpu_mhz, ".0f") if launch.clocks else None,
    ),
    Gauge(
        head="governor",
        meaning="frequency governor",
        text=lambda launch: launch.noise.governor if launch.noise else None,
    ),
    Gauge(
        head="CPU °C",
        meaning="the hottest CPU sensor, after the launch",
        text=lambda launch: _number(launch.noise.temperature_c, ".0f") if launch.noise else None,
    ),
    Gauge(
        head="throttled",
        meaning="times that cores slowed down for heat",
        text=lambda launch: _number(launch.noise.thermal_throttles, "d") if launch.noise else None,
    ),
    Gauge(
        head="GPU",
        meaning="clock of its multiprocessors, temperature and power, right after the loop",
        text=_gpu,
    ),
    Gauge(
        head="W",
        meaning="mean power of the target's device over the timed loop, from its energy counter",
        text=_watts,
    ),
)


def noise_table(run: Run) -> NoiseTable | None:
    """The launches that started a process; None where nothing was recorded of them, as by schema 1."""
    launches = [launch for launch in run.launches if launch.wall_ns is not None]
    gauges = [gauge for gauge in GAUGES if any(gauge.text(launch) is not None for launch in launches)]
    if not gauges:
        return None
    rows = [(*_launch(launch), *(gauge.text(launch) or NOT_MEASURED for gauge in gauges)) for launch in launches]
    return NoiseTable(gauges=gauges, rows=rows)


def _launch(launch: LaunchRecord) -> tuple[str, ...]:
    name = title(launch.case, software=is_software(launch))
    return str(launch.sequence), str(launch.round + 1), name, seconds((launch.wall_ns or 0) / 1e9)
