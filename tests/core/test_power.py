"""Energy over the timed loop, with sysfs, NVML and the clock scripted."""

import pynvml
import pytest

from esrbench import power
from esrbench.power import EnergyMeter
from esrbench.record import Energy
from esrbench.target import Target

CPU, CUDA = Target("torch@cpu:fp32"), Target("torch@cuda:fp16")
RANGE_UJ = 262_143_328_850


class Zones:
    """A powercap tree."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, zone, name, energy_uj, range_uj=RANGE_UJ):
        place = self.folder / zone
        place.mkdir(exist_ok=True)
        for file, value in {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": range_uj}.items():
            (place / file).write_text(f"{value}\n")


@pytest.fixture
def zones(tmp_path):
    return Zones(tmp_path)


def clock(*seconds):
    readings = iter(seconds)
    return lambda: round(next(readings) * 1e9)


def metered(zones, between, seconds=(0, 2)):
    meter = EnergyMeter(CPU, clock(*seconds), zones.folder)
    meter.start()
    between()
    meter.stop()
    return meter.used()


def test_every_package_counts_once_whatever_else_is_there(zones):
    def at(first, second, other):
        zones.write("intel-rapl:0", "package-0", first)
        zones.write("intel-rapl:1", "package-1", second)
        zones.write("intel-rapl:0:0", "core", other)
        zones.write("intel-rapl:2", "psys", other)
        zones.write("intel-rapl-mmio:0", "package-0", other)

    at(5_000_000, 1_000_000, 0)
    found = metered(zones, lambda: at(105_000_000, 31_000_000, 999_000_000))
    assert found == Energy(joules=130.0, seconds=2.0, method="RAPL, 2 packages")


def test_a_counter_that_begins_anew_loses_nothing(zones):
    zones.write("intel-rapl:0", "package-0", RANGE_UJ - 10_000_000)
    found = metered(zones, lambda: zones.write("intel-rapl:0", "package-0", 20_000_000))
    assert found.joules == pytest.approx(30.0)


def test_a_loop_in_which_it_may_have_begun_anew_twice_is_not_measured(zones):
    zones.write("intel-rapl:0", "package-0", 1, range_uj=1_000_000_000)
    found = metered(zones, lambda: None, seconds=(0, 1.5))
    assert found.joules is None
    assert "twice" in found.method


def test_a_loop_too_short_for_a_counter_is_not_measured(zones):
    zones.write("intel-rapl:0", "package-0", 1)
    found = metered(zones, lambda: zones.write("intel-rapl:0", "package-0", 5_000_000), seconds=(0, 0.4))
    assert found.joules is None
    assert "shorter than 0.5 s" in found.method


def test_a_machine_without_counters_has_no_energy_rather_than_none_used(zones):
    assert metered(zones, lambda: None) == Energy(joules=None, seconds=None, method="no RAPL here")


def test_counters_for_root_alone_say_so(zones, monkeypatch):
    zones.write("intel-rapl:0", "package-0", 1)
    text = power._text

    def refusing(path):
        if path.name == "energy_uj":
            raise PermissionError(13, "Permission denied")
        return text(path)

    monkeypatch.setattr(power, "_text", refusing)
    assert metered(zones, lambda: None) == Energy(joules=None, seconds=None, method="RAPL can be read by root alone")


def test_a_counter_that_goes_away_costs_the_figure_not_the_launch(zones):
    zones.write("intel-rapl:0", "package-0", 1)
    found = metered(zones, (zones.folder / "intel-rapl:0" / "energy_uj").unlink)
    assert found.joules is None
    assert found.method.startswith("not read: ")


def test_a_gpus_energy_is_nvmls_total_in_millijoules(monkeypatch):
    readings = iter([1_000, 1_000, 301_000])  # once to see whether it counts at all
    monkeypatch.setattr(power, "open_device", lambda target: "device" if target == CUDA else None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda _: next(readings))
    meter = EnergyMeter(CUDA, clock(10, 11))
    meter.start()
    meter.stop()
    assert meter.used() == Energy(joules=300.0, seconds=1.0, method="NVML total energy")


def test_a_gpu_that_does_not_count_is_not_measured(monkeypatch):
    def unsupported(_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(power, "open_device", lambda _: "device")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", unsupported)
    meter = EnergyMeter(CUDA, clock())
    meter.start()
    meter.stop()
    found = meter.used()
    assert found.joules is None
    assert found.method.startswith("NVML counts no energy")


def test_a_device_that_nvml_does_not_know_is_not_measured(monkeypatch):
    monkeypatch.setattr(power, "open_device", lambda _: None)
    meter = EnergyMeter(Target("ncnn@vulkan:fp16"), clock())
    meter.start()
    meter.stop()
    assert meter.used() == Energy(joules=None, seconds=None, method="no counter of this device")
