"""CUDA devices as the NVIDIA driver counts them, without a CUDA runtime: for runners that cannot tell by themselves."""

import ctypes
import sys

_SUCCESS = 0
_NAME_BYTES = 256


def device_names() -> tuple[str, ...]:
    """Name of every device, in CUDA's order (``CUDA_VISIBLE_DEVICES`` applied); empty where there is no driver.

    Source: the CUDA Driver API, ``cuInit``, ``cuDeviceGetCount``, ``cuDeviceGetName``.
    """
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int(0)
    if driver.cuInit(0) != _SUCCESS or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return ()
    return tuple(_name(driver, index) for index in range(count.value))


def _name(driver: ctypes.CDLL, index: int) -> str:
    device = ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    driver.cuDeviceGet(ctypes.byref(device), index)
    found = driver.cuDeviceGetName(name, _NAME_BYTES, device) == _SUCCESS
    return name.value.decode(errors="replace") if found else f"CUDA device {index}"
