"""What defines a network apart from its weights: hyperparameters, tensor shapes, cost, receptive field.

No torch here: listing models, checking a checkpoint and writing NCNN need shapes, not layers.
"""

import itertools
import math
from collections.abc import Mapping

from esrbench.codec import Value

Shape = tuple[int, ...]


class RRDBNetSpec(Value, frozen=True, kw_only=True, tag="RRDBNet"):
    """ESRGAN's residual-in-residual dense network, as Real-ESRGAN ships it (arXiv:2107.10833).

    Scales 2 and 1 fold the picture by :attr:`unshuffle` first, so that the ×4 body works on fewer, deeper pixels.
    """

    blocks: int  # nb: residual-in-residual dense blocks
    features: int = 64  # nf: channels between blocks
    growth: int = 32  # gc: channels that each dense convolution adds
    scale: int = 4
    in_channels: int = 3
    out_channels: int = 3

    @property
    def unshuffle(self) -> int:
        """Side of the pixel block folded into channels first: 1 for ×4, 2 for ×2, 4 for ×1. Sides must divide."""
        return 4 // self.scale

    @property
    def receptive_field_px(self) -> int:
        """Input pixels on each side that an output pixel depends on: a halo this wide makes tiling exact."""
        # Each 3×3 convolution at body resolution reaches one pixel further: conv_first, 15 a block, conv_body. The
        # four at doubled and redoubled resolution reach 1/2 + 1/4 + 1/4 + 1/4 of a body pixel, rounded up to 2.
        return self.unshuffle * (1 + 15 * self.blocks + 1 + 2)

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
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            convs[name] = (self.features, self.features)
        convs["conv_last"] = (self.features, self.out_channels)
        return _conv_parameters(convs)

    def macs_per_input_px(self) -> float:
        """Multiply-accumulates per input pixel; a FLOP count is twice this."""
        shapes = self.parameter_shapes()
        zoom = {"conv_up1": 4, "conv_up2": 16, "conv_hr": 16, "conv_last": 16}  # pixels there per body pixel
        body = sum(
            math.prod(shape) * zoom.get(name.removesuffix(".weight"), 1)
            for name, shape in shapes.items()
            if name.endswith(".weight")
        )
        return body / self.unshuffle**2


class SRVGGNetSpec(Value, frozen=True, kw_only=True, tag="SRVGGNetCompact"):
    """Real-ESRGAN's compact network: a stack of 3×3 convolutions with PReLU, one pixel shuffle, a nearest skip."""

    convs: int  # num_conv: convolutions between the first and the last
    features: int = 64
    scale: int = 4
    in_channels: int = 3
    out_channels: int = 3

    @property
    def unshuffle(self) -> int:
        """Always 1: any side will do."""
        return 1

    @property
    def receptive_field_px(self) -> int:
        """Input pixels on each side that an output pixel depends on."""
        return self.convs + 2

    def parameter_shapes(self) -> dict[str, Shape]:
        """Official parameter name → shape, in module order: ``body.0`` is a convolution, ``body.1`` its PReLU, …"""
        shapes: dict[str, Shape] = {}
        widths = [self.in_channels, *[self.features] * (self.convs + 1)]
        for layer, (before, after) in enumerate(itertools.pairwise(widths)):
            shapes |= _conv_parameters({f"body.{2 * layer}": (before, after)})
            shapes[f"body.{2 * layer + 1}.weight"] = (after,)
        last = f"body.{2 * (self.convs + 1)}"
        return shapes | _conv_parameters({last: (self.features, self.out_channels * self.scale**2)})

    def macs_per_input_px(self) -> float:
        """Multiply-accumulates per input pixel in convolutions; a FLOP count is twice this."""
        return float(sum(math.prod(shape) for shape in self.parameter_shapes().values() if len(shape) == 4))


NetworkSpec = RRDBNetSpec | SRVGGNetSpec


def architecture_name(spec: NetworkSpec) -> str:
    """``RRDBNet`` or ``SRVGGNetCompact``."""
    return str(type(spec).__struct_config__.tag)


def parameter_count(shapes: Mapping[str, Shape]) -> int:
    """How many numbers these shapes hold."""
    return sum(math.prod(shape) for shape in shapes.values())


def _conv_parameters(convs: Mapping[str, tuple[int, int]]) -> dict[str, Shape]:
    """3×3 convolutions with bias: name → (in, out) becomes parameter → shape."""
    shapes: dict[str, Shape] = {}
    for name, (before, after) in convs.items():
        shapes[f"{name}.weight"] = (after, before, 3, 3)
        shapes[f"{name}.bias"] = (after,)
    return shapes
