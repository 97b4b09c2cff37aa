"""A wrong picture is found and named; a right one passes at the precision that it claims."""

import math
import subprocess
import sys

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esrbench import codec, fidelity, images, tiling
from esrbench.errors import EsrbenchError, TilingError
from esrbench.record import Fidelity
from esrbench.target import Precision

PLAN = tiling.plan(30, 44, tile=24, halo=4)
SCALE = 2
REFERENCE = tiling.cut(images.sample("coffee")[100:130, 200:244], PLAN).repeat(SCALE, 1).repeat(SCALE, 2).astype(
    np.float32
) / np.float32(255)


def measure(output: np.ndarray) -> Fidelity:
    return fidelity.measure(output.astype(np.float32), REFERENCE, PLAN, SCALE)


def with_noise(psnr_db: float) -> np.ndarray:
    sigma = 10 ** (-psnr_db / 20)
    return REFERENCE + np.random.default_rng(1).normal(0, sigma, REFERENCE.shape)


def test_the_same_picture_has_no_error() -> None:
    same = measure(REFERENCE)
    assert same == Fidelity(
        mse=0.0, ssim=1.0, worst_abs=0.0, worst_yx=(0, 0), nan_count=0, inf_count=0, constant_tiles=0, close_share=1.0
    )
    assert math.isinf(fidelity.psnr_db(same.mse))
    assert fidelity.verdict(same, Precision.FP32) is None


@pytest.mark.parametrize("precision", list(Precision))
def test_the_gate_of_each_precision_parts_right_from_wrong(precision: Precision) -> None:
    gate = fidelity.gate_db(precision)
    assert fidelity.verdict(measure(with_noise(gate + 0.5)), precision) is None
    reason = fidelity.verdict(measure(with_noise(gate - 0.5)), precision)
    assert reason is not None
    assert f"{precision.value} must reach {gate:g} dB" in reason
    assert f"is {gate - 0.5:.1f} dB" in reason


def test_the_gates_are_those_of_the_design() -> None:
    gates = {precision.value: fidelity.gate_db(precision) for precision in Precision}
    assert gates == {"fp32": 80, "tf32": 60, "fp16": 45, "bf16": 40, "int8": 28}


