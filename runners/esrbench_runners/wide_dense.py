"""Dense blocks without concatenation: the same sums, one convolution for each source instead of each result.

A dense block's k-th convolution sees everything before it side by side, and torch copies all of that together for each
of them: 576 channels a block. Convolution is linear: cut by source, the weights of all that read the block's input
make one convolution of 192 channels, those that read the first result one of 160, and so on to 64. Nothing is copied
together; the sums are added up instead. Weights, products and cost are the same, only the order of summing differs.
Imports torch.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from esrbench.model import SLOPE, DenseBlock, conv3x3


class WideDenseBlock(nn.Module):
    """A dense block, (N, F, H, W) → (N, F, H, W): convolutions F → 4G+F, G → 3G+F, G → 2G+F, G → G+F, G → F."""

    def __init__(self, block: DenseBlock) -> None:
        super().__init__()
        results = [block.conv1, block.conv2, block.conv3, block.conv4, block.conv5]
        self.growth = block.conv1.out_channels
        ends = [block.conv1.in_channels + self.growth * k for k in range(5)]
        begins = [0, *ends]
        self.sources = nn.ModuleList(
            _joined([conv.weight[:, begins[k] : ends[k]] for conv in results[k:]]) for k in range(5)
        )
        first: nn.Conv2d = self.sources[0]  # type: ignore[assignment]  # a list of modules forgets their kind
        first.bias = nn.Parameter(torch.cat([_bias(conv) for conv in results]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """What is left of the sums after the last result is the block's."""
        first, *others = self.sources
        sums: Tensor = first(x)
        for source in others:
            result = leaky_relu(sums[:, : self.growth], SLOPE)
            sums = source(result).add_(sums[:, self.growth :])
        return torch.add(x, sums, alpha=SLOPE)


def widened(network: nn.Module) -> nn.Module:
    """``network`` with its dense blocks replaced. Changes and returns it."""
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, DenseBlock):
                setattr(module, name, WideDenseBlock(child))
    return network


def _joined(weights: list[Tensor]) -> nn.Conv2d:
    """One convolution for all of these, without bias."""
    weight = torch.cat(weights)
    with torch.device("meta"):
        conv = conv3x3(weight.shape[1], weight.shape[0])
    conv.weight, conv.bias = nn.Parameter(weight, requires_grad=False), None
    return conv


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None  # as the network is built
    return conv.bias
