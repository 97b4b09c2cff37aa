"""Is it still the same picture? For programs that give a finished picture of 8 bits, cut into tiles as they please.

Two things differ from floats of our own plan. Rounding: a perfect picture of 8 bits is 59 dB from the reference's
floats, whatever drew it, so the reference is rounded to 8 bits too, and the gate is moved to where an error that just
passes as floats comes out then (:func:`gate_db`). Borders: what lies beyond them is supposed to be zeros, a reflection
or a repetition, each program's choice, so pixels near the picture's own borders are not compared.
"""

import math

import numpy as np
import numpy.typing as npt

from esrbench import fidelity, tiling
from esrbench.errors import UsageError
from esrbench.fidelity import Floats
from esrbench.images import Pixels
from esrbench.record import Fidelity
from esrbench.target import Precision
from esrbench.tiling import TilePlan, Window

BITS = 8
STEPS = 255

_TERMS = 200
"""Of the series in :func:`gate_db`: at the smallest error, that of fp32's gate, the 40th is below 1e-8."""


def measure(picture: Pixels, reference: Floats, plan: TilePlan, scale: int, border_px: int) -> Fidelity:
    """Compare ``(scale * H, scale * W, 3)`` uint8 with the reference's tiles, stitched and rounded to 8 bits.

    ``border_px`` input pixels at each border are left out, but for tiles of one single value, which are looked for
    everywhere; those are the parts of the picture that the plan's windows keep.

    Raises:
        EsrbenchError: the reference itself holds NaN or Inf.
        UsageError: nothing is left between the borders.
    """
    check_border(plan.height, plan.width, border_px)
    fidelity.check_reference(reference)
    right = np.rint(np.clip(tiling.stitch(reference, plan, scale), 0, 1) * STEPS).astype(np.int16)
    margin = border_px * scale
    inside = slice(margin, scale * plan.height - margin), slice(margin, scale * plan.width - margin)
    found, expected = picture[inside].astype(np.int16), right[inside]
    steps = np.abs(found - expected)
    y, x, _ = np.unravel_index(int(steps.argmax()), steps.shape)
    return Fidelity(
        mse=float(np.mean(np.square(steps / STEPS))),
        ssim=fidelity.ssim(found / STEPS, expected / STEPS),
        worst_abs=float(steps.max() / STEPS),
        worst_yx=(int(y) + margin, int(x) + margin),
        nan_count=0,
        inf_count=0,
        constant_tiles=sum(_is_blank(picture, right, window, scale) for window in plan.windows),
        close_share=float(np.mean(steps <= 1)),
        bits=BITS,
        border_px=border_px,
    )


def verdict(found: Fidelity, precision: Precision) -> str | None:
    """Why the picture is wrong, in words with figures; None where it is right."""
    reason = fidelity.verdict(found, precision, gate_db(precision))
    if reason is None or found.close_share is None:
        return reason
    return f"{reason}; {found.close_share:.1%} of the values are within 1/255 (in 8 bits, {_where(found)})"


def gate_db(precision: Precision) -> float:
    """The PSNR that an error just at the gate for floats has once both pictures are rounded to 8 bits.

    An error ``e``, in steps of 8 bits, between values that lie anywhere between two steps comes out as one of the whole
    numbers around it, and its square, on average, as ``e² + f (1 - f)`` with ``f`` the fraction of ``e``. Over normal
    errors of standard deviation ``s`` that is ``s² + 1/6 - Σ exp(-2 π² k² s²) / (π k)²``, ``k`` from 1, by the Fourier
    series of ``f (1 - f)``. fp32: 65.0 dB instead of 80; fp16: 44.7 instead of 45.
    """
    deviation = STEPS * 10 ** (-fidelity.gate_db(precision) / 20)
    series = sum(math.exp(-2 * (math.pi * k * deviation) ** 2) / (math.pi * k) ** 2 for k in range(1, _TERMS))
    return fidelity.psnr_db((deviation**2 + 1 / 6 - series) / STEPS**2)


def check_border(height: int, width: int, border_px: int) -> None:
    """Refuse a picture of which nothing would be compared.

    Raises:
        UsageError: its sides leave nothing between two borders.
    """
    if min(height, width) <= 2 * border_px:
        raise UsageError(
            f"a picture of {width}×{height} pixels leaves nothing to compare between borders of {border_px} pixels; "
            "take a larger one, or a smaller border_px"
        )


def _where(found: Fidelity) -> str:
    return f"{found.border_px} px from the borders" if found.border_px else "borders included"


def _is_blank(picture: Pixels, right: npt.NDArray[np.int16], window: Window, scale: int) -> bool:
    """Whether what a window keeps is one single value where the reference draws something."""
    kept = (
        slice(window.keep_top * scale, window.keep_bottom * scale),
        slice(window.keep_left * scale, window.keep_right * scale),
    )
    part, expected = picture[kept], right[kept]
    return bool(part.min() == part.max() and expected.max() - expected.min() > 1)
