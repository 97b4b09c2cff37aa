"""Checkpoints as trainers leave them: the network that is meant is found, and what it was is said."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esrbench import checkpoints, zoo
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.checkpoints import foreign, networks
from esrbench.errors import CheckpointError

SPEC = RRDBNetSpec(blocks=1, features=8, growth=4)
OLD = {"conv_first": "model.0", "conv_body": "model.1.sub.1", "conv_up1": "model.3", "conv_up2": "model.6"}
OLD |= {"conv_hr": "model.8", "conv_last": "model.10"}


@pytest.fixture(scope="module")
def model(random_model):
    return random_model(SPEC)


@pytest.fixture(scope="module")
def other(random_model):
    return random_model(SPEC, seed=1)


def under(prefix: str, model):
    return {f"{prefix}{name}": torch.tensor(array) for name, array in model.weights.items()}


def in_old_names(prefix: str, model):
    renamed = {}
    for name, tensor in under("", model).items():
        layer, _, kind = name.rpartition(".")
        layer = OLD.get(layer) or layer.replace("body", "model.1.sub").replace("rdb", "RDB") + ".0"
        renamed[f"{prefix}{layer}.{kind}"] = tensor
    return renamed


DISCRIMINATOR = {"conv0.weight": torch.zeros(4, 3, 3, 3), "conv1.weight_orig": torch.zeros(4, 4, 3, 3)}
LOSS = {"vgg.features.0.weight": torch.zeros(4, 3, 3, 3), "vgg.features.0.bias": torch.zeros(4)}
STATE = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 1e-4}]}


def prefixed(prefix: str, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


LAYOUTS = {
    "torch.compile": lambda model, _: {"params": under("_orig_mod.", model)},
    "torch.compile and DataParallel": lambda model, _: {"params": under("module._orig_mod.", model)},
    "DataParallel and torch.compile": lambda model, _: under("_orig_mod.module.", model),
    "torch.compile of a part": lambda model, _: {
        name.replace("body.", "body._orig_mod.", 1): tensor for name, tensor in under("", model).items()
    },
    "FSDP": lambda model, _: under("_fsdp_wrapped_module._checkpoint_wrapped_module.", model),
    "AveragedModel": lambda model, _: {"n_averaged": torch.tensor(5), **under("module.", model)},
    "AveragedModel beside the model": lambda model, other: {
        "model": under("", other),
        "swa_model": {"n_averaged": torch.tensor(5), **under("module.", model)},
    },
    "mmagic": lambda model, other: {
        "meta": {"epoch": 3, "iter": 4},
        "state_dict": {
            "step_counter": torch.tensor(4),
            **under("generator.", other),
            **under("generator_ema.", model),
            **prefixed("discriminator.", DISCRIMINATOR),
        },
        "optimizer": {"generator": STATE, "discriminator": STATE},
    },
    "Lightning": lambda model, _: {
        "pytorch-lightning_version": "2.5.0",
        "epoch": 3,
        "global_step": 400,
        "state_dict": under("net_g._orig_mod.", model) | prefixed("net_d.", DISCRIMINATOR) | prefixed("loss.", LOSS),
        "optimizer_states": [STATE],
        "lr_schedulers": [{"last_epoch": 3, "_last_lr": [1e-4]}],
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(1.0)}},
    },
    "Lightning, old names": lambda model, _: {"state_dict": in_old_names("model.", model)},
    "old names in model": lambda model, _: {"model": in_old_names("", model), "epoch": 1},
    "one key": lambda model, _: {"net_g": under("", model)},
    "one key of any name": lambda model, _: {"weights_of_monday": under("my.", model), "lr": 0.1, "done": True},
    "discriminator with the same layers": lambda model, other: {
        "net_d": under("", other),
        "net_g": under("", model),
    },
    "average after the model": lambda model, other: {"model": under("", other), "ema": under("", model)},
    "average before the model": lambda model, other: {"ema": under("", model), "model": under("", other)},
    "average in a wrapper": lambda model, other: {
        "ema": {"module": under("", model), "decay": 0.999},
        "model": under("", other),
    },
    "average by prefix": lambda model, other: {"state_dict": under("net_g.", other) | under("net_g_ema.", model)},
    "timm": lambda model, other: {"state_dict": under("", other), "state_dict_ema": under("", model)},
    "counters beside": lambda model, _: under("", model) | {"epoch": 3, "loss": torch.tensor(0.1), "name": "x"},
    "optimiser's state by name": lambda model, other: {"params": under("", model), "exp_avg": under("", other)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_network_that_is_meant_is_found(layout, model, other, tmp_path):
    torch.save(LAYOUTS[layout](model, other), tmp_path / "a.pth")
    found = checkpoints.read(tmp_path / "a.pth")
    assert (found.spec, found.weights_sha256) == (SPEC, model.weights_sha256)


@pytest.mark.parametrize(
    ("layout", "source"),
    [
        ("average after the model", "file a.pth, ema (not model)"),
        ("mmagic", "file a.pth, state_dict.generator_ema (not state_dict.generator)"),
        ("one key", "file a.pth, net_g"),
        ("counters beside", "file a.pth"),
    ],
)
def test_which_of_several_networks_was_taken_is_said(layout, source, model, other, tmp_path):
    torch.save(LAYOUTS[layout](model, other), tmp_path / "a.pth")
    assert zoo.open_model(str(tmp_path / "a.pth")).source == source


@given(parts=st.lists(st.sampled_from(["module", "_orig_mod", "net_g", "generator", "a b", "x-1"]), max_size=6))
@settings(max_examples=30, deadline=None)
def test_any_stack_of_prefixes_is_taken_off(parts, random_model):
    tensors = under("".join(f"{part}." for part in parts), random_model(SPEC))
    found, others = networks.find({"state_dict": tensors})
    assert set(found.tensors) == set(SPEC.parameter_shapes())
    assert not others


@pytest.mark.parametrize("key", ["modelEma", "EMAModel", "emaModel", "netGEMA", "net_g_avg", "g_shadow", "netGAvg"])
def test_an_average_is_told_however_its_key_is_spelt(key, model, other, tmp_path):
    torch.save({"model": under("", other), key: under("", model)}, tmp_path / "a.pth")
    assert checkpoints.read(tmp_path / "a.pth").weights_sha256 == model.weights_sha256


@pytest.mark.parametrize("key", ["non_ema", "no-ema", "cinema", "raw_ema", "avgpool"])
def test_what_is_no_average_by_its_key_is_none(key, model, other, tmp_path):
    torch.save({"model": under("", model), key: under("", other)}, tmp_path / "a.pth")
    assert checkpoints.read(tmp_path / "a.pth").weights_sha256 == model.weights_sha256


@pytest.mark.parametrize("keys", [("left", "right"), ("ema_1", "ema_2")])
def test_networks_that_are_as_likely_are_named_and_none_is_chosen(keys, model, other, tmp_path):
    torch.save(dict(zip(keys, (under("", model), under("", other)), strict=True)), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=f"several networks, {keys[0]} and {keys[1]}; save the one"):
        checkpoints.read(tmp_path / "a.pth")


def test_what_is_unexpected_beside_an_unprefixed_network_is_still_refused(model, tmp_path):
    torch.save(under("", model) | {"attention.weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"unexpected: attention.weight"):
        checkpoints.read(tmp_path / "a.pth")


FOREIGN = {
    "SwinIR": ["conv_first.weight", "layers.0.residual_group.blocks.0.norm1.weight", "conv_after_body.weight"],
    "HAT": ["conv_first.weight", "layers.0.residual_group.blocks.0.conv_block.cab.0.weight"],
    "DAT": ["conv_first.weight", "before_RG.1.weight", "layers.0.blocks.0.norm1.weight"],
    "SRFormer": ["conv_first.weight", "layers.0.residual_group.blocks.0.attn.aligned_relative_position_index"],
    "OmniSR": ["input.weight", "residual_layer.0.residual_layer.0.layer.0.fn.0.weight"],
    "EDSR": ["conv_first.weight", "body.0.conv1.weight", "conv_after_body.weight", "upsample.0.weight"],
    "RealPLKSR": ["feats.0.weight", "feats.1.channe_mixer.0.weight", "feats.1.lk.conv.weight"],
    "SPAN": ["conv_1.sk.weight", "block_1.c1_r.sk.weight"],
    "RCAN": ["head.0.weight", "body.0.body.0.body.0.weight", "body.0.body.0.body.3.conv_du.0.weight"],
    "an A-ESRGAN discriminator": ["conv0.weight", "conv1.weight_orig", "attn_1.theta.weight"],
    "U-Net with spectral norm": ["conv0.weight", "conv1.weight_orig", "conv1.weight_u"],
    "a VGG-style discriminator": ["conv0_0.weight", "bn0_1.weight", "linear1.weight"],
}


@pytest.mark.parametrize("prefix", ["", "net_g.", "module."])
@pytest.mark.parametrize("name", FOREIGN)
def test_networks_of_others_are_called_by_their_names(name, prefix, tmp_path):
    tensors = {f"{prefix}{key}": torch.zeros(4, 3, 3, 3) for key in FOREIGN[name]}
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=rf"in state_dict.*looks like .*{name}.*; esrbench knows"):
        checkpoints.read(tmp_path / "a.pth")


@pytest.mark.parametrize("spec", [SPEC, SRVGGNetSpec(convs=2, features=8), RRDBNetSpec(blocks=23)], ids=str)
def test_networks_that_are_known_look_like_no_other(spec):
    assert foreign.recognise(spec.parameter_shapes()) is None


def without_slopes(spec: SRVGGNetSpec):
    shapes = spec.parameter_shapes().items()
    return {name: torch.rand(shape) for name, shape in shapes if len(shape) == 4 or name.endswith("bias")}


@pytest.mark.parametrize("convs", [0, 2, 16])
def test_a_compact_network_without_slopes_is_told_by_its_activation(convs, tmp_path):
    torch.save({"params": without_slopes(SRVGGNetSpec(convs=convs, features=8))}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"in params: .*ReLU or LeakyReLU.* no slopes"):
        checkpoints.read(tmp_path / "a.pth")


@pytest.mark.parametrize(("slope", "activation"), [(0.0, torch.relu), (0.1, torch.nn.LeakyReLU(0.1))])
def test_its_remedy_makes_the_same_network(slope, activation, tmp_path):
    from esrbench.model import network

    spec = SRVGGNetSpec(convs=1, features=8, scale=2)
    weights = without_slopes(spec)
    slopes = {f"body.{n}.weight": torch.full((8,), slope) for n in (1, 3)}
    torch.save({"params": weights | slopes}, Path(tmp_path / "a.pth"))
    x = torch.rand(1, 3, 6, 6) - 0.5
    learned = x
    for n in (0, 2, 4):
        learned = torch.conv2d(learned, weights[f"body.{n}.weight"], weights[f"body.{n}.bias"], padding=1)
        learned = activation(learned) if n < 4 else learned
    expected = torch.pixel_shuffle(learned, 2) + torch.nn.functional.interpolate(x, scale_factor=2)
    drawn = network(checkpoints.read(tmp_path / "a.pth"))(x)
    assert math.isclose(float((drawn - expected).abs().max()), 0, abs_tol=1e-4)
