import pytest

from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec, architecture_name, parameter_count

X4PLUS, ANIME = RRDBNetSpec(blocks=23), RRDBNetSpec(blocks=6)
VIDEO, GENERAL = SRVGGNetSpec(convs=16), SRVGGNetSpec(convs=32)


@pytest.mark.parametrize(("spec", "count"), [(X4PLUS, 16_697_987), (ANIME, 4_467_779)])
def test_the_official_networks_have_their_official_number_of_parameters(spec, count):
    assert parameter_count(spec.parameter_shapes()) == count


@pytest.mark.parametrize(("spec", "mega"), [(X4PLUS, 17.927), (ANIME, 5.706)])
def test_the_cost_per_input_pixel_is_the_published_one(spec, mega):
    assert spec.macs_per_input_px() / 1e6 == pytest.approx(mega, abs=0.001)


def test_a_folded_picture_costs_a_quarter_a_pixel_and_little_more_for_its_channels():
    x2 = RRDBNetSpec(blocks=23, scale=2)
    assert x2.macs_per_input_px() == pytest.approx(X4PLUS.macs_per_input_px() / 4, rel=0.001)


def test_each_doubling_costs_a_convolution_and_four_times_what_follows_it():
    def cost(doublings):
        return RRDBNetSpec(blocks=1, features=4, growth=2, scale=2**doublings, doublings=doublings).macs_per_input_px()

    conv, last = 9 * 4 * 4, 9 * 4 * 3
    assert cost(1) - cost(0) == 4 * conv + 3 * (conv + last)
    assert cost(3) - cost(2) == 64 * conv + 48 * (conv + last)


@pytest.mark.parametrize(("scale", "doublings", "unshuffle"), [(4, 2, 1), (2, 2, 2), (1, 2, 4), (2, 1, 1), (8, 3, 1)])
def test_the_fold_makes_up_for_doublings_beyond_the_scale(scale, doublings, unshuffle):
    assert RRDBNetSpec(blocks=1, scale=scale, doublings=doublings).unshuffle == unshuffle


@pytest.mark.parametrize(
    ("spec", "hyperparameters", "match"),
    [
        (RRDBNetSpec, {"blocks": 1, "scale": 8}, "2 doublings make no network of scale 8"),
        (RRDBNetSpec, {"blocks": 1, "scale": 3}, "scale 3"),
        (RRDBNetSpec, {"blocks": 1, "doublings": -1}, "-1 doublings"),
        (RRDBNetSpec, {"blocks": 0}, "blocks is 0"),
        (SRVGGNetSpec, {"convs": -1}, "convs is -1"),
        (SRVGGNetSpec, {"convs": 1, "features": 0}, "features is 0"),
        (SRVGGNetSpec, {"convs": 1, "scale": 4, "reduced_from": 2}, "drawn at ×2 cannot be reduced to ×4"),
        (SRVGGNetSpec, {"convs": 1, "in_channels": 1}, "1 channels cannot be added to the 3"),
    ],
)
def test_hyperparameters_of_no_network_are_refused(spec, hyperparameters, match):
    with pytest.raises(ValueError, match=match):
        spec(**hyperparameters)


@pytest.mark.parametrize(
    ("spec", "reach_px"),
    [
        (X4PLUS, 349),
        (ANIME, 94),
        (RRDBNetSpec(blocks=23, scale=2), 2 * 349),
        (RRDBNetSpec(blocks=23, scale=1), 4 * 349),
        (RRDBNetSpec(blocks=1, scale=1, doublings=0), 19),
        (RRDBNetSpec(blocks=1, scale=2, doublings=1), 19),
        (RRDBNetSpec(blocks=1, scale=8, doublings=3), 19),
        (VIDEO, 18),
        (GENERAL, 34),
        (SRVGGNetSpec(convs=16, scale=2, reduced_from=4), 19),
    ],
)
def test_the_receptive_field_is_the_measured_one(spec, reach_px):
    assert spec.receptive_field_px == reach_px


def test_the_names_are_the_official_ones():
    assert architecture_name(X4PLUS) == "RRDBNet"
    assert architecture_name(VIDEO) == "SRVGGNetCompact"
    assert list(ANIME.parameter_shapes())[:3] == ["conv_first.weight", "conv_first.bias", "body.0.rdb1.conv1.weight"]
    assert list(VIDEO.parameter_shapes())[:4] == ["body.0.weight", "body.0.bias", "body.1.weight", "body.2.weight"]
