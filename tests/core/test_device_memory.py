"""Device memory, with NVML and the CUDA driver scripted."""

import os

import pynvml
import pytest

from esrbench import device_memory
from esrbench.device_memory import NOT_MEASURED, DeviceMemoryMeter
from esrbench.target import Target

CUDA = Target("torch@cuda1:fp16")
USED = {"bus-a": [100, 900], "bus-b": [100, 100]}  # before, after; nothing happens on b


class Process:
    def __init__(self, pid, used):
        self.pid = pid
        self.usedGpuMemory = used


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


@pytest.mark.usefixtures("nvml")
def test_where_nvml_tells_nothing_the_runtimes_allocator_counts(monkeypatch):
    monkeypatch.setattr(device_memory, "pci_bus_id", lambda _: "bus-b")
    found = DeviceMemoryMeter(CUDA).used_bytes(lambda: 640)
    assert found == (640, "the runtime's allocator, driver excluded")


@pytest.mark.usefixtures("nvml")
def test_the_devices_own_growth_goes_before_the_allocator(monkeypatch):
    monkeypatch.setattr(device_memory, "pci_bus_id", lambda _: "bus-a")
    assert DeviceMemoryMeter(CUDA).used_bytes(lambda: 640)[0] == 800


def test_without_nvml_the_allocator_is_all_there_is(monkeypatch):
    def missing():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert DeviceMemoryMeter(CUDA).used_bytes(lambda: 640)[0] == 640
    assert DeviceMemoryMeter(CUDA).used_bytes() == (None, NOT_MEASURED)


def test_a_cpu_has_no_device_memory_whatever_an_allocator_says():
    assert DeviceMemoryMeter(Target("torch@cpu:fp32")).used_bytes(lambda: 640) == (None, NOT_MEASURED)


@pytest.mark.usefixtures("nvml")
def test_a_vulkan_device_beside_several_others_is_the_one_that_lists_the_process(monkeypatch):
    mine, others = Process(os.getpid(), 700), Process(os.getpid() + 1, 9000)
    graphics = {"bus-a": [others], "bus-b": [mine, others]}
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: ["bus-a", "bus-b"][index])
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGraphicsRunningProcesses", lambda bus: graphics[bus])
    meter = DeviceMemoryMeter(Target("ncnn@vulkan1:fp16"))
    assert meter.used_bytes() == (700, "NVML per process")
    graphics["bus-a"].append(mine)
    assert meter.used_bytes() == (None, NOT_MEASURED)


def test_several_processes_hold_what_each_holds_on_its_larger_list(monkeypatch):
    class Process:
        def __init__(self, pid, used):
            self.pid, self.usedGpuMemory = pid, used

    compute, graphics = [Process(1, 500), Process(2, 30), Process(9, 8000)], [Process(1, 400), Process(3, None)]
    monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeRunningProcesses", lambda _: compute)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetGraphicsRunningProcesses", lambda _: graphics)
    assert device_memory.process_bytes("bus-a", {1, 2, 3}) == 530
    assert device_memory.process_bytes("bus-a", {3, 4}) is None
