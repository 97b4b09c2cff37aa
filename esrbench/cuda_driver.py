"""CUDA devices as the NVIDIA driver counts them, without a CUDA runtime: for runners that cannot tell by themselves."""

import ctypes
import sys

_SUCCESS = 0
_NAME_BYTES = 256
_BUS_ID_BYTES = 32


def device_names() -> tuple[str, ...]:
    """Name of every device, in CUDA's order (``CUDA_VISIBLE_DEVICES`` applied); empty where there is no driver.

    Source: the CUDA Driver API, ``cuInit``, ``cuDeviceGetCount``, ``cuDeviceGetName``.
    """
    driver = _driver()
    count = ctypes.c_int(0)
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return ()
    return tuple(_name(driver, index) for index in range(count.value))


def pci_bus_id(index: int) -> str | None:
    """Where CUDA's device ``index`` is plugged in, which is how NVML, whose order is another, finds the same one.

    Source: the CUDA Driver API, ``cuDeviceGetPCIBusId``.
    """
    driver = _driver()
    device, found = ctypes.c_int(), ctypes.create_string_buffer(_BUS_ID_BYTES)
    if driver is None or driver.cuDeviceGet(ctypes.byref(device), index) != _SUCCESS:
        return None
    known = driver.cuDeviceGetPCIBusId(found, _BUS_ID_BYTES, device) == _SUCCESS
    return found.value.decode("ascii") if known else None


def _driver() -> ctypes.CDLL | None:
    """The driver's library, started; None where there is none."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    return driver if driver.cuInit(0) == _SUCCESS else None


def _name(driver: ctypes.CDLL, index: int) -> str:
    device = ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGet(ctypes.byref(device), index)
    found = driver.cuDeviceGetName(name, _NAME_BYTES, device) == _SUCCESS
    return name.value.decode(errors="replace") if found else f"CUDA device {index}"
