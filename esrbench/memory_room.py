"""How much memory a launch had when it began, and the sentence that says it was not enough."""

import sys

import psutil

from esrbench.control_group import MemoryGroup
from esrbench.device_memory import device_free_bytes
from esrbench.record import MemoryBound, Room, Workload
from esrbench.target import Target
from esrbench.wording import gigabytes


def room_for(target: Target) -> Room | None:
    """What a launch of ``target`` has: on a CPU the process's room, else what its device has free, if that is told."""
    if target.device_kind == "cpu":
        return host_room()
    free_bytes = device_free_bytes(target)
    return None if free_bytes is None else Room(bytes=free_bytes, bound=MemoryBound.DEVICE)


def host_room(group: MemoryGroup | None = None) -> Room:
    """The narrowest of the bounds on a process that is started now."""
    found = [Room(bytes=psutil.virtual_memory().available, bound=MemoryBound.MACHINE)]
    limit_bytes = (group or MemoryGroup()).limit_bytes()
    if limit_bytes is not None:
        found.append(Room(bytes=limit_bytes, bound=MemoryBound.CONTROL_GROUP))
    address_bytes = _address_space_bytes()
    if address_bytes is not None:
        found.append(Room(bytes=address_bytes, bound=MemoryBound.ADDRESS_SPACE))
    return min(found, key=lambda room: room.bytes)


def not_enough(workload: Workload, room: Room | None, said: str) -> str:
    """``out of memory at tile 192, batch 2, with 3.00 GB (address-space limit): std::bad_alloc``."""
    had = f", with {gigabytes(room.bytes / 1e6)} ({room.bound.value})" if room else ""
    return f"out of memory at tile {workload.tile_px}, batch {workload.batch}{had}: {said}"


def _address_space_bytes() -> int | None:
    """``ulimit -v``; None where there is none."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  (Unix only)

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft
