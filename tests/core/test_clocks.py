"""Clocks right after the timed loop, with sysfs and NVML scripted."""

import os

import pynvml
import pytest

from esrbench import clocks
from esrbench.record import GpuClocks
from esrbench.target import Target

CPU, CUDA = Target("torch@cpu:fp32"), Target("torch@cuda:fp16")


@pytest.fixture
def cores(monkeypatch, tmp_path):
    def have(*mhz):
        monkeypatch.setattr(clocks, "CPUS", tmp_path)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(len(mhz)), raising=False)
        for core, value in enumerate(mhz):
            (tmp_path / f"cpu{core}" / "cpufreq").mkdir(parents=True)
            (tmp_path / f"cpu{core}" / "cpufreq" / "scaling_cur_freq").write_text(f"{value * 1000}\n")

    return have


def test_the_cpus_clock_is_that_of_the_cores_at_work(cores):
    cores(800, 3400, 3200, 900)
    assert clocks.read(CPU, threads=2).cpu_mhz == 3300


def test_a_machine_without_frequencies_has_none(cores):
    cores()
    assert clocks.read(CPU, threads=2) == clocks.Clocks(cpu_mhz=None, gpu=None)


def test_a_gpus_clocks_and_what_holds_them_back_are_words(monkeypatch):
    bits = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonGpuIdle
    monkeypatch.setattr(clocks, "open_device", lambda target: "device" if target == CUDA else None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetClockInfo", lambda _, kind: {pynvml.NVML_CLOCK_SM: 1410}[kind])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMaxClockInfo", lambda _device, _kind: 1980)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", lambda _: bits)

    def unsupported(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetTemperature", unsupported)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetPowerUsage", lambda _: 350_500)
    found = clocks.read(CUDA, threads=1).gpu
    assert found == GpuClocks(sm_mhz=1410, max_sm_mhz=1980, temperature_c=None, held_back=("power cap",), power_w=350.5)


def test_every_reason_is_one_of_nvmls():
    assert all(hasattr(pynvml, f"nvmlClocksEventReason{name}") for name in clocks.REASONS)
