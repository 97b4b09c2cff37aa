"""What ``auto`` stands for: the target that is likely to be fastest here, the tile that costs least."""

from esrbench import plugins, probe, tiling
from esrbench.errors import UnavailableError
from esrbench.runner import Availability, DeviceType
from esrbench.target import Precision, Target

AUTO = "auto"

LARGEST_TILE_PX = 192
"""realesrgan-x4plus needs 0.7 GB for such a tile on openvino, about 2.5 GB on ncnn, the hungriest runtime measured."""

_DEVICES = ("cuda", "vulkan")
_GPU_PRECISIONS = (Precision.FP16, Precision.BF16, Precision.TF32, Precision.FP32)
_CPU_PRECISIONS = (Precision.FP32,)
_RUNTIMES = {
    # Not yet measured side by side on a GPU; torch tunes nothing per tile shape, so one picture is done soonest.
    DeviceType.GPU: ("torch", "onnxruntime", "torchscript", "openvino", "ncnn"),
    # By speed on tiles of 128 and 256 pixels and two cores; ncnn as fast as openvino, but at three times the memory.
    DeviceType.CPU: ("openvino", "onnxruntime", "torch", "torchscript", "ncnn"),
}


def usable_target(text: str) -> Availability:
    """The target named ``text``, which can run here; for ``auto`` the one likely to be fastest.

    ``auto`` takes a GPU at fp16 where there is one, else the CPU at fp32, and never a software graphics device.

    Raises:
        UsageError: no such target.
        UnavailableError: it cannot run here, with the reason.
    """
    if text == AUTO:
        return best(probe.availabilities())
    target = Target(text)
    plugins.runner(target.runtime)
    found = probe.ask([target.runtime]).of(target)
    if not found.usable:
        raise UnavailableError(f"{target} cannot run here: {found.reason}", found.remedy)
    return found


def best(entries: tuple[Availability, ...]) -> Availability:
    """The target that ``auto`` means.

    Raises:
        UnavailableError: none of them will do.
    """
    ranks = {entry.target: (rank, entry) for entry in entries if (rank := _rank(entry)) is not None}
    if not ranks:
        raise UnavailableError("auto finds no GPU, and no runtime for the CPU at fp32", "see esrbench doctor")
    return min(ranks.values(), key=lambda ranked: (ranked[0], ranked[1].target))[1]


def cheapest_tile(height: int, width: int, *, halo: int, multiple: int) -> int:
    """The tile with which the network sees the fewest pixels in all, a larger one where two are equal.

    A picture a little larger than the largest tile is cut into smaller tiles, rather than into ones that overlap by
    nearly all of their area; one that is smaller than it is not padded more than the halo asks for.
    """
    smallest = -(-(2 * halo + multiple) // multiple) * multiple
    largest = max(LARGEST_TILE_PX, 2 * smallest)

    def cost(tile: int) -> tuple[int, int]:
        return tiling.window_count(height, width, tile=tile, halo=halo, multiple=multiple) * tile**2, -tile

    return min(range(smallest, largest + 1, multiple), key=cost)


def _rank(entry: Availability) -> tuple[int, ...] | None:
    """Lower is better; None: not for ``auto``."""
    runtimes = _RUNTIMES.get(entry.device_type) if entry.device_type else None
    gpu = entry.device_type is DeviceType.GPU
    precisions = _GPU_PRECISIONS if gpu else _CPU_PRECISIONS
    if not entry.usable or runtimes is None or entry.target.precision not in precisions:
        return None
    return (
        int(entry.target.runtime not in runtimes),  # a stranger's runtime last, whatever device it says that it has
        0 if gpu else 1,
        _place(entry.target.device_kind, _DEVICES),
        entry.target.device_index,
        precisions.index(entry.target.precision),
        _place(entry.target.runtime, runtimes),
    )


def _place(name: str, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)
