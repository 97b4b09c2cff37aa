"""Parameter names of older RRDBNets."""

import re

import pytest
import torch

from esrbench import checkpoints
from esrbench.architecture import RRDBNetSpec
from esrbench.checkpoints import dialects
from esrbench.errors import CheckpointError

SPECS = [RRDBNetSpec(blocks=4, features=32, growth=16, scale=scale) for scale in (4, 2, 1)]


def middle(name: str) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", name)
    for new, old in (("conv_body", "trunk_conv"), ("conv_up1", "upconv1"), ("conv_up2", "upconv2")):
        name = name.replace(new, old)
    return name.replace("conv_hr", "HRconv")


def old(name: str, blocks: int = 4) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d)\.conv(\d)", r"model.1.sub.\1.RDB\2.conv\3.0", name)
    positions = {
        "conv_first": "0",
        "conv_body": f"1.sub.{blocks}",
        "conv_up1": "3",
        "conv_up2": "6",
        "conv_hr": "8",
        "conv_last": "10",
    }
    layer, _, parameter = name.rpartition(".")
    return f"model.{positions[layer]}.{parameter}" if layer in positions else name


@pytest.mark.parametrize("prefix", ["", "module.", "netG.", "module.netG."])
@pytest.mark.parametrize("dialect", [middle, old])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"x{spec.scale}")
def test_the_same_weights_are_read_from_every_dialect(spec, dialect, prefix, random_model, tmp_path):
    model = random_model(spec)
    path = tmp_path / "a.pth"
    tensors = {prefix + dialect(name): torch.tensor(array) for name, array in model.weights.items()}
    torch.save({"params": tensors}, path)
    found = checkpoints.read(path)
    assert (found.spec, found.weights_sha256) == (spec, model.weights_sha256)


def test_current_names_stay_as_they_are():
    names = dict.fromkeys(SPECS[0].parameter_shapes(), 0)
    assert dialects.current(names) == names


def test_a_name_that_no_dialect_has_is_left_to_be_refused():
    assert "model.99.weight" in dialects.current(
        {"model.1.sub.0.RDB1.conv1.0.weight": 0, "model.10.weight": 0, "model.99.weight": 0}
    )


def test_old_names_of_another_scale_are_refused():
    with pytest.raises(CheckpointError, match="only ×4"):
        dialects.current({"model.1.sub.0.RDB1.conv1.0.weight": 0, "model.7.weight": 0})


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(CheckpointError, match=r"conv_body\.weight"):
        dialects.current({"RRDB_trunk.0.RDB1.conv1.weight": 0, "trunk_conv.weight": 0, "conv_body.weight": 0})
