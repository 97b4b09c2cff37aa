"""A network that takes and gives pictures as applications hold them. Imports torch."""

import torch
from torch import Tensor, nn


class PictureNetwork(nn.Module):
    """``(N, H, W, 3)`` uint8 RGB → ``(N, scale*H, scale*W, 3)`` uint8, around a network of planes in [0, 1].

    Any size will do: where the network's sides must divide by ``multiple``, the picture is continued by reflection at
    the bottom and on the right, as ``esrbench.tiling.padded`` does it, and what was drawn of that is cut off again.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype, *, scale: int, multiple: int) -> None:
        super().__init__()
        self.network, self.dtype, self.scale, self.multiple = network, dtype, scale, multiple

    def forward(self, image: Tensor) -> Tensor:
        """Scale, draw, clamp, round to nearest."""
        height, width = image.shape[1], image.shape[2]
        if self.multiple > 1:
            image = image.index_select(1, reflected(height, self.multiple))
            image = image.index_select(2, reflected(width, self.multiple))
        planes = image.permute(0, 3, 1, 2).to(torch.float32) / 255
        drawn = self.network(planes.to(self.dtype)).to(torch.float32)
        upscaled: Tensor = (drawn.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        if self.multiple > 1:
            upscaled = upscaled[:, : height * self.scale, : width * self.scale]
        return upscaled


def reflected(side: int, multiple: int) -> Tensor:
    """Indices ``0 … side-1``, continued by reflection to the next multiple, 4 at most; a single pixel is repeated.

    Only what the ONNX exporter can write with a symbolic ``side``: sums, absolute values and minima of tensors.
    """
    last = torch.arange(side).amax(0)
    index = torch.arange((side + multiple - 1) // multiple * multiple)
    return torch.minimum((last - (index - last).abs()).abs(), last)
