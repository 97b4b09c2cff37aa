"""A finished picture of 8 bits against the reference: rounding and borders are nobody's fault, the rest is seen."""

import numpy as np
import pytest

from esrbench import fidelity, images, picture_fidelity, tiling
from esrbench.errors import EsrbenchError, UsageError
from esrbench.target import Precision

PLAN = tiling.plan(40, 52, tile=24, halo=4)
SCALE = 2
BORDER_PX = 3
EXACT = images.sample("coffee")[100:140, 200:252].repeat(SCALE, 0).repeat(SCALE, 1)
FLOATS = tiling.cut(images.sample("coffee")[100:140, 200:252], PLAN).repeat(SCALE, 1).repeat(SCALE, 2) / 255
REFERENCE = FLOATS.astype(np.float32)


def measure(picture, reference=REFERENCE, border_px=BORDER_PX):
    return picture_fidelity.measure(picture, reference, PLAN, SCALE, border_px)


def test_the_reference_rounded_to_8_bits_has_no_error():
    unrounded = REFERENCE + np.float32(0.4 / 255)
    found = measure(EXACT, unrounded)
    assert (found.mse, found.worst_abs, found.close_share, found.ssim) == (0, 0, 1, 1)
    assert (found.bits, found.border_px, found.constant_tiles) == (8, BORDER_PX, 0)
    assert picture_fidelity.verdict(found, Precision.FP32) is None
    assert fidelity.psnr_db(fidelity.measure(REFERENCE, unrounded, PLAN, SCALE).mse) < 60  # why it is rounded


def test_what_lies_in_the_borders_is_not_compared():
    spoilt = EXACT.copy()
    edge = BORDER_PX * SCALE
    spoilt[:edge], spoilt[-edge:], spoilt[:, :edge], spoilt[:, -edge:] = 0, 255, 0, 255
    assert measure(spoilt).mse == 0
    assert measure(spoilt, border_px=0).mse > 0
    spoilt[edge, edge] = 255 - spoilt[edge, edge]
    assert measure(spoilt).worst_yx == (edge, edge)


def test_one_step_is_close_and_two_are_not():
    off = EXACT.astype(np.int16)
    off[40:44] += 1
    off[50:54] += 2
    found = measure(np.clip(off, 0, 255).astype(np.uint8))
    rows = 2 * (PLAN.height - 2 * BORDER_PX)
    assert found.close_share == pytest.approx(1 - 4 / rows, abs=1e-3)  # a value at 255 cannot go up
    assert found.worst_abs == pytest.approx(2 / 255)


def test_a_blank_part_is_found_where_the_reference_draws_something():
    blank = EXACT.copy()
    window = PLAN.windows[1]
    blank[: window.keep_bottom * SCALE, window.keep_left * SCALE : window.keep_right * SCALE] = 7
    found = measure(blank)
    assert found.constant_tiles == 1
    assert "1 tile is a single value" in (picture_fidelity.verdict(found, Precision.INT8) or "")


def test_a_wrong_picture_is_wrong_and_its_figures_are_named():
    reason = picture_fidelity.verdict(measure(EXACT[:, ::-1]), Precision.INT8) or ""
    assert "int8 must reach 28 dB" in reason
    assert "of the values are within 1/255 (in 8 bits, 3 px from the borders)" in reason


@pytest.mark.parametrize("precision", list(Precision))
def test_the_gate_is_where_an_error_just_at_that_of_floats_comes_out_in_8_bits(precision):
    random = np.random.default_rng(0)
    values = random.uniform(20, 230, 1_000_000)
    error = random.normal(0, 255 * 10 ** (-fidelity.gate_db(precision) / 20), values.size)
    steps = np.rint(values + error) - np.rint(values)
    simulated_db = fidelity.psnr_db(float(np.mean((steps / 255) ** 2)))
    assert picture_fidelity.gate_db(precision) == pytest.approx(simulated_db, abs=0.05)


def test_a_picture_without_anything_between_its_borders_is_refused():
    with pytest.raises(UsageError, match="52×40 pixels leaves nothing to compare between borders of 20 pixels"):
        measure(EXACT, border_px=20)


def test_a_reference_that_is_no_picture_is_refused():
    with pytest.raises(EsrbenchError, match="the reference's output holds NaN"):
        measure(EXACT, REFERENCE * np.float32(np.nan))
