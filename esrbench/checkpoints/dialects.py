"""The names that RRDBNet's parameters have had: older ones are turned into the current ones, tensors are untouched.

    current   conv_first   body.N.rdbD.convC            conv_body       conv_up1…n   conv_hr        conv_last
    middle    conv_first   RRDB_trunk.N.RDBD.convC      trunk_conv      upconv1…n    HRconv         conv_last
    old       model.0      model.1.sub.N.RDBD.convC.0   model.1.sub.nb  model.3…3n   model.(3n+2)   model.(3n+4)

N counts blocks from 0, D the three dense blocks of each, C the five convolutions of those; nb is the number of blocks.
n is the number of doublings: 2 in every official network, and in ESRGAN's older ones 0 for ×1, 1 for ×2, 3 for ×8. The
old names are positions in a sequence: a convolution, the trunk, (enlarge, convolve, activate) n times, then convolve,
activate, convolve; so ×4 ends with model.3, model.6, model.8, model.10.

Sources: ESRGAN's releases of 2018 and 2019, collected in spandrel's architectures/ESRGAN. As there, old names of one
enlargement mean ×2 (ESRGAN's training code also knew ×3 by those very names). ESRGAN+, which has a conv1x1 in each
dense block, is another network and is refused.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

from esrbench.errors import CheckpointError

Tensor = TypeVar("Tensor")

_MIDDLE = {"trunk_conv": "conv_body", "HRconv": "conv_hr"}
_MIDDLE_DENSE = re.compile(r"RRDB_trunk\.(\d+)\.RDB([1-3])\.conv([1-5])")
_MIDDLE_UP = re.compile(r"upconv(\d+)")

_OLD_DENSE = re.compile(r"model\.1\.sub\.(\d+)\.RDB([1-3])\.conv([1-5])\.0")
_OLD_TRUNK = re.compile(r"model\.1\.sub\.\d+")


def current(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under their current names; names of no older dialect stay as they are.

    Raises:
        CheckpointError: two tensors would get one name, or the network is ESRGAN+.
    """
    if plus := next((name for name in tensors if ".conv1x1." in name), None):
        raise CheckpointError(f"{plus} is a part of ESRGAN+, another network; esrbench knows ESRGAN's RRDBNet")
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
        layers = {name.rpartition(".")[0] for name in tensors}
        doublings = next(n for n in itertools.count() if f"model.{3 * n + 3}" not in layers)
        return partial(_from_old, names=_old_names(doublings))
    return str


def _from_middle(layer: str) -> str:
    if dense := _MIDDLE_DENSE.fullmatch(layer):
        return "body.{}.rdb{}.conv{}".format(*dense.groups())
    if up := _MIDDLE_UP.fullmatch(layer):
        return f"conv_up{up[1]}"
    return _MIDDLE.get(layer, layer)


def _old_names(doublings: int) -> dict[str, str]:
    """Position → name of the layers outside the trunk."""
    names = {"model.0": "conv_first"} | {f"model.{3 * n}": f"conv_up{n}" for n in range(1, doublings + 1)}
    return names | {f"model.{3 * doublings + 2}": "conv_hr", f"model.{3 * doublings + 4}": "conv_last"}


def _from_old(layer: str, names: Mapping[str, str]) -> str:
    if dense := _OLD_DENSE.fullmatch(layer):
        return "body.{}.rdb{}.conv{}".format(*dense.groups())
    if _OLD_TRUNK.fullmatch(layer):
        return "conv_body"
    return names.get(layer, layer)
