"""What each layer of an ncnn model computes.

Layers and their numbered parameters: https://github.com/Tencent/ncnn/wiki/operation-param-weight-table
"""

from collections.abc import Callable, Sequence

from esrbench.checkpoints.ncnn_param import Layer
from esrbench.checkpoints.ncnn_values import DIGITS, SLOPE, Value, Values
from esrbench.errors import CheckpointError

LEAKY = 2  # Convolution, parameter 9
SUM = 1  # Eltwise, parameter 0
ADD, MULTIPLY = 0, 2  # BinaryOp, parameter 0
RESIZES = {1: "nearest", 3: "bicubic"}  # Interp, parameter 0


def evaluate(layers: Sequence[Layer], values: Values) -> Value:
    """The value of the model's one output.

    Raises:
        CheckpointError: a layer, or a parameter of one, that is in no network known here; no or several outputs.
    """
    blobs: dict[str, Value] = {}
    for layer in layers:
        if layer.kind not in _KINDS:
            raise CheckpointError(f"layer {layer.name} is of type {layer.kind}, which is in no network known here")
        if unknown := [blob for blob in layer.inputs if blob not in blobs]:
            raise CheckpointError(f"layer {layer.name} reads {unknown[0]}, which no layer before it makes")
        if taken := [blob for blob in layer.outputs if blob in blobs]:
            raise CheckpointError(f"layer {layer.name} makes {taken[0]}, which another layer made")
        blobs |= dict.fromkeys(layer.outputs, _value(layer, [blobs[blob] for blob in layer.inputs], values))
    outputs = blobs.keys() - {blob for layer in layers for blob in layer.inputs}
    if len(outputs) != 1:
        raise CheckpointError(f"it has {len(outputs)} outputs; the networks known here have one")
    return blobs[outputs.pop()]


def _value(layer: Layer, inputs: list[Value], values: Values) -> Value:
    compute, fewest, most, known = _KINDS[layer.kind]
    if not fewest <= len(inputs) <= most or (len(layer.outputs) != 1 and layer.kind != "Split"):
        raise CheckpointError(
            f"layer {layer.name} makes {len(layer.outputs)} blobs from {len(inputs)}; that is no {layer.kind}"
        )
    layer.refuse_others(known)
    return compute(layer, inputs, values)


def _convolution(layer: Layer, inputs: list[Value], values: Values) -> Value:
    """3×3 with bias; or, having swallowed a fold by s, 3s×3s of stride s."""
    side, stride, pad, dilation = layer.integer(1), layer.integer(3, 1), layer.integer(4), layer.integer(2, 1)
    vertical = (layer.integer(11, side), layer.integer(13, stride), layer.integer(12, dilation))
    pads = {pad, *(layer.integer(key, pad) for key in (14, 15, 16))}
    square = vertical == (side, stride, dilation) and pads == {pad}
    if not square or stride < 1 or (side, pad, dilation) != (3 * stride, stride, 1) or not layer.integer(5):
        raise CheckpointError(f"layer {layer.name} is not a 3×3 convolution with bias that keeps the size")
    value = values.convolution(values.resized("fold", inputs[0], stride))
    if not layer.integer(9):
        return value
    return _leaky(layer, value, values, layer.numbers(10) if layer.integer(9) == LEAKY else ())


def _relu(layer: Layer, inputs: list[Value], values: Values) -> Value:
    return _leaky(layer, inputs[0], values, (layer.number(0),))


def _leaky(layer: Layer, value: Value, values: Values, slopes: Sequence[float]) -> Value:
    if [round(slope, DIGITS) for slope in slopes] != [SLOPE]:
        raise CheckpointError(f"layer {layer.name} ends with another activation than LeakyReLU of slope {SLOPE}")
    return values.leaky(value)


def _concat(layer: Layer, inputs: list[Value], values: Values) -> Value:
    if layer.integer(0) not in (0, -3):
        raise CheckpointError(f"layer {layer.name} joins along axis {layer.integer(0)}, not along channels")
    return values.joined(inputs)


def _eltwise(layer: Layer, inputs: list[Value], values: Values) -> Value:
    factors = layer.numbers(1) or (1.0,) * len(inputs)
    if layer.integer(0) != SUM or len(factors) != len(inputs):
        raise CheckpointError(f"layer {layer.name} is no weighted sum of its {len(inputs)} inputs")
    return values.total(*zip(inputs, factors, strict=True))


def _binary(layer: Layer, inputs: list[Value], values: Values) -> Value:
    operation, by_number = layer.integer(0), bool(layer.integer(1))
    if operation == ADD and len(inputs) == 2 and not by_number:
        return values.total(*((value, 1.0) for value in inputs))
    if operation == MULTIPLY and len(inputs) == 1 and by_number:
        return values.total((inputs[0], layer.number(2)))
    raise CheckpointError(f"layer {layer.name} neither adds two blobs nor multiplies one by a number")


def _interp(layer: Layer, inputs: list[Value], values: Values) -> Value:
    how, factor = RESIZES.get(layer.integer(0)), layer.number(1, 1)
    if how is None or layer.number(2, 1) != factor:
        raise CheckpointError(f"layer {layer.name} resizes neither to the nearest pixel nor bicubically by one factor")
    return values.resized(how, inputs[0], factor)


def _shuffle(layer: Layer, inputs: list[Value], values: Values) -> Value:
    return values.resized("shuffle", inputs[0], layer.integer(0, 1))


def _fold(layer: Layer, inputs: list[Value], values: Values) -> Value:
    return values.resized("fold", inputs[0], layer.integer(0, 1))


Compute = Callable[[Layer, list[Value], Values], Value]

_MANY = 1 << 10

_KINDS: dict[str, tuple[Compute, int, int, set[int]]] = {
    # what it computes, of how many blobs at least and at most, parameters that it may have
    "Input": (lambda _, __, values: values.picture(), 0, 0, {0, 1, 2}),
    "Split": (lambda _, inputs, __: inputs[0], 1, 1, set()),
    "Convolution": (_convolution, 1, 1, {*range(7), *range(9, 17), 31}),  # 31 chooses an implementation
    "PReLU": (lambda _, inputs, values: values.prelu(inputs[0]), 1, 1, {0}),
    "ReLU": (_relu, 1, 1, {0}),
    "Concat": (_concat, 1, _MANY, {0}),
    "Eltwise": (_eltwise, 2, _MANY, {0, 1}),
    "BinaryOp": (_binary, 1, 2, {0, 1, 2}),
    "Interp": (_interp, 1, 1, {0, 1, 2}),
    "PixelShuffle": (_shuffle, 1, 1, {0}),
    "Reorg": (_fold, 1, 1, {0}),
}
