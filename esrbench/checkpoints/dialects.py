"""The names that RRDBNet's parameters have had: older ones are turned into the current ones, tensors are untouched.

    current   conv_first   body.N.rdbD.convC            conv_body       conv_up1   conv_up2   conv_hr   conv_last
    middle    conv_first   RRDB_trunk.N.RDBD.convC      trunk_conv      upconv1    upconv2    HRconv    conv_last
    old       model.0      model.1.sub.N.RDBD.convC.0   model.1.sub.nb  model.3    model.6    model.8   model.10

Source of the older names: ESRGAN's releases of 2018 and 2019, as collected by spandrel. The old ones are the positions
of layers in a sequence, so that they tell the scale too; those of ×4 networks are known here.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from esrbench.errors import CheckpointError

Tensor = TypeVar("Tensor")

_MIDDLE = {"trunk_conv": "conv_body", "upconv1": "conv_up1", "upconv2": "conv_up2", "HRconv": "conv_hr"}
_MIDDLE_DENSE = re.compile(r"RRDB_trunk\.(\d+)\.RDB([1-3])\.conv([1-5])")

_OLD = {
    "model.0": "conv_first",
    "model.3": "conv_up1",
    "model.6": "conv_up2",
    "model.8": "conv_hr",
    "model.10": "conv_last",
}
_OLD_DENSE = re.compile(r"model\.1\.sub\.(\d+)\.RDB([1-3])\.conv([1-5])\.0")
_OLD_TRUNK = re.compile(r"model\.1\.sub\.\d+")


def current(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under their current names; names of no older dialect stay as they are.

    Raises:
        CheckpointError: two tensors would get one name, or old names are those of a scale that is not known here.
    """
    rename = _dialect(tensors)
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, dot, parameter = name.rpartition(".")
        new = f"{rename(layer)}{dot}{parameter}"
        if new in renamed:
            raise CheckpointError(f"two of its tensors are {new}; the file mixes dialects")
        renamed[new] = tensor
    return renamed


def _dialect(tensors: Mapping[str, Tensor]) -> Callable[[str], str]:
    """How this file's layers are renamed."""
    if any(name.startswith("RRDB_trunk.") for name in tensors):
        return _from_middle
    if any(name.startswith("model.1.sub.") for name in tensors):
        if "model.10.weight" not in tensors or "model.13.weight" in tensors:
            raise CheckpointError("it has ESRGAN's old names, but not those of a ×4 network; only ×4 is known here")
        return _from_old
    return str


def _from_middle(layer: str) -> str:
    if dense := _MIDDLE_DENSE.fullmatch(layer):
        return "body.{}.rdb{}.conv{}".format(*dense.groups())
    return _MIDDLE.get(layer, layer)


def _from_old(layer: str) -> str:
    if dense := _OLD_DENSE.fullmatch(layer):
        return "body.{}.rdb{}.conv{}".format(*dense.groups())
    if _OLD_TRUNK.fullmatch(layer):
        return "conv_body"
    return _OLD.get(layer, layer)
