"""Find comparisons with the reference's picture that no two pictures give."""

from collections.abc import Iterator

from esrbench.record import Fidelity, Workload

_ROUNDING = 1e-6
"""Sums of a picture's float64 errors round by far less."""

_MOST_BITS = 16  # of a value in a picture's file


def impossible(found: Fidelity, workload: Workload, scale: int) -> Iterator[str]:
    """Say in words what cannot be true of ``found``, on the picture that ``workload`` makes."""
    y, x = found.worst_yx
    if y >= workload.height_px * scale or x >= workload.width_px * scale:
        yield f"its worst pixel, at {y}, {x}, lies outside of its picture"
    if 2 * found.border_px >= min(workload.height_px, workload.width_px):
        yield f"a border of {found.border_px} px leaves nothing to compare"
    if found.bits is not None and not 1 <= found.bits <= _MOST_BITS:
        yield f"its picture has {found.bits} bits a value"
    if found.constant_tiles > workload.tiles:
        yield f"{found.constant_tiles} of its {workload.tiles} tiles are a single value"
    if abs(found.ssim) > 1 + _ROUNDING:
        yield f"ssim is {found.ssim:g}, beyond 1"
    if found.close_share is not None and found.close_share > 1:
        yield f"close_share is {found.close_share:g}, above 1"
    if not found.nan_count and not found.inf_count:
        yield from _of_numbers(found)


def _of_numbers(found: Fidelity) -> Iterator[str]:
    """A mean of squares is at most the largest square, and pictures without an error are alike in every respect."""
    if (found.mse == 0) != (found.worst_abs == 0) or found.mse > found.worst_abs**2 * (1 + _ROUNDING):
        yield f"its mean squared error is {found.mse:g}, its worst pixel off by {found.worst_abs:g}"
    if found.mse == 0 and (found.ssim < 1 - _ROUNDING or found.close_share not in (None, 1)):
        yield "it is the reference's picture, and yet is unlike it"
