"""What the machine did during a launch, from files laid out as the kernel's."""

import os

import pytest

from esrbench.noise import Gauges, between

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


class Machine:
    """A `/proc` and a `/sys` of one's own."""

    def __init__(self, root):
        self.proc, self.sys = root / "proc", root / "sys"
        self.write(self.proc / "self" / "cgroup", "0::/")
        (self.sys / "fs" / "cgroup").mkdir(parents=True)
        self.gauges = Gauges(self.proc, self.sys)

    def write(self, path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def cpu(self, *, user=0.0, nice=0.0, system=0.0, idle=0.0, iowait=0.0, irq=0.0, softirq=0.0, steal=0.0):
        ticks = (round(s * TICKS) for s in (user, nice, system, idle, iowait, irq, softirq, steal))
        self.write(self.proc / "stat", f"cpu  {' '.join(map(str, ticks))} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0")

    def reading(self, at_s, own_s):
        """The gauges as they stand, at a scripted time and with a scripted time of our own."""
        import msgspec

        return msgspec.structs.replace(self.gauges.read(), at_ns=round(at_s * 1e9), own_s=own_s)


def test_other_processes_are_what_ran_without_us(machine):
    machine.cpu(user=100, system=10, idle=500, steal=2)
    before = machine.reading(at_s=10, own_s=1)
    machine.cpu(user=106, nice=1, system=11.5, idle=503, iowait=4, irq=0.25, softirq=0.25, steal=3)
    noise = between(before, machine.reading(at_s=15, own_s=8))
    # busy: 6 + 1 + 1.5 + 0.25 + 0.25 = 9 s in 5 s, of which 7 s were ours
    assert noise.other_cores == pytest.approx(2 / 5)
    assert noise.steal_cores == pytest.approx(1 / 5)


def test_ticks_that_fall_short_of_our_exact_time_are_nobodys_work(machine):
    machine.cpu(user=100)
    before = machine.reading(at_s=0, own_s=0)
    machine.cpu(user=109.9)
    assert between(before, machine.reading(at_s=5, own_s=10)).other_cores == 0


def test_a_container_that_counts_nothing_is_not_known_rather_than_quiet(machine):
    machine.cpu(user=0)
    before = machine.reading(at_s=0, own_s=0)
    assert between(before, machine.reading(at_s=5, own_s=10)).other_cores is None


def test_where_the_system_tells_nothing_every_value_is_unknown(machine):
    noise = between(machine.reading(at_s=0, own_s=0), machine.reading(at_s=1, own_s=1))
    assert {name: getattr(noise, name) for name in noise.__struct_fields__} == dict.fromkeys(noise.__struct_fields__)


def test_load_governor_temperature_throttling_and_quota_are_read(machine):
    cpus = machine.sys / "devices" / "system" / "cpu"
    machine.write(machine.proc / "loadavg", "1.25 0.90 0.80 2/300 4711")
    machine.write(cpus / "cpu0" / "cpufreq" / "scaling_governor", "powersave")
    for core, count in ((0, 3), (1, 4)):
        machine.write(cpus / f"cpu{core}" / "thermal_throttle" / "core_throttle_count", count)
    chips = machine.sys / "class" / "hwmon"
    for chip, name, readings in (("hwmon0", "nvme", [99_000]), ("hwmon1", "k10temp", [61_000, 64_500])):
        machine.write(chips / chip / "name", name)
        for index, value in enumerate(readings, start=1):
            machine.write(chips / chip / f"temp{index}_input", value)
    machine.write(machine.sys / "fs" / "cgroup" / "cpu.stat", "usage_usec 5\nthrottled_usec 1000000")
    before = machine.reading(at_s=0, own_s=0)
    machine.write(cpus / "cpu1" / "thermal_throttle" / "core_throttle_count", 6)
    machine.write(machine.sys / "fs" / "cgroup" / "cpu.stat", "usage_usec 9\nthrottled_usec 1500000")
    noise = between(before, machine.reading(at_s=1, own_s=0))
    assert (noise.load_before, noise.governor, noise.temperature_c) == (1.25, "powersave", 64.5)
    assert (noise.thermal_throttles, noise.quota_stopped_s) == (2, 0.5)


def test_a_thermal_zone_stands_in_for_a_missing_sensor(machine):
    zones = machine.sys / "class" / "thermal"
    for zone, type_, value in (("thermal_zone0", "acpitz", 20_000), ("thermal_zone1", "x86_pkg_temp", 71_000)):
        machine.write(zones / zone / "type", type_)
        machine.write(zones / zone / "temp", value)
    assert machine.gauges.read().temperature_c == 71


def test_this_machine_can_be_read():
    gauges = Gauges()
    before = gauges.read()
    assert sum(index * index for index in range(200_000)) > 0
    assert gauges.read().own_s >= before.own_s
