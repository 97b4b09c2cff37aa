"""ncnn models: ``.param`` (layers, as text) and ``.bin`` (weights, in the layers' order).

Whoever wrote them: the official files, esrbench, pnnx. Weights are stored as fp32 or fp16; biases and slopes are fp32.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from esrbench.checkpoints import ncnn_networks, ncnn_param
from esrbench.checkpoints.contents import Contents, check_file
from esrbench.checkpoints.identify import spec_of
from esrbench.checkpoints.ncnn_layers import evaluate
from esrbench.checkpoints.ncnn_param import Layer
from esrbench.checkpoints.ncnn_values import Values
from esrbench.errors import CheckpointError
from esrbench.folding import unfold

FP16_TAG, FP32_TAG = 0x01306B47, 0


def read(path: Path) -> Contents:
    """Parameter name → float32 array, from either file of the pair.

    Raises:
        CheckpointError: the other file is missing, the text is not ncnn's, the network another, the weights cut off.
    """
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for file in (param, weights):
        if not file.is_file():
            raise CheckpointError(f"{file}: there is no such file; an ncnn model is a .param and a .bin side by side")
        check_file(file)
    layers = ncnn_param.read(param)
    try:
        return _contents(layers, _Weights(weights))
    except CheckpointError as error:
        raise CheckpointError(f"{param}: {error}") from error
    except (ValueError, OverflowError) as error:  # hyperparameters that no network has, numbers beyond all bounds
        raise CheckpointError(f"{param} is damaged: {error}") from error


def _contents(layers: list[Layer], weights: "_Weights") -> Contents:
    found = Values()
    output = evaluate(layers, found)
    weighted = [layer for layer in layers if layer.kind in ncnn_networks.WEIGHTED]
    names = ncnn_networks.layer_names(weighted, found)
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name, layer in zip(names, weighted, strict=True):
        tensors |= _slopes(layer, weights, name) if layer.kind == "PReLU" else _convolution(layer, weights, name)
    weights.finish()
    contents = Contents(tensors, reduced_to=ncnn_networks.reduced_to(found))
    spec = spec_of({name: array.shape for name, array in tensors.items()}, contents.reduced_to)
    ncnn_networks.require(spec, weighted, found, output)
    return contents


def _slopes(layer: Layer, weights: "_Weights", name: str) -> dict[str, npt.NDArray[np.generic]]:
    return {f"{name}.weight": weights.floats(layer.integer(0), name)}


def _convolution(layer: Layer, weights: "_Weights", name: str) -> dict[str, npt.NDArray[np.generic]]:
    """``(out, in, 3, 3)`` and its bias; a first convolution that swallowed a fold is taken apart again."""
    out, side, count, stride = layer.integer(0), layer.integer(1), layer.integer(6), layer.integer(3, 1)
    if out < 1 or count % (out * side**2):
        raise CheckpointError(f"layer {layer.name} has {count} weights, which fill no {side}×{side} kernels of {out}")
    kernel = weights.tagged(count, name).reshape(out, -1, side, side)
    return {
        f"{name}.weight": unfold(kernel, stride) if stride > 1 else kernel,
        f"{name}.bias": weights.floats(out, name),
    }


class _Weights:
    """A ``.bin`` file, read front to back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = path.read_bytes()
        self.offset = 0

    def tagged(self, count: int, name: str) -> npt.NDArray[np.float32]:
        """Weights behind a tag that tells their type, padded to four bytes."""
        tag = int(self._take("<u4", 1, name)[0])
        if tag not in (FP16_TAG, FP32_TAG):
            raise CheckpointError(f"{self.path.name}: {name} is stored as {tag:#010x}, neither fp16 nor fp32")
        if tag == FP32_TAG:
            return self.floats(count, name)
        halves = self._take("<f2", count, name)
        self.offset += -self.offset % 4
        return halves.astype(np.float32)

    def floats(self, count: int, name: str) -> npt.NDArray[np.float32]:
        """Plain fp32 values."""
        return self._take("<f4", count, name).astype(np.float32)

    def finish(self) -> None:
        """Refuse what follows the last layer."""
        if self.offset != len(self.data):
            raise CheckpointError(
                f"{self.path.name} has {len(self.data) - self.offset} bytes more than its .param describes"
            )

    def _take(self, dtype: str, count: int, name: str) -> npt.NDArray[np.generic]:
        end = self.offset + count * np.dtype(dtype).itemsize
        if count < 1 or end > len(self.data):
            raise CheckpointError(f"{self.path.name} is truncated: it ends before {name}")
        taken = np.frombuffer(self.data, dtype, count, self.offset)
        self.offset = end
        return taken
