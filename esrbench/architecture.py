"""What defines a network apart from its weights: hyperparameters, tensor shapes, cost, receptive field.

No torch here: listing models, checking a checkpoint and writing NCNN need shapes, not layers.
"""

import itertools
import math
from collections.abc import Mapping

from esrbench.codec import Value

Shape = tuple[int, ...]

MOST_DOUBLINGS = 5  # ×32; ESRGAN's training code knows ×8

LARGEST_COUNT = 4096
"""Of blocks, convolutions or channels: a description that says more is of no network, and would fill the memory."""


class Convolution(Value, frozen=True, kw_only=True):
    """A 3×3 convolution of a network, and at how many pixels it is computed."""

    name: str
    before: int  # channels
    after: int
    per_input_px: float  # pixels that it is computed at, per input pixel: 16 behind two doublings

    @property
    def macs(self) -> float:
        """Multiply-accumulates per input pixel; bias not counted."""
        return 9 * self.before * self.after * self.per_input_px


class RRDBNetSpec(Value, frozen=True, kw_only=True, tag="RRDBNet"):
    """ESRGAN's residual-in-residual dense network, as Real-ESRGAN ships it (arXiv:2107.10833).

    The official networks double the picture twice; scales 2 and 1 fold it by :attr:`unshuffle` first, so that the ×4
    body works on fewer, deeper pixels. ESRGAN's older ones have as many doublings as their scale needs, and no fold.

    Raises:
        ValueError: the scale is not that of the doublings, whole or divided by a fold; a count below 1.
    """

    blocks: int  # nb: residual-in-residual dense blocks
    features: int = 64  # nf: channels between blocks
    growth: int = 32  # gc: channels that each dense convolution adds
    scale: int = 4
    in_channels: int = 3  # of the picture, before it is folded
    out_channels: int = 3
    doublings: int = 2  # nearest-neighbour enlargements by 2, each followed by a convolution

    def __post_init__(self) -> None:
        _require_positive(self, "blocks", "features", "growth", "scale", "in_channels", "out_channels")
        if not 0 <= self.doublings <= MOST_DOUBLINGS or (1 << self.doublings) % self.scale:
            raise ValueError(f"{self.doublings} doublings make no network of scale {self.scale}")

    @property
    def unshuffle(self) -> int:
        """Side of the pixel block folded into channels first; official ×4: 1, ×2: 2, ×1: 4. Sides must divide."""
        return (1 << self.doublings) // self.scale

    @property
    def receptive_field_px(self) -> int:
        """Input pixels on each side that an output pixel depends on: a halo this wide makes tiling exact."""
        # Each 3×3 convolution at body resolution reaches one pixel further: conv_first, 15 a block, conv_body. The
        # last two reach 2 pixels; behind each doubling those are 2 again: (2 + 1 of conv_up) / 2, rounded up.
        return self.unshuffle * (1 + 15 * self.blocks + 1 + 2)

    @property
    def upsamplers(self) -> tuple[str, ...]:
        """Names of the convolutions behind the doublings."""
        return tuple(f"conv_up{stage}" for stage in range(1, self.doublings + 1))

    def parameter_shapes(self) -> dict[str, Shape]:
        """Official parameter name → shape, in module order."""
        convs: dict[str, tuple[int, int]] = {"conv_first": (self.in_channels * self.unshuffle**2, self.features)}
        for block in range(self.blocks):
            for dense in (1, 2, 3):
                for conv in (1, 2, 3, 4, 5):
                    width = self.growth if conv < 5 else self.features
                    convs[f"body.{block}.rdb{dense}.conv{conv}"] = (
                        self.features + (conv - 1) * self.growth,
                        width,
                    )
        for name in ("conv_body", *self.upsamplers, "conv_hr"):
            convs[name] = (self.features, self.features)
        convs["conv_last"] = (self.features, self.out_channels)
        return _conv_parameters(convs)

    def convolutions(self) -> tuple[Convolution, ...]:
        """Every convolution, in module order."""
        zoom = {
            name: (1 << stage) ** 2 for stage, name in enumerate(self.upsamplers, start=1)
        }  # pixels there per body pixel
        zoom |= dict.fromkeys(("conv_hr", "conv_last"), (1 << self.doublings) ** 2)
        return _convolutions(self.parameter_shapes(), zoom, 1 / self.unshuffle**2)

    def macs_per_input_px(self) -> float:
        """Multiply-accumulates per input pixel; a FLOP count is twice this."""
        return sum(conv.macs for conv in self.convolutions())


