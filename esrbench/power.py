"""Energy of the timed loop's passes, from the counter of the target's device: RAPL for a CPU, NVML for a GPU.

Read just before the first and just after the last, never within. A counter is the whole device's: what else ran there
is in it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from esrbench.device_memory import open_device
from esrbench.record import Energy
from esrbench.target import Target

POWERCAP = Path("/sys/class/powercap")
"""Linux's powercap framework (Documentation/power/powercap/powercap.rst); AMD's are under ``intel-rapl`` too."""

MOST_WATTS = 1000.0
"""No package uses more. A loop that is long enough to wrap the counter twice at that is not measured."""

LEAST_S = 0.5
"""Shorter loops are not measured: NVML's counter moves in steps of up to 0.1 s (Yang, Adamek & Armour, "Part-time power
measurements", arXiv:2312.02741), RAPL's in steps of a millisecond."""

Counter = Callable[[], dict[str, int]]
"""Name of a domain → microjoules so far."""


class EnergyMeter:
    """Made before the loop. ``clock`` counts nanoseconds."""

    def __init__(self, target: Target, clock: Callable[[], int], powercap: Path = POWERCAP) -> None:
        self._clock = clock
        self._range_uj: dict[str, int] = {}
        self._read: Counter | None = None
        self._method = "no counter of this device"
        if target.device_kind == "cpu":
            self._open_rapl(powercap)
        else:
            self._open_nvml(open_device(target))
        self._before: tuple[int, dict[str, int]] | None = None
        self._after: tuple[int, dict[str, int]] | None = None

    def start(self) -> None:
        """Read before the first pass."""
        self._before = self._reading()

    def stop(self) -> None:
        """Read after the last pass."""
        self._after = self._reading()

    def used(self) -> Energy:
        """What was used between start and stop."""
        after = self._after
        if self._before is None or after is None:
            return Energy(joules=None, seconds=None, method=self._method)
        seconds = (after[0] - self._before[0]) / 1e9
        if seconds < LEAST_S:
            return Energy(
                joules=None, seconds=seconds, method=f"{self._method}: the loop was shorter than {LEAST_S:g} s"
            )
        if any(seconds > range_uj / 1e6 / MOST_WATTS for range_uj in self._range_uj.values()):
            return Energy(joules=None, seconds=seconds, method=f"{self._method}: the loop may have wrapped it twice")
        used_uj = [self._grown(name, value, after[1][name]) for name, value in self._before[1].items()]
        return Energy(joules=sum(used_uj) / 1e6, seconds=seconds, method=self._method)

    def _grown(self, name: str, before: int, after: int) -> int:
        # The counter starts at 0 again after its range, powercap.rst: max_energy_range_uj.
        return after - before if after >= before else after - before + self._range_uj.get(name, 0)

    def _reading(self) -> tuple[int, dict[str, int]] | None:
        if self._read is None:
            return None
        try:
            found = self._read()
        except Exception as error:  # a counter must not cost a launch; NVML's errors are of no common class here
            self._method, self._read = f"not read: {error}", None
            return None
        return self._clock(), found

    def _open_rapl(self, powercap: Path) -> None:
        """Every package's domain: ``psys`` holds the packages again, and a subdomain is part of its package."""
        zones = [zone for zone in sorted(powercap.glob("intel-rapl:*")) if re.fullmatch(r"intel-rapl:\d+", zone.name)]
        try:
            packages = [zone for zone in zones if _text(zone / "name").startswith("package")]
            self._range_uj = {zone.name: int(_text(zone / "max_energy_range_uj")) for zone in packages}
            for zone in packages:
                int(_text(zone / "energy_uj"))
        except PermissionError:
            self._method = "RAPL can be read by root alone"  # since Linux 5.10, CVE-2020-8694
            return
        except (OSError, ValueError) as error:
            self._method = f"RAPL cannot be read: {error}"
            return
        if packages:
            self._method = f"RAPL, {len(packages)} package{'s' if len(packages) > 1 else ''}"
            self._read = lambda: {zone.name: int(_text(zone / "energy_uj")) for zone in packages}
        else:
            self._method = "no RAPL here"

    def _open_nvml(self, device: Any | None) -> None:
        if device is None:
            return
        import pynvml  # noqa: PLC0415  (opens the driver: only in a launch that has a GPU)

        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(device)  # Volta and newer
        except pynvml.NVMLError as error:
            self._method = f"NVML counts no energy: {error}"
            return
        self._method = "NVML total energy"
        self._read = lambda: {"gpu": int(pynvml.nvmlDeviceGetTotalEnergyConsumption(device)) * 1000}  # from mJ


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
