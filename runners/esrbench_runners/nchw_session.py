"""The session of upstream's way. Imports torch."""

import numpy as np
import torch

from esrbench.layout import to_tiles
from esrbench.runner import Tiles, float_tiles
from esrbench.translation import translated
from esrbench_runners.torch_session import TorchSession


class NchwSession(TorchSession):
    """Planes in NCHW, one tile at a time."""

    memory_format = torch.contiguous_format

    def run(self, tiles: Tiles) -> Tiles:
        """Upscale tile after tile; the floats that come back are not clipped, as upstream does next."""
        with translated(f"{self._target}: a batch of shape {tiles.shape}"), torch.no_grad():
            return np.concatenate([to_tiles(self._upscaled(tile), tiles) for tile in float_tiles(tiles)])

    def _upscaled(self, tile: np.ndarray) -> np.ndarray:
        """``(H, W, 3)`` floats → ``(1, 3, sH, sW)``: upstream's ``pre_process``, ``process`` and ``post_process``."""
        planes = torch.from_numpy(np.ascontiguousarray(tile.transpose(2, 0, 1))).unsqueeze(0).to(self._device)
        output: torch.Tensor = self._network(planes.to(self._dtype))
        upscaled: np.ndarray = output.float().cpu().numpy()
        return upscaled
