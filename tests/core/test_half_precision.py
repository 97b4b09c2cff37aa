"""An fp16 file is refused where fp16 cannot hold the network, in whatever arithmetic it is proved here."""

import msgspec
import numpy as np
import pytest

from esrbench import half_precision
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.artifact import HalfRange
from esrbench.errors import ExportError

PHOTO = np.random.default_rng(0).random((1, 16, 16, 3), dtype=np.float32)
DARK = np.zeros_like(PHOTO)


def scaled(model, factor):
    """The same function of the picture, its values ``factor`` times as large inside: PReLU does not mind."""
    weights = dict(model.weights)
    for name, by in (("body.0.weight", factor), ("body.0.bias", factor), ("body.2.weight", 1 / factor)):
        weights[name] = (weights[name] * np.float32(by)).astype(np.float32)
    return msgspec.structs.replace(model, weights=weights)


@pytest.fixture
def model(random_model):
    return random_model(SRVGGNetSpec(convs=0, features=4, scale=2))


def test_the_largest_value_is_that_of_any_layer(model):
    found = half_precision.measure(model, PHOTO)
    half_precision.check(found, "tiny")
    larger = half_precision.measure(scaled(model, 1000), PHOTO)
    assert 0.5 < found.largest_activation < 10
    assert larger.largest_activation == pytest.approx(1000 * inner(model), rel=1e-5)


def inner(model):
    """The largest output of the first convolution, by numpy: the picture's sides are padded with zeros."""
    pictures = [PHOTO, half_precision.extremes(3)]
    weight, bias = model.weights["body.0.weight"], model.weights["body.0.bias"]
    most = 0.0
    for picture in np.concatenate(pictures):
        padded = np.pad(picture, ((1, 1), (1, 1), (0, 0))).astype(np.float64)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))  # (H, W, C, 3, 3)
        made = np.einsum("hwcij,ocij->hwo", windows, weight) + bias
        most = max(most, np.abs(made).max())
    return most


@pytest.mark.parametrize("photo", [PHOTO, DARK], ids=["photo", "bright colours alone"])
def test_a_network_beyond_fp16_is_refused_with_what_it_reaches(model, photo):
    with pytest.raises(ExportError, match=r"m\.param: activations reach .*e\+0\d, fp16 holds 65504 .*--precision fp32"):
        half_precision.check(half_precision.measure(scaled(model, 3e5), photo), "m.param")


def test_values_that_fp16_rounds_away_are_refused_too(model):
    with pytest.raises(ExportError, match="rounded to fp16 the network draws another picture"):
        half_precision.check(half_precision.measure(scaled(model, 1e-8), PHOTO), "tiny")


def test_a_network_whose_values_are_no_numbers_is_refused(model):
    with pytest.raises(ExportError, match="activations reach"):
        half_precision.check(half_precision.measure(scaled(model, 1e38), PHOTO), "tiny")


def test_sums_of_branches_count(random_model):
    """Each branch fits, their sum does not."""
    model = random_model(RRDBNetSpec(blocks=1, features=8, growth=4))
    weights = {name: np.zeros_like(array) for name, array in model.weights.items()}
    weights["conv_first.bias"] = np.full_like(weights["conv_first.bias"], 4e4)
    weights["conv_body.bias"] = np.full_like(weights["conv_body.bias"], 4e4)
    found = half_precision.measure(msgspec.structs.replace(model, weights=weights), PHOTO)
    assert found.largest_activation == pytest.approx(8e4)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_extremes_hold_black_white_and_each_channel_alone(channels):
    pictures = half_precision.extremes(channels)
    assert pictures.dtype == np.float32
    means = {tuple(picture.mean((0, 1))) for picture in pictures}
    assert {(0.0,) * channels, (1.0,) * channels, *map(tuple, np.eye(channels))} <= means


def test_what_is_near_the_limit_is_said():
    from esrbench.artifact import Proof, ProvenShape
    from esrbench.cli.export_tables import _half_range

    shape = ProvenShape(shape=(1, 8, 8), mse=0.0, worst_abs=0.0, output_sha256="")
    proof = Proof(runtime="ncnn", versions={}, arithmetic="fp32", shapes=(shape,))
    proof = msgspec.convert(msgspec.to_builtins(proof), Proof)
    low = HalfRange(largest_activation=212.0, rounded_mse=0.0)
    assert _half_range(proof, low) == "proved in fp32 arithmetic; largest activation 212 of 65504, which fp16 holds"
    assert "may reach more" in _half_range(proof, HalfRange(largest_activation=40000.0, rounded_mse=0.0))
