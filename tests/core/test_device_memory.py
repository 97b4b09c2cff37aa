"""Device memory, with NVML and the CUDA driver scripted."""

import pynvml
import pytest

from esrbench import device_memory
from esrbench.device_memory import NOT_MEASURED, DeviceMemoryMeter
from esrbench.target import Target

CUDA = Target("torch@cuda1:fp16")
USED = {"bus-a": [100, 900], "bus-b": [100, 100]}  # before, after; nothing happens on b


class Info:
    def __init__(self, used):
        self.used = used


@pytest.fixture
def nvml(monkeypatch):
    readings = {bus: iter(values) for bus, values in USED.items()}
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByPciBusId", lambda bus: bus)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: [])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGraphicsRunningProcesses", lambda _: [])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda bus: Info(next(readings[bus])))


@pytest.mark.usefixtures("nvml")
def test_the_device_is_the_one_that_cuda_means_whatever_nvml_counts(monkeypatch):
    asked = []
    monkeypatch.setattr(device_memory, "pci_bus_id", lambda index: asked.append(index) or "bus-a")
    assert DeviceMemoryMeter(CUDA).used_bytes() == (800, "NVML device total, after minus before")
    assert asked == [1]


@pytest.mark.usefixtures("nvml")
def test_a_device_that_did_not_grow_was_not_measured(monkeypatch):
    monkeypatch.setattr(device_memory, "pci_bus_id", lambda _: "bus-b")
    assert DeviceMemoryMeter(CUDA).used_bytes() == (None, NOT_MEASURED)


@pytest.mark.usefixtures("nvml")
def test_a_vulkan_device_beside_several_others_is_not_guessed_at(monkeypatch):
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    assert DeviceMemoryMeter(Target("ncnn@vulkan:fp16")).used_bytes() == (None, NOT_MEASURED)
