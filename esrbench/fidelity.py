"""Is it still the same picture? Output against the reference's, and the gates that it must pass."""

import math

import numpy as np
import numpy.typing as npt

from esrbench import tiling
from esrbench.errors import EsrbenchError
from esrbench.record import Fidelity
from esrbench.target import Precision
from esrbench.tiling import Array, TilePlan

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

BAND_ROWS = 256
"""Rows compared at a time: a whole picture of 2048 px in double precision, a dozen times over, would need more memory
than some targets do to draw it, and they would be blamed for it."""

_GATES_DB = {
    # Only the order of summation differs, or a Winograd transform: 133 dB and more were measured. At 80 dB the error
    # is 1/39 of an 8-bit step.
    Precision.FP32: 80.0,
    # Products of 10-bit mantissas, summed in single precision. The same rounding in ncnn with fp16 storage and fp32
    # arithmetic measured 68 to 73 dB.
    Precision.TF32: 60.0,
    Precision.FP16: 45.0,  # 56 to 62 dB measured
    Precision.BF16: 40.0,  # 54 to 61 dB measured
    Precision.INT8: 28.0,  # about where a viewer begins to see it beside the reference
}

SAME_PICTURE_DB = 40.0
"""From here on a picture that differs is called the same: the root mean square error is 1 % of the range, 2.6 of 255
steps. No float precision's gate is below it; int8's is, so a target can pass its gate and still be a trade."""

VISIBLE = 1 / 255
"""A reference tile that varies by less is flat as an 8-bit picture: an output that is flat there is not wrong."""


def measure(output: Floats, reference: Floats, plan: TilePlan, scale: int) -> Fidelity:
    """Compare output tiles with the reference's, both ``(N, scale * tile, scale * tile, 3)`` float, RGB in [0, 1].

    Errors and SSIM are of the stitched pictures; NaN, Inf and constant tiles are counted in whole tiles, halo
    included. A value that is no number is taken as off by 1, the whole range, so that every figure stays finite.

    Raises:
        EsrbenchError: the reference itself holds NaN or Inf.
        TilingError: the tiles are not those of the plan.
    """
    check_reference(reference)
    right, found = (tiling.stitch(tiles, plan, scale) for tiles in (reference, output))
    mse, worst_abs, worst_yx, close_share = _errors(found, right)
    return Fidelity(
        mse=mse,
        ssim=ssim(found, right),
        worst_abs=worst_abs,
        worst_yx=worst_yx,
        nan_count=int(np.isnan(output).sum()),
        inf_count=int(np.isinf(output).sum()),
        constant_tiles=_constant_tiles(output, reference),
        close_share=close_share,
    )


def worst(copies: Floats, reference: Floats) -> Floats:
    """Of ``(copies, N, sH, sW, 3)`` the one that differs most from ``(N, sH, sW, 3)``; NaN differs most of all."""
    if len(copies) == 1:
        only: Floats = copies[0]
        return only
    errors = [float(np.mean((copy - reference) ** 2)) for copy in copies]
    most: Floats = copies[max(range(len(copies)), key=lambda index: (math.isnan(errors[index]), errors[index]))]
    return most


def check_reference(reference: Floats) -> None:
    """Refuse what nothing can be compared with.

    Raises:
        EsrbenchError: it holds NaN or Inf.
    """
    if not np.isfinite(reference).all():
        raise EsrbenchError("the reference's output holds NaN or Inf: nothing can be compared with it; check the model")


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio of values whose range is 1: ``10 log10(1 / mse)``; infinite for identical pictures.

    Raises:
        ValueError: ``mse`` is negative or no number.
    """
    if not mse >= 0:
        raise ValueError(f"a mean squared error of {mse} cannot be")
    return math.inf if mse == 0 else -10 * math.log10(mse)


def gate_db(precision: Precision) -> float:
    """The PSNR below which a picture of this precision counts as wrong; each a good way below what was measured."""
    return _GATES_DB[precision]


def verdict(fidelity: Fidelity, precision: Precision, gate: float | None = None) -> str | None:
    """Why the picture is wrong, in words with figures; None where it is right. ``gate``: in dB, else that of floats."""
    if fidelity.nan_count or fidelity.inf_count:
        return f"the output holds {fidelity.nan_count} NaN and {fidelity.inf_count} infinite values"
    if fidelity.constant_tiles:
        tiles = "1 tile is" if fidelity.constant_tiles == 1 else f"{fidelity.constant_tiles} tiles are"
        return f"{tiles} a single value throughout, where the reference draws a picture"
    psnr = psnr_db(fidelity.mse)
    gate = gate_db(precision) if gate is None else gate
    if psnr < gate:
        y, x = fidelity.worst_yx
        return (
            f"PSNR to the reference is {psnr:.1f} dB, {precision.value} must reach {gate:.3g} dB; "
            f"the worst pixel, at row {y}, column {x}, is off by {fidelity.worst_abs:.3g} of the full range"
        )
    return None


def _errors(found: Array, right: Array) -> tuple[float, float, tuple[int, int], float]:
    """Mean squared error, the largest absolute one, its row and column, and the share of values within 1/255."""
    squares, worst_abs, worst_yx, close = 0.0, -1.0, (0, 0), 0
    for top in range(0, len(right), BAND_ROWS):
        error = np.abs(np.subtract(*_exact(found, right, top, top + BAND_ROWS)))
        squares += float(np.sum(error**2))
        close += int(np.count_nonzero(error <= VISIBLE))
        y, x, _ = np.unravel_index(int(error.argmax()), error.shape)
        if error[y, x].max() > worst_abs:
            worst_abs, worst_yx = float(error[y, x].max()), (top + int(y), int(x))
    return squares / right.size, worst_abs, worst_yx, close / right.size


def _exact(found: Array | Doubles, right: Array | Doubles, top: int, bottom: int) -> tuple[Doubles, Doubles]:
    """Rows of both in double precision; what is no number is off by 1."""
    wanted = right[top:bottom].astype(np.float64)
    given = found[top:bottom].astype(np.float64)
    return np.where(np.isfinite(given), given, wanted + 1), wanted


def ssim(found: Array | Doubles, right: Array | Doubles) -> float:
    """Structural similarity as its authors define it (Wang et al. 2004): Gaussian window of 11 pixels, sigma 1.5.

    A picture smaller than the window keeps it; only the margin that is left out of the mean shrinks. Taken band by
    band, each with the rows around it that its windows reach into: the mean is the same.
    """
    side = min(*right.shape[:2], 11)
    window = side - (side + 1) % 2
    margin = (window - 1) // 2
    rows = len(right) - 2 * margin  # that have a whole window
    total = 0.0
    for top in range(0, rows, BAND_ROWS):
        bottom = min(top + BAND_ROWS, rows)
        total += _band_ssim(*_exact(found, right, top, bottom + 2 * margin), window) * (bottom - top)
    return float(total / rows)


def _band_ssim(found: Doubles, right: Doubles, window: int) -> float:
    from skimage.metrics import structural_similarity  # noqa: PLC0415  (brings scipy: only after the clock stopped)

    return float(
        structural_similarity(  # type: ignore[no-untyped-call]  # scikit-image has no types
            found,
            right,
            win_size=window,
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _constant_tiles(output: Floats, reference: Floats) -> int:
    """How many tiles are one single value where the reference's is a picture."""
    axes = (1, 2, 3)
    flat = output.min(axis=axes) == output.max(axis=axes)
    drawn = reference.max(axis=axes) - reference.min(axis=axes) > VISIBLE
    return int((flat & drawn).sum())
