"""ncnn's ``.param`` text: layers by type, with the blobs that they read and write and their numbered parameters.

    7767517
    4 4                                                  layers and blobs
    Convolution   conv_1   1 1 in0 1 0=8 1=3 …           type, name, counts of blobs in and out, the blobs, parameters

Parameters: https://github.com/Tencent/ncnn/wiki/operation-param-weight-table
"""

import math
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from esrbench.errors import CheckpointError

MAGIC = "7767517"
LARGEST_BYTES = 4 << 20  # the official x4plus, of 999 layers, has 0.1 MiB


class Layer(msgspec.Struct, frozen=True):
    """One line of a ``.param`` file."""

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    parameters: Mapping[str, str]

    def integer(self, key: int, default: int = 0) -> int:
        """An integer parameter; ncnn leaves out those at their default."""
        number = self.number(key, default)
        if number != int(number):
            raise CheckpointError(f"layer {self.name}: {key}={number} is no whole number")
        return int(number)

    def number(self, key: int, default: float = 0.0) -> float:
        """A parameter as a number."""
        return self._number(key, self.parameters.get(str(key), str(default)))

    def numbers(self, key: int) -> tuple[float, ...]:
        """An array parameter, written ``-233KK=count,value,…``; empty where it is not given."""
        text = self.parameters.get(str(-23300 - key), "0")
        count, *values = (self._number(key, value) for value in text.split(","))
        if count != len(values):
            raise CheckpointError(f"layer {self.name}: parameter {key} announces {count:g} values, not {len(values)}")
        return tuple(values)

    def refuse_others(self, known: Collection[int]) -> None:
        """Refuse a parameter that is not ``known`` and not zero: it may change what the layer does.

        Raises:
            CheckpointError: it is named.
        """
        keys = {str(key) for key in known} | {str(-23300 - key) for key in known}
        for key, value in self.parameters.items():
            if key not in keys and value.strip("0.,"):
                raise CheckpointError(f"layer {self.name}: {self.kind} with {key}={value} is in no network known here")

    def _number(self, key: int, text: str) -> float:
        try:
            number = float(text)
        except ValueError as error:
            raise CheckpointError(f"layer {self.name}: parameter {key} is {text!r}, no number; damaged?") from error
        if not math.isfinite(number):
            raise CheckpointError(f"layer {self.name}: parameter {key} is {text}; the file is damaged")
        return number


def read(path: Path) -> list[Layer]:
    """The layers, in the file's order.

    Raises:
        CheckpointError: it is not ncnn's, or its counts are not those of its lines.
    """
    if path.stat().st_size > LARGEST_BYTES:
        raise CheckpointError(
            f"{path} has more than {LARGEST_BYTES >> 20} MiB; no network known here needs as much text"
        )
    try:
        lines = path.read_text(encoding="ascii").split("\n")
        if lines[0].strip() != MAGIC:
            raise CheckpointError(f"{path} is not an ncnn model: it does not begin with {MAGIC}")
        announced = [int(count) for count in lines[1].split()]
        layers = [_layer(line) for line in lines[2:] if line.strip()]
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{path} is not an ncnn model, or is damaged: {error}") from error
    listed = [len(layers), sum(len(layer.outputs) for layer in layers)]
    if announced != listed:
        raise CheckpointError(
            f"{path} announces {_counted(announced)} and lists {_counted(listed)}; it is truncated or damaged"
        )
    return layers


def _layer(line: str) -> Layer:
    kind, name, inputs, outputs, *rest = line.split()
    taken, made = int(inputs), int(outputs)
    if min(taken, made) < 0 or len(rest) < taken + made:
        raise ValueError(f"layer {name} announces {taken} blobs in and {made} out")
    pairs = (entry.split("=", 1) for entry in rest[taken + made :])
    parameters = {key: value for key, value in pairs}  # noqa: C416  (an entry without "=" must raise)
    return Layer(kind, name, tuple(rest[:taken]), tuple(rest[taken : taken + made]), parameters)


def _counted(counts: list[int]) -> str:
    return " and ".join(f"{count} {what}" for count, what in zip(counts, ("layers", "blobs"), strict=False))
