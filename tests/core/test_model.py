import numpy as np
import pytest
import torch

from esrbench import model
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.folding import fold, unfold


def rrdbnet(scale: int) -> RRDBNetSpec:
    return RRDBNetSpec(blocks=1, features=8, growth=4, scale=scale)


SPECS = [
    *(rrdbnet(scale) for scale in (4, 2, 1)),
    *(RRDBNetSpec(blocks=1, features=8, growth=4, scale=2**n, doublings=n) for n in (0, 1, 3)),
    RRDBNetSpec(blocks=1, features=4, growth=3, scale=1, in_channels=1, out_channels=1, doublings=1),
    RRDBNetSpec(blocks=1, features=4, growth=3, in_channels=4, out_channels=3),
    *(SRVGGNetSpec(convs=2, features=8, scale=s) for s in (4, 3, 2, 1)),
    SRVGGNetSpec(convs=1, features=4, scale=2, in_channels=1, out_channels=1),
    *(SRVGGNetSpec(convs=1, features=4, scale=s, reduced_from=4) for s in (3, 2)),
]
FOLDED = [spec for spec in SPECS if spec.unshuffle > 1]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_parameters_bear_the_official_names_in_module_order(spec):
    found = {name: tuple(weight.shape) for name, weight in model.build(spec).state_dict().items()}
    assert list(found.items()) == list(spec.parameter_shapes().items())


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_the_picture_grows_by_the_scale(spec, random_model):
    with torch.inference_mode():
        drawn = model.network(random_model(spec))(torch.rand(2, spec.in_channels, 8, 12))
    assert drawn.shape == (2, spec.out_channels, 8 * spec.scale, 12 * spec.scale)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_no_output_pixel_depends_on_input_beyond_the_receptive_field(spec, random_model):
    reach = spec.receptive_field_px
    side = spec.unshuffle
    column = -(-reach // side) * side + 2 * side  # the first pixel of a folded block, as far from the border
    net = model.network(random_model(spec)).double()
    picture = torch.rand(1, spec.in_channels, 8, 2 * column, dtype=torch.float64)
    changed = picture.clone()
    changed[..., column] += 1
    with torch.inference_mode():
        moved = (net(picture) - net(changed)).abs().amax((0, 1, 2)) > 0
    touched = moved.nonzero().flatten() // spec.scale
    assert column - reach <= touched.min() <= column <= touched.max() <= column + reach


@pytest.mark.parametrize("spec", FOLDED, ids=str)
def test_a_folded_first_convolution_draws_the_same_picture(spec, random_model):
    tiny = random_model(spec)
    picture = torch.rand(1, spec.in_channels, 16, 12, dtype=torch.float64)
    with torch.inference_mode():
        expected = model.network(tiny).double()(picture)
        folded = model.plain_convolutions(model.network(tiny).double())
        found = folded(picture)
    assert folded.unshuffle == 1
    # The kernel passes through float32, which holds these weights exactly; only the order of the sum differs.
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec.unshuffle == 1], ids=str)
def test_a_network_that_folds_nothing_is_plain_already(spec, random_model):
    net = model.network(random_model(spec))
    before = str(net)
    assert str(model.plain_convolutions(net)) == before


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("block_px", [2, 4])
def test_unfolding_undoes_folding(block_px, channels):
    weight = np.random.default_rng(0).standard_normal((5, channels * block_px**2, 3, 3)).astype(np.float32)
    assert np.array_equal(unfold(fold(weight, block_px), block_px), weight)


def test_a_network_is_ready_for_inference_and_leaves_the_models_weights_alone(random_model):
    tiny = random_model(rrdbnet(4))
    net = model.network(tiny)
    assert not net.training
    assert not any(weight.requires_grad for weight in net.parameters())
    with torch.no_grad():
        net.conv_first.weight.zero_()
    assert np.abs(tiny.weights["conv_first.weight"]).max() > 0
