"""Parameter names of older RRDBNets."""

import re

import pytest
import torch

from esrbench import checkpoints
from esrbench.architecture import RRDBNetSpec
from esrbench.checkpoints import dialects
from esrbench.errors import CheckpointError

OFFICIAL = [RRDBNetSpec(blocks=4, features=32, growth=16, scale=scale) for scale in (4, 2, 1)]
UNFOLDED = [RRDBNetSpec(blocks=2, features=6, growth=5, scale=2**n, doublings=n) for n in (0, 1, 3)]
HALF_FOLDED = [RRDBNetSpec(blocks=1, features=6, growth=5, scale=1, doublings=1)]
SPECS = [*OFFICIAL, *UNFOLDED, *HALF_FOLDED]

POSITIONS = {  # doublings -> layer -> its place in ESRGAN's sequence, written out
    0: {"conv_first": 0, "conv_hr": 2, "conv_last": 4},
    1: {"conv_first": 0, "conv_up1": 3, "conv_hr": 5, "conv_last": 7},
    2: {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_hr": 8, "conv_last": 10},
    3: {"conv_first": 0, "conv_up1": 3, "conv_up2": 6, "conv_up3": 9, "conv_hr": 11, "conv_last": 13},
}


def middle(name: str, _: RRDBNetSpec) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
    for new, old in (("conv_body", "trunk_conv"), ("conv_up", "upconv"), ("conv_hr", "HRconv")):
        name = name.replace(new, old)
    return name


def old(name: str, spec: RRDBNetSpec) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
    name = name.replace("conv_body", f"model.1.sub.{spec.blocks}")
    layer, _, parameter = name.rpartition(".")
    position = POSITIONS[spec.doublings].get(layer)
    return name if position is None else f"model.{position}.{parameter}"


def new(name: str, _: RRDBNetSpec) -> str:
    return name


@pytest.mark.parametrize("prefix", ["", "module.", "netG.", "module.netG."])
@pytest.mark.parametrize("dialect", [new, middle, old])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"x{spec.scale}-{spec.doublings}-doublings")
def test_the_same_weights_are_read_from_every_dialect(spec, dialect, prefix, random_model, tmp_path):
    model = random_model(spec)
    path = tmp_path / "a.pth"
    tensors = {prefix + dialect(name, spec): torch.tensor(array) for name, array in model.weights.items()}
    torch.save({"params": tensors}, path)
    found = checkpoints.read(path)
    assert (found.spec, found.weights_sha256) == (spec, model.weights_sha256)


@pytest.mark.parametrize("dialect", [new, middle, old])
@pytest.mark.parametrize("spec", [OFFICIAL[1], *UNFOLDED], ids=lambda spec: f"x{spec.scale}")
def test_each_tensor_that_is_missing_is_named(spec, dialect, random_model, tmp_path):
    names = [name for name in spec.parameter_shapes() if not name.startswith("body.") or name.endswith("conv3.bias")]
    weights = random_model(spec).weights
    for missing in names:
        tensors = {dialect(name, spec): torch.tensor(array) for name, array in weights.items() if name != missing}
        torch.save(tensors, tmp_path / "a.pth")
        with pytest.raises(CheckpointError, match=re.escape(missing)):
            checkpoints.read(tmp_path / "a.pth")


def test_current_names_stay_as_they_are():
    names = dict.fromkeys(OFFICIAL[0].parameter_shapes(), 0)
    assert dialects.current(names) == names


def test_a_name_that_no_dialect_has_is_left_to_be_refused():
    assert "model.99.weight" in dialects.current(
        {"model.1.sub.0.RDB1.conv1.0.weight": 0, "model.10.weight": 0, "model.99.weight": 0}
    )


def test_esrgan_plus_is_another_network():
    with pytest.raises(CheckpointError, match=r"conv1x1\.weight is a part of ESRGAN\+"):
        dialects.current({"model.1.sub.0.RDB1.conv1.0.weight": 0, "model.1.sub.0.RDB1.conv1x1.weight": 0})


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"conv_body\.weight"):
        dialects.current({"RRDB_trunk.0.RDB1.conv1.weight": 0, "trunk_conv.weight": 0, "conv_body.weight": 0})