def test_psnr_and_ssim_agree_with_scikit_image() -> None:
    from skimage import metrics

    output = with_noise(30).astype(np.float32)
    found = measure(output)
    one, other = (tiling.stitch(tiles, PLAN, SCALE) for tiles in (REFERENCE, output))
    expected = metrics.peak_signal_noise_ratio(one, other, data_range=1.0)
    assert fidelity.psnr_db(found.mse) == pytest.approx(expected, abs=1e-4)
    ssim = metrics.structural_similarity(
        one, other, data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert found.ssim == pytest.approx(ssim, abs=1e-5)
    assert 0.5 < found.ssim < 1


def test_the_worst_pixel_is_placed_in_the_stitched_picture() -> None:
    output = REFERENCE.copy()
    output[1, 30, 20, 2] += 0.5  # the second window starts at input column 16
    found = measure(output)
    assert found.worst_abs == pytest.approx(0.5)
    assert found.worst_yx == (30, 16 * SCALE + 20)


def test_an_error_in_a_halo_is_not_in_the_picture() -> None:
    output = REFERENCE.copy()
    output[0, :, -1] = 9
    assert measure(output).mse == 0


@pytest.mark.parametrize(("value", "counts"), [(np.nan, (1, 0)), (np.inf, (0, 1)), (-np.inf, (0, 1))])
def test_what_is_no_number_is_counted_and_every_figure_stays_finite(value: float, counts: tuple[int, int]) -> None:
    output = REFERENCE.copy()
    output[0, 3, 5, 1] = value
    found = measure(output)
    assert (found.nan_count, found.inf_count) == counts
    assert (found.worst_abs, found.worst_yx) == (1.0, (3, 5))
    assert found.mse == pytest.approx(1 / (30 * 44 * 3 * SCALE**2))
    assert math.isfinite(found.ssim)
    assert codec.decode(codec.encode(found), Fidelity, "test") == found
    reason = fidelity.verdict(found, Precision.INT8)
    assert reason == f"the output holds {counts[0]} NaN and {counts[1]} infinite values"


def test_an_output_without_any_number_is_as_wrong_as_can_be() -> None:
    found = measure(np.full_like(REFERENCE, np.nan))
    assert found.nan_count == REFERENCE.size
    assert fidelity.psnr_db(found.mse) == 0
    assert math.isfinite(found.ssim)


@pytest.mark.parametrize("value", [0.0, 0.5, 1e30])
def test_a_black_tile_is_found_even_where_the_rest_is_right(value: float) -> None:
    output = REFERENCE.copy()
    output[2] = value
    found = measure(output)
    assert found.constant_tiles == 1
    assert fidelity.verdict(found, Precision.INT8) == (
        "1 tile is a single value throughout, where the reference draws a picture"
    )
    assert all(math.isfinite(figure) for figure in (found.mse, found.ssim, found.worst_abs))


def test_a_flat_tile_is_right_where_the_reference_is_flat_too() -> None:
    flat = np.full_like(REFERENCE, 0.25)
    flat[..., 0] += 1e-4
    found = fidelity.measure(np.full_like(REFERENCE, 0.25), flat, PLAN, SCALE)
    assert found.constant_tiles == 0
    assert fidelity.verdict(found, Precision.BF16) is None


@settings(deadline=None)
@given(st.integers(1, 14), st.integers(1, 14))
def test_tiny_pictures_are_compared_too(height: int, width: int) -> None:
    plan = tiling.plan(height, width, tile=16, halo=2)
    tiles = np.random.default_rng(0).random((1, 16, 16, 3)).astype(np.float32)
    same, other = (fidelity.measure(output, tiles, plan, 1) for output in (tiles, 1 - tiles))
    assert same.ssim == pytest.approx(1)
    assert -1 <= other.ssim < 1


def test_a_reference_with_a_nan_compares_with_nothing() -> None:
    broken = REFERENCE.copy()
    broken[0, 0, 0, 0] = np.nan
    with pytest.raises(EsrbenchError, match="reference's output holds NaN"):
        fidelity.measure(REFERENCE, broken, PLAN, SCALE)


def test_tiles_of_another_plan_are_refused() -> None:
    with pytest.raises(TilingError):
        fidelity.measure(REFERENCE[:1], REFERENCE, PLAN, SCALE)


@pytest.mark.parametrize("mse", [-1.0, math.nan])
def test_an_error_that_cannot_be_has_no_psnr(mse: float) -> None:
    with pytest.raises(ValueError, match="cannot be"):
        fidelity.psnr_db(mse)


def test_psnr_of_a_hundredth_is_twenty_decibels() -> None:
    assert fidelity.psnr_db(0.01) == pytest.approx(20)


def test_the_reason_says_where_and_how_far() -> None:
    found = msgspec.structs.replace(measure(with_noise(20)), worst_yx=(7, 9), worst_abs=0.4321)
    reason = fidelity.verdict(found, Precision.FP32)
    assert reason is not None
    assert reason.endswith("the worst pixel, at row 7, column 9, is off by 0.432 of the full range")


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, esrbench.fidelity; print({'scipy', 'skimage', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_of_several_copies_the_worst_is_compared_and_nan_is_worst_of_all():
    right = np.full((1, 4, 4, 3), 0.5, np.float32)
    copies = np.stack([right, right + 0.1, right + 0.01])
    assert fidelity.worst(copies, right) is not None
    np.testing.assert_array_equal(fidelity.worst(copies, right), copies[1])
    copies[2, 0, 0, 0, 0] = np.nan
    np.testing.assert_array_equal(fidelity.worst(copies, right), copies[2])


@pytest.mark.parametrize("height", [fidelity.BAND_ROWS + 3, 2 * fidelity.BAND_ROWS + 40])
def test_a_picture_of_several_bands_is_compared_as_a_whole(height):
    from skimage import metrics

    rng = np.random.default_rng(3)
    right = rng.random((1, height, height, 3), np.float32)
    output = np.clip(right + rng.normal(0, 0.05, right.shape).astype(np.float32), 0, 1)
    output[0, height - 2, 7] = 3.0
    plan = tiling.plan(height, height, tile=height, halo=0)
    found = fidelity.measure(output, right, plan, 1)
    whole = {"data_range": 1.0, "channel_axis": -1, "gaussian_weights": True, "sigma": 1.5}
    given, wanted = output[0].astype(np.float64), right[0].astype(np.float64)
    ssim = metrics.structural_similarity(given, wanted, use_sample_covariance=False, **whole)
    assert found.ssim == pytest.approx(ssim, abs=1e-12)
    assert found.mse == pytest.approx(np.mean((given - wanted) ** 2), rel=1e-12)
    assert found.worst_yx == (height - 2, 7)
