"""Pixel unshuffle and the 3×3 convolution after it, as one strided convolution: exact, and known to every runtime."""

import numpy as np
import numpy.typing as npt

Kernel = npt.NDArray[np.float32]


def fold(weight: Kernel, block_px: int) -> Kernel:
    """``(out, in*s², 3, 3)`` behind a pixel unshuffle by ``s`` → ``(out, in, 3s, 3s)``, for stride s and padding s.

    Unshuffled channel ``c*s² + i*s + j`` at kernel tap ``(y, x)`` reads the pixel ``(y*s + i, x*s + j)`` of channel c.
    """
    out, folded = weight.shape[:2]
    s = block_px
    taps = weight.reshape(out, folded // s**2, s, s, 3, 3).transpose(0, 1, 4, 2, 5, 3)
    return np.ascontiguousarray(taps.reshape(out, folded // s**2, 3 * s, 3 * s))


def unfold(weight: Kernel, block_px: int) -> Kernel:
    """The inverse of :func:`fold`."""
    out, channels = weight.shape[:2]
    s = block_px
    taps = weight.reshape(out, channels, 3, s, 3, s).transpose(0, 1, 3, 5, 2, 4)
    return np.ascontiguousarray(taps.reshape(out, channels * s**2, 3, 3))