class SRVGGNetSpec(Value, frozen=True, kw_only=True, tag="SRVGGNetCompact"):
    """Real-ESRGAN's compact network: a stack of 3×3 convolutions with PReLU, one pixel shuffle, a nearest skip.

    The official ×2 and ×3 files for NCNN hold the ×4 network and a bicubic reduction of what it draws.

    Raises:
        ValueError: a count that cannot be, or channels that the skip could not add.
    """

    convs: int  # num_conv: convolutions between the first and the last
    features: int = 64
    scale: int = 4
    in_channels: int = 3
    out_channels: int = 3
    reduced_from: int | None = None  # scale of the picture that is drawn, where it is then reduced to ``scale``

    def __post_init__(self) -> None:
        _require_positive(self, "features", "scale", "in_channels", "out_channels")
        if not 0 <= self.convs <= LARGEST_COUNT:
            raise ValueError(
                f"convs is {self.convs}; a network has a first and a last convolution and up to {LARGEST_COUNT} besides"
            )
        if self.in_channels != self.out_channels:
            raise ValueError(f"{self.in_channels} channels cannot be added to the {self.out_channels} that are drawn")
        if not self.scale <= self.drawn_scale <= LARGEST_COUNT:
            raise ValueError(f"a picture drawn at ×{self.drawn_scale} cannot be reduced to ×{self.scale}")

    @property
    def drawn_scale(self) -> int:
        """The scale before a reduction."""
        return self.scale if self.reduced_from is None else self.reduced_from

    @property
    def unshuffle(self) -> int:
        """Always 1: any side will do."""
        return 1

    @property
    def receptive_field_px(self) -> int:
        """Input pixels on each side that an output pixel depends on."""
        # A bicubic reduction reads two drawn pixels on each side, which are of the next input pixel.
        return self.convs + 2 + (self.drawn_scale != self.scale)

    def parameter_shapes(self) -> dict[str, Shape]:
        """Official parameter name → shape, in module order: ``body.0`` is a convolution, ``body.1`` its PReLU, …"""
        shapes: dict[str, Shape] = {}
        widths = [self.in_channels, *[self.features] * (self.convs + 1)]
        for layer, (before, after) in enumerate(itertools.pairwise(widths)):
            shapes |= _conv_parameters({f"body.{2 * layer}": (before, after)})
            shapes[f"body.{2 * layer + 1}.weight"] = (after,)
        last = f"body.{2 * (self.convs + 1)}"
        return shapes | _conv_parameters({last: (self.features, self.out_channels * self.drawn_scale**2)})

    def convolutions(self) -> tuple[Convolution, ...]:
        """Every convolution, in module order."""
        return _convolutions(self.parameter_shapes(), {}, 1.0)

    def macs_per_input_px(self) -> float:
        """Multiply-accumulates per input pixel in convolutions; a FLOP count is twice this."""
        return sum(conv.macs for conv in self.convolutions())


NetworkSpec = RRDBNetSpec | SRVGGNetSpec


def architecture_name(spec: NetworkSpec) -> str:
    """``RRDBNet`` or ``SRVGGNetCompact``."""
    return str(type(spec).__struct_config__.tag)


def parameter_count(shapes: Mapping[str, Shape]) -> int:
    """How many numbers these shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def _convolutions(shapes: Mapping[str, Shape], zoom: Mapping[str, int], body: float) -> tuple[Convolution, ...]:
    """Those among ``shapes``; ``zoom``: pixels per body pixel where they are not 1; ``body``: those per input pixel."""
    names = [(name.removesuffix(".weight"), shape) for name, shape in shapes.items() if len(shape) == 4]
    return tuple(
        Convolution(name=name, before=shape[1], after=shape[0], per_input_px=zoom.get(name, 1) * body)
        for name, shape in names
    )


def _require_positive(spec: NetworkSpec, *names: str) -> None:
    for name in names:
        if not 1 <= getattr(spec, name) <= LARGEST_COUNT:
            raise ValueError(f"{name} is {getattr(spec, name)}; it must be at least 1, and at most {LARGEST_COUNT}")


def _conv_parameters(convs: Mapping[str, tuple[int, int]]) -> dict[str, Shape]:
    """3×3 convolutions with bias: name → (in, out) becomes parameter → shape."""
    shapes: dict[str, Shape] = {}
    for name, (before, after) in convs.items():
        shapes[f"{name}.weight"] = (after, before, 3, 3)
        shapes[f"{name}.bias"] = (after,)
    return shapes
