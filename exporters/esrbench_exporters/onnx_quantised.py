"""A float ONNX graph to one of 8-bit integers, in pairs of QuantizeLinear and DequantizeLinear. Imports onnx_ir.

A runtime fuses what stands between two pairs into one integer kernel. Weights are signed with a step for each output
channel, everything else unsigned with one step: what x86's multiply-add instructions take (u8 × s8). First and last
convolution and the residual sums stay float: they hold the picture itself.

Every part of a dense block has the same step, so that joining parts moves bytes and computes nothing.
"""

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import onnx_ir

from esrbench.errors import ExportError
from esrbench_exporters.calibration import ConvolutionSpans, Span

MOVERS = frozenset({"Concat", "Resize"})
"""What makes no new values (Resize: of nearest neighbours) and so keeps its inputs' step."""

ENDS = (0, -1)
"""First and last convolution."""

HIGHEST = 255  # unsigned byte
HIGHEST_WEIGHT = 127  # signed byte, symmetrical


class Step(msgspec.Struct, frozen=True):
    """Of an affine scale: ``value = (byte - zero) * size``."""

    size: float
    zero: int


def quantise(written: onnx_ir.Model, spans: Sequence[ConvolutionSpans], kept: Iterable[int] = ENDS) -> int:
    """Change ``written``; says how many of its convolutions are int8 now.

    ``kept`` are the places of those that stay float, in the order in which they run; negative ones count from the end.

    Raises:
        ExportError: no other is left.
    """
    graph = written.graph
    convolutions = [node for node in graph if node.op_type == "Conv"]
    if len(convolutions) != len(spans):
        raise ExportError(f"the graph has {len(convolutions)} convolutions, the network ran {len(spans)}")
    floats = {place % len(spans) for place in kept}
    inner = [pair for place, pair in enumerate(zip(convolutions, spans, strict=True)) if place not in floats]
    if not inner:
        raise ExportError("int8 keeps the first and the last convolution in float, and this network has no other")
    steps = _steps(inner)
    makers = {convolution for convolution, _ in inner}
    given = {convolution: steps[_read(convolution, 0)] for convolution in makers}  # before other values are read
    movers = {node for node in graph if node.op_type in MOVERS and node.outputs[0] in steps}
    for value, step in steps.items():
        _round(graph, value, step, makers, movers)
    for convolution, _ in inner:
        _round_weights(graph, convolution, given[convolution])
    return len(inner)


def _steps(inner: Sequence[tuple[onnx_ir.Node, ConvolutionSpans]]) -> dict[onnx_ir.Value, Step]:
    """Tensor → its step. From the end, as the last convolution of a dense block sees all of the block's parts."""
    steps: dict[onnx_ir.Value, Step] = {}
    for convolution, spans in reversed(inner):
        source = _read(convolution, 0)
        same = [source, *_moved(source)]
        step = next((steps[value] for value in same if value in steps), None) or _step(spans.given)
        for value in same:
            steps.setdefault(value, step)
        steps.setdefault(convolution.outputs[0], _step(spans.made))
    return steps


def _moved(value: onnx_ir.Value) -> list[onnx_ir.Value]:
    """What ``value`` was joined or enlarged from."""
    mover = value.producer()
    if mover is None or mover.op_type not in MOVERS:
        return []
    return [_read(mover, place) for place in range(len(mover.inputs) if mover.op_type == "Concat" else 1)]


def _step(span: Span) -> Step:
    """From the lowest to the highest value in 255 steps, 0 on one of them."""
    size = (span.high - span.low) / HIGHEST or 1.0  # a tensor that was 0 throughout has any step
    return Step(size=float(np.float32(size)), zero=round(-span.low / size))


def _round(
    graph: onnx_ir.Graph, value: onnx_ir.Value, step: Step, makers: set[onnx_ir.Node], movers: set[onnx_ir.Node]
) -> None:
    """Let the integer part of the graph read ``value`` rounded to bytes; what stays float goes on reading it whole."""
    maker = value.producer()
    if maker is None:
        raise ExportError(f"{value.name} is an input and would be rounded; the first convolution should read it")
    readers = [(node, place) for node, place in value.uses() if maker in makers or node in makers or node in movers]
    size = _constant(graph, f"{value.name}_step", np.array(step.size, np.float32))
    zero = _constant(graph, f"{value.name}_zero", np.array(step.zero, np.uint8))
    rounded = onnx_ir.node("QuantizeLinear", [value, size, zero], name=f"{value.name}_to_bytes")
    floats = onnx_ir.node("DequantizeLinear", [rounded.outputs[0], size, zero], name=f"{value.name}_to_floats")
    graph.insert_after(maker, [rounded, floats])
    for node, place in readers:
        node.replace_input_with(place, floats.outputs[0])


def _round_weights(graph: onnx_ir.Graph, convolution: onnx_ir.Node, given: Step) -> None:
    """Weights as signed bytes; the bias in the 32 bits, and the steps, that their products are summed in."""
    weight, bias = _read(convolution, 1), _read(convolution, 2)
    numbers = _numbers(weight)
    sizes = np.abs(numbers).max(axis=(1, 2, 3)) / HIGHEST_WEIGHT
    sizes = np.where(sizes > 0, sizes, 1).astype(np.float32)  # a channel of zeros has any step
    sums = (sizes * np.float32(given.size)).astype(np.float32)
    rounded = np.rint(numbers / sizes[:, None, None, None]).clip(-HIGHEST_WEIGHT, HIGHEST_WEIGHT).astype(np.int8)
    furthest = np.iinfo(np.int32)
    offsets = np.rint(_numbers(bias).astype(np.float64) / sums).clip(furthest.min, furthest.max).astype(np.int32)
    for place, value, whole, steps in ((1, weight, rounded, sizes), (2, bias, offsets, sums)):
        inputs = [
            _constant(graph, f"{value.name}_rounded", whole),
            _constant(graph, f"{value.name}_step", steps),
            _constant(graph, f"{value.name}_zero", np.zeros(len(steps), whole.dtype)),
        ]
        floats = onnx_ir.node("DequantizeLinear", inputs, {"axis": 0}, name=f"{value.name}_to_floats")
        graph.insert_before(convolution, floats)
        convolution.replace_input_with(place, floats.outputs[0])


def _constant(graph: onnx_ir.Graph, name: str, numbers: npt.NDArray[np.generic]) -> onnx_ir.Value:
    tensor = onnx_ir.tensor(numbers, name=name)
    shape = onnx_ir.Shape(numbers.shape)
    value = onnx_ir.Value(name=name, shape=shape, type=onnx_ir.TensorType(tensor.dtype), const_value=tensor)
    graph.register_initializer(value)
    return value


def _numbers(value: onnx_ir.Value) -> npt.NDArray[np.float32]:
    if value.const_value is None:
        raise ExportError(f"{value.name} is no constant; int8 needs the weights in the graph")
    return value.const_value.numpy().astype(np.float32, copy=False)


def _read(node: onnx_ir.Node, place: int) -> onnx_ir.Value:
    value = node.inputs[place]
    if value is None:
        raise ExportError(f"{node.op_type} {node.name} has no input {place}")
    return value
