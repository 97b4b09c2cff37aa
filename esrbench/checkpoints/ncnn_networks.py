"""The networks known here as the values that they compute, to hold an ncnn model against."""

from collections.abc import Sequence

from esrbench.architecture import MOST_DOUBLINGS, NetworkSpec, RRDBNetSpec, SRVGGNetSpec, architecture_name
from esrbench.checkpoints.ncnn_param import Layer
from esrbench.checkpoints.ncnn_values import RESIDUAL, Value, Values
from esrbench.errors import CheckpointError

WEIGHTED = ("Convolution", "PReLU")


def layer_names(layers: Sequence[Layer], found: Values) -> list[str]:
    """What the layers that have weights are called in their network, which leaves no choice in their order.

    Raises:
        CheckpointError: no network known here has so many.
    """
    slopes = sum(layer.kind == "PReLU" for layer in layers)
    convolutions = len(layers) - slopes
    if slopes:
        names = [f"body.{index}" for index in range(2 * slopes + 1)]
        if [layer.kind for layer in layers] == [WEIGHTED[index % 2] for index in range(len(names))]:
            return names
        raise CheckpointError(
            f"its {convolutions} convolutions and {slopes} PReLUs do not take turns as those of SRVGGNetCompact do"
        )
    doublings = len(found.factors("nearest"))
    blocks, others = divmod(convolutions - doublings - 4, 15)
    if others or blocks < 1 or doublings > MOST_DOUBLINGS:
        raise CheckpointError(
            f"{convolutions} convolutions and {doublings} enlargements are not those of an RRDBNet, "
            f"which has 15 in each block, one behind each doubling and 4 besides"
        )
    spec = RRDBNetSpec(blocks=blocks, scale=1 << doublings, doublings=doublings)
    return [name.removesuffix(".weight") for name in spec.parameter_shapes() if name.endswith(".weight")]


def reduced_to(found: Values) -> int | None:
    """The scale that a bicubic reduction leaves; None where there is none.

    Raises:
        CheckpointError: it is no whole one.
    """
    factors = found.factors("bicubic")
    if not factors:
        return None
    drawn_scale = next(iter(found.factors("shuffle")), 1.0)
    scale = round(factors[0] * drawn_scale)
    if len(factors) > 1 or scale < 1 or scale / drawn_scale != factors[0]:
        raise CheckpointError(f"it is resized bicubically by {factors}, which leaves no whole scale")
    return scale


def require(spec: NetworkSpec, layers: Sequence[Layer], found: Values, output: Value) -> None:
    """Refuse a model that computes something else than ``spec``.

    Raises:
        CheckpointError: the first of the layers with weights that differs is named.
    """
    expected = found.afresh()
    drawn = _rrdbnet(spec, expected) if isinstance(spec, RRDBNetSpec) else _srvggnet(spec, expected)
    network = f"{architecture_name(spec)} ×{spec.scale}"
    for layer, is_there, should_be in zip(layers, found.weighted, expected.weighted, strict=True):
        if is_there != should_be:
            raise CheckpointError(f"it is no {network}: layer {layer.name} is not given what it is given there")
    if output != drawn:
        raise CheckpointError(f"it is no {network}: what follows layer {layers[-1].name} is another thing there")


def _rrdbnet(spec: RRDBNetSpec, values: Values) -> Value:
    first = values.convolution(values.resized("fold", values.picture(), spec.unshuffle))
    x = first
    for _ in range(spec.blocks):
        before = x
        for _ in range(3):
            x = _dense_block(x, values)
        x = values.total((x, RESIDUAL), (before, 1))
    x = values.total((first, 1), (values.convolution(x), 1))
    for _ in range(spec.doublings):
        x = values.leaky(values.convolution(values.resized("nearest", x, 2)))
    return values.convolution(values.leaky(values.convolution(x)))


def _dense_block(x: Value, values: Values) -> Value:
    seen = [x]
    for _ in range(4):
        seen.append(values.leaky(values.convolution(values.joined(seen))))
    return values.total((values.convolution(values.joined(seen)), RESIDUAL), (x, 1))


def _srvggnet(spec: SRVGGNetSpec, values: Values) -> Value:
    picture = values.picture()
    x = picture
    for _ in range(spec.convs + 1):
        x = values.prelu(values.convolution(x))
    learned = values.resized("shuffle", values.convolution(x), spec.drawn_scale)
    x = values.total((learned, 1), (values.resized("nearest", picture, spec.drawn_scale), 1))
    return values.resized("bicubic", x, spec.scale / spec.drawn_scale)
