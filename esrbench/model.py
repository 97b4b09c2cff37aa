"""The two networks of Real-ESRGAN, top to bottom.

Shapes are (N, C, H, W): float, RGB, in [0, 1], output unclamped. Parameter names are the official ones, so an official
state dict loads strictly. Costs are multiply-accumulates (MAC) per pixel at the layer's input; a FLOP count is twice
that. In the comments F = features (64), G = growth (32).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pixel_shuffle, pixel_unshuffle

from esrbench.architecture import NetworkSpec, RRDBNetSpec, SRVGGNetSpec
from esrbench.exporter import Model
from esrbench.folding import fold

SLOPE = 0.2  # of every LeakyReLU, and also the weight of every residual branch (arXiv:1809.00219, section 3.1)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees everything before it: 239,616 MAC per pixel at F 64, G 32."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(features, growth)  #              F → G   18,432
        self.conv2 = conv3x3(features + growth, growth)  #     F+G → G   27,648
        self.conv3 = conv3x3(features + 2 * growth, growth)  # F+2G → G   36,864
        self.conv4 = conv3x3(features + 3 * growth, growth)  # F+3G → G   46,080
        self.conv5 = conv3x3(features + 4 * growth, features)  # F+4G → F  110,592

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, H, W) → (N, F, H, W)."""
        g1 = leaky(self.conv1(x))
        g2 = leaky(self.conv2(torch.cat((x, g1), 1)))
        g3 = leaky(self.conv3(torch.cat((x, g1, g2), 1)))
        g4 = leaky(self.conv4(torch.cat((x, g1, g2, g3), 1)))
        g5: Tensor = self.conv5(torch.cat((x, g1, g2, g3, g4), 1))
        return x + SLOPE * g5


class ResidualDenseBlock(nn.Module):
    """Three dense blocks in a residual branch of their own: 718,848 MAC per pixel."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(features, growth)
        self.rdb2 = DenseBlock(features, growth)
        self.rdb3 = DenseBlock(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        """(N, F, H, W) → (N, F, H, W)."""
        branch: Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + SLOPE * branch


class RRDBNet(nn.Module):
    """ESRGAN's generator without norm layers; 23 blocks cost 17.93 M MAC per body pixel, 92 % in the dense blocks.

    The official ×4 works on the picture's own pixels; ×2 and ×1 first fold 2×2 or 4×4 of them into channels, so that
    h = H/2 or H/4 and the sides must divide. Older networks have no fold and as many doublings as their scale needs.
    """

    def __init__(self, spec: RRDBNetSpec) -> None:
        super().__init__()
        features = spec.features
        self.unshuffle = spec.unshuffle
        self.conv_first = conv3x3(spec.in_channels * spec.unshuffle**2, features)
        self.body = nn.Sequential(*(ResidualDenseBlock(features, spec.growth) for _ in range(spec.blocks)))
        self.conv_body = conv3x3(features, features)
        self.upsamplers = spec.upsamplers  # conv_up1, conv_up2: names, as a state dict tells of no list
        for name in self.upsamplers:
            self.add_module(name, conv3x3(features, features))
        self.conv_hr = conv3x3(features, features)
        self.conv_last = conv3x3(features, spec.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, scale*H, scale*W)."""
        if self.unshuffle > 1:
            x = pixel_unshuffle(x, self.unshuffle)  #       (N, 3u², h, w), u = 2 or 4
        first = self.conv_first(x)  #                       (N, F, h, w)
        x = first + self.conv_body(self.body(first))  #     (N, F, h, w)
        for name in self.upsamplers:
            x = leaky(getattr(self, name)(double(x)))  #    (N, F, 2h, 2w)     36,864 at 4 px per body pixel
            #                                               (N, F, 4h, 4w)     36,864 at 16
        x = leaky(self.conv_hr(x))  #                       (N, F, 4h, 4w)     36,864 at 16
        picture: Tensor = self.conv_last(x)  #              (N, 3, 4h, 4w)      1,728 at 16
        return picture


class SRVGGNetCompact(nn.Module):
    """A stack of convolutions at the input's resolution, whose last one holds all scale² pixels of each output block.

    It learns only what a nearest-neighbour enlargement lacks. 16 convolutions cost 0.62 M MAC a pixel, 32 1.21 M.
    """

    def __init__(self, spec: SRVGGNetSpec) -> None:
        super().__init__()
        self.drawn_scale = spec.drawn_scale
        self.reduction = spec.scale / spec.drawn_scale
        layers: list[nn.Module] = [conv3x3(spec.in_channels, spec.features), nn.PReLU(spec.features)]
        for _ in range(spec.convs):
            layers += [conv3x3(spec.features, spec.features), nn.PReLU(spec.features)]
        layers += [conv3x3(spec.features, spec.out_channels * spec.drawn_scale**2)]
        self.body = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) → (N, 3, scale*H, scale*W)."""
        learned = x
        for layer in self.body:
            learned = layer(learned)  #                     (N, F, H, W), last (N, 3 scale², H, W)
        nearest = interpolate(x, scale_factor=self.drawn_scale, mode="nearest")
        picture = pixel_shuffle(learned, self.drawn_scale) + nearest
        return picture if self.reduction == 1 else interpolate(picture, scale_factor=self.reduction, mode="bicubic")


def conv3x3(before: int, after: int) -> nn.Conv2d:
    """A 3×3 convolution with bias that keeps height and width: 9 * before * after MAC per pixel."""
    return nn.Conv2d(before, after, kernel_size=3, stride=1, padding=1)


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU, in place: nothing reads a convolution's output before it."""
    return leaky_relu(x, SLOPE, inplace=not torch.compiler.is_exporting())


def double(x: Tensor) -> Tensor:
    """Every pixel becomes 2×2. The constant factor (not a size) keeps shape arithmetic out of exported graphs."""
    return interpolate(x, scale_factor=2, mode="nearest")


def build(spec: NetworkSpec) -> nn.Module:
    """The network of ``spec`` with torch's random initial weights, fp32, in evaluation mode."""
    return (RRDBNet(spec) if isinstance(spec, RRDBNetSpec) else SRVGGNetCompact(spec)).eval()


def network(model: Model) -> nn.Module:
    """The network of ``model`` with its weights, fp32, in evaluation mode, without gradients."""
    with torch.device("meta"):  # no time spent on random weights that are replaced at once
        net = build(model.spec)
    net.load_state_dict({name: torch.tensor(array) for name, array in model.weights.items()}, assign=True)
    return net.requires_grad_(False)


def plain_convolutions(net: nn.Module) -> nn.Module:
    """``net`` without pixel unshuffle: it becomes part of the first convolution. Changes and returns ``net``."""
    if isinstance(net, RRDBNet) and net.unshuffle > 1:
        net.conv_first = _folded(net.conv_first, net.unshuffle)
        net.unshuffle = 1
    return net


def _folded(conv: nn.Conv2d, block_px: int) -> nn.Conv2d:
    weight = torch.from_numpy(fold(conv.weight.detach().float().cpu().numpy(), block_px)).to(conv.weight)
    out, channels, side, _ = weight.shape
    strided = nn.Conv2d(channels, out, side, stride=block_px, padding=block_px, dtype=weight.dtype)
    strided.load_state_dict({"weight": weight, "bias": conv.bias}, assign=True)
    return strided.requires_grad_(conv.weight.requires_grad)
