"""ncnn's ``.param`` (layers, as text) and ``.bin`` (weights, in the layers' order), in the official files' layout.

Layer parameters: https://github.com/Tencent/ncnn/wiki/operation-param-weight-table
"""

from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.architecture import RRDBNetSpec
from esrbench.errors import CheckpointError
from esrbench.folding import unfold

MAGIC = "7767517"
FP16_TAG, FP32_TAG = 0x01306B47, 0
LAYERS = {"Input", "Split", "Concat", "Convolution", "Eltwise", "BinaryOp", "Interp", "PReLU", "PixelShuffle"}

Arrays = dict[str, npt.NDArray[np.generic]]


class Layer(msgspec.Struct, frozen=True):
    """One line of a ``.param`` file: its type and its ``key=value`` parameters."""

    kind: str
    parameters: dict[str, str]

    def integer(self, key: str, default: int = 0) -> int:
        """An integer parameter; ncnn leaves out those at their default."""
        return int(self.parameters.get(key, default))


def read(path: Path) -> Arrays:
    """Parameter name → float32 array, from either file of the pair.

    Raises:
        CheckpointError: the other file is missing, the text is not ncnn's, the network another, the weights cut off.
    """
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in (param, weights):
        if not file.is_file():
            raise CheckpointError(f"{file}: there is no such file; an ncnn model is a .param and a .bin side by side")
    layers = _layers(param)
    try:
        stems = _stems(layers)
        return _arrays([layer for layer in layers if layer.kind in ("Convolution", "PReLU")], stems, weights)
    except CheckpointError as error:
        raise CheckpointError(f"{param}: {error}") from error
    except ValueError as error:  # a parameter that is not a number
        raise CheckpointError(f"{param} is damaged: {error}") from error


def _layers(param: Path) -> list[Layer]:
    try:
        lines = param.read_text(encoding="ascii").split("\n")
        if lines[0].strip() != MAGIC:
            raise CheckpointError(f"{param} is not an ncnn model: it does not begin with {MAGIC}")
        count = int(lines[1].split()[0])
        layers = [_layer(line) for line in lines[2:] if line.strip()]
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{param} is not an ncnn model, or is damaged: {error}") from error
    if len(layers) != count:
        raise CheckpointError(f"{param} announces {count} layers and lists {len(layers)}; it is truncated or damaged")
    return layers


def _layer(line: str) -> Layer:
    kind, _, inputs, outputs, *rest = line.split()
    pairs = (entry.split("=", 1) for entry in rest[int(inputs) + int(outputs) :])
    return Layer(kind, {key: value for key, value in pairs})  # noqa: C416  (an entry without "=" must raise)


def _stems(layers: list[Layer]) -> list[str]:
    """The name of each layer that has weights, once it is certain which network they form."""
    counts = Counter(layer.kind for layer in layers)
    foreign = sorted(counts.keys() - LAYERS)
    if foreign:
        raise CheckpointError(f"layers of type {', '.join(foreign)} are in no network known here")
    if counts["PReLU"]:
        return _srvggnet_stems(layers, counts)
    blocks = max((counts["Convolution"] - 6) // 15, 1)
    _require(counts, "RRDBNet", Convolution=15 * blocks + 6, Eltwise=4 * blocks, Interp=2, BinaryOp=1)
    names = RRDBNetSpec(blocks=blocks).parameter_shapes()
    return [name.removesuffix(".weight") for name in names if name.endswith(".weight")]


def _srvggnet_stems(layers: list[Layer], counts: Counter[str]) -> list[str]:
    _require(counts, "SRVGGNetCompact", Convolution=counts["PReLU"] + 1, PixelShuffle=1, Interp=1, BinaryOp=1)
    shuffle, enlarge = (next(layer for layer in layers if layer.kind == kind) for kind in ("PixelShuffle", "Interp"))
    if float(enlarge.parameters.get("1", "1")) != shuffle.integer("0"):
        raise CheckpointError("its nearest-neighbour skip and its pixel shuffle enlarge by different factors")
    return [f"body.{index}" for index in range(2 * counts["PReLU"] + 1)]


def _require(counts: Counter[str], network: str, **expected: int) -> None:
    wrong = [f"{counts[kind]} {kind} instead of {count}" for kind, count in expected.items() if counts[kind] != count]
    if wrong:
        raise CheckpointError(f"it is no {network} in the layout of the official ncnn files: {', '.join(wrong)}")


def _arrays(layers: list[Layer], stems: list[str], path: Path) -> Arrays:
    source = _Weights(path)
    arrays: Arrays = {}
    for stem, layer in zip(stems, layers, strict=True):
        if layer.kind == "PReLU":
            arrays[f"{stem}.weight"] = source.floats(layer.integer("0"), stem)
        else:
            arrays[f"{stem}.weight"] = _kernel(layer, source, stem)
            arrays[f"{stem}.bias"] = source.floats(layer.integer("0"), stem)
    source.finish()
    return arrays


def _kernel(layer: Layer, source: "_Weights", stem: str) -> npt.NDArray[np.float32]:
    """``(out, in, 3, 3)``; a first convolution that swallowed a pixel unshuffle is taken apart again."""
    out, side, count = layer.integer("0"), layer.integer("1"), layer.integer("6")
    stride = layer.integer("3", 1)
    if min(out, stride) < 1 or side != 3 * stride or count % (out * side**2) or not layer.integer("5"):
        raise CheckpointError(f"{stem} is not a 3×3 convolution with bias")
    weight = source.tagged(count, stem).reshape(out, -1, side, side)
    return unfold(weight, stride) if stride > 1 else weight


class _Weights:
    """A ``.bin`` file, read front to back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.offset = 0

    def tagged(self, count: int, stem: str) -> npt.NDArray[np.float32]:
        """Weights behind a tag that tells their type, padded to four bytes."""
        tag = int(self._take("<u4", 1, stem)[0])
        if tag not in (FP16_TAG, FP32_TAG):
            raise CheckpointError(f"{self.path.name}: {stem} is stored as {tag:#010x}, neither fp16 nor fp32")
        if tag == FP32_TAG:
            return self.floats(count, stem)
        halves = self._take("<f2", count, stem)
        self.offset += -self.offset % 4
        return halves.astype(np.float32)

    def floats(self, count: int, stem: str) -> npt.NDArray[np.float32]:
        """Plain fp32 values."""
        return self._take("<f4", count, stem).astype(np.float32)

    def finish(self) -> None:
        """Refuse what follows the last layer."""
        if self.offset != len(self.data):
            raise CheckpointError(
                f"{self.path.name} has {len(self.data) - self.offset} bytes more than its .param describes"
            )

    def _take(self, dtype: str, count: int, stem: str) -> npt.NDArray[np.generic]:
        end = self.offset + count * np.dtype(dtype).itemsize
        if count < 1 or end > len(self.data):
            raise CheckpointError(f"{self.path.name} is truncated: it ends before {stem}")
        taken = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset = end
        return taken
