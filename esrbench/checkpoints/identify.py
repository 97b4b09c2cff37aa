"""Which network tensors belong to: told by their names and shapes alone, and then held to every one of them.

What shapes leave open is decided thus:

- An RRDBNet whose first convolution takes 4 or 16 times the channels that its last one makes folds its picture by 2 or
  4 first: 12 channels in and 3 out are an RGB picture folded by 2, 12 in and 12 out (or 4 out) are 12 channels as they
  are. spandrel decides alike. No fold is assumed that the doublings could not make good: 48 channels, folded by 4, and
  one doubling would halve the picture.
- A network whose last doubling was cut off with all its tensors is a whole one of half the scale.
- An SRVGGNetCompact adds the picture to what it draws, so that it takes as many channels as it makes: 27 channels of
  its last convolution are ×3 where it takes 3, and no network where it takes 4.
"""

import hashlib
import itertools
import math
from collections.abc import Collection, Iterable, Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.architecture import NetworkSpec, RRDBNetSpec, Shape, SRVGGNetSpec, architecture_name
from esrbench.checkpoints import foreign
from esrbench.checkpoints.contents import KNOWN
from esrbench.errors import CheckpointError
from esrbench.exporter import Weights

FOLDS = (2, 4)  # sides of the pixel blocks that RRDBNets fold into channels
LARGEST_WEIGHT = 1e6
"""The largest weights of the three packaged models are 4.8, 4.0 and 34.9. A damaged file may hold 1e38: finite, and yet
it drives the network to infinity."""

MOST_TENSORS = 10_000  # x4plus has 702


def spec_of(shapes: Mapping[str, Shape], reduced_to: int | None = None) -> NetworkSpec:
    """The hyperparameters of the network that has these parameters, and draws at ``reduced_to`` where that is told.

    Raises:
        CheckpointError: no network here has them; missing, unexpected and misshapen ones are named.
    """
    if not shapes:
        raise CheckpointError("there are no tensors in it")
    if len(shapes) > MOST_TENSORS:
        raise CheckpointError(f"it has {len(shapes):,} tensors, more than {MOST_TENSORS:,}; no network known here has")
    if (other := foreign.recognise(shapes)) is not None:
        raise CheckpointError(f"it looks like {other}; {KNOWN}")
    try:
        spec = _reduced(_guess(shapes), reduced_to)
    except ValueError as error:  # hyperparameters that no network has
        raise CheckpointError(f"its tensors are of no network known here: {error}; {KNOWN}") from error
    _check(shapes, spec)
    return spec


def canonical(tensors: Mapping[str, npt.NDArray[np.generic]], spec: NetworkSpec) -> Weights:
    """The tensors in module order as float32, finite and C-contiguous.

    Raises:
        CheckpointError: a tensor holds something else than finite floating-point numbers of a sane size.
    """
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name in spec.parameter_shapes():
        if tensors[name].dtype.kind != "f":
            raise CheckpointError(f"{name} holds {tensors[name].dtype}, not floating-point numbers")
        weights[name] = np.ascontiguousarray(tensors[name], dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"{name} holds NaN or infinity; the file is damaged or its training diverged")
        if (largest := np.abs(weights[name]).max()) > LARGEST_WEIGHT:
            raise CheckpointError(f"{name} holds {largest:.1e}, which no trained network does; the file is damaged")
    return weights


def digest(weights: Weights, reduced_to: int | None = None) -> str:
    """Hex sha256 over every name, shape and value: the same weights from any file agree.

    The networks of two files with equal digests are the same one: what shapes do not tell is in it too.
    """
    sha256 = hashlib.sha256()
    for name, array in weights.items():
        sha256.update(f"{name} {array.shape}\n".encode())
        sha256.update(array.astype("<f4", copy=False).data.cast("B"))
    if reduced_to is not None:
        sha256.update(f"reduced to {reduced_to}\n".encode())
    return sha256.hexdigest()


def _guess(shapes: Mapping[str, Shape]) -> NetworkSpec:
    # Layers are counted: one tensor that is missing, or has a stray number, must not make it another network's file.
    layers = {name.rpartition(".")[0] for name in shapes}
    if any(layer == "conv_first" or layer.startswith("body.0.rdb") for layer in layers):
        return _rrdbnet(shapes, layers)
    if "body.0" in layers:
        return _srvggnet(shapes, layers)
    raise CheckpointError(f"its tensors ({_some(shapes)}) are of no network known here; {KNOWN}")


def _reduced(spec: NetworkSpec, scale: int | None) -> NetworkSpec:
    if scale is None:
        return spec
    if isinstance(spec, RRDBNetSpec):
        raise CheckpointError("it is an RRDBNet followed by a reduction; only SRVGGNetCompact has one")
    return msgspec.structs.replace(spec, scale=scale, reduced_from=spec.scale)


def _rrdbnet(shapes: Mapping[str, Shape], layers: Collection[str]) -> RRDBNetSpec:
    features, taken = _conv_shape(shapes, "conv_first")
    made, _ = _conv_shape(shapes, "conv_last")
    growth, _ = _conv_shape(shapes, "body.0.rdb1.conv1")
    doublings = next(n for n in itertools.count() if f"conv_up{n + 1}" not in layers)
    fold = next((side for side in FOLDS if taken == made * side**2 and side <= 1 << doublings), 1)
    return RRDBNetSpec(
        blocks=len({layer.split(".")[1] for layer in layers if layer.startswith("body.")}),
        features=features,
        growth=growth,
        scale=(1 << doublings) // fold,
        in_channels=taken // fold**2,
        out_channels=made,
        doublings=doublings,
    )


def _srvggnet(shapes: Mapping[str, Shape], layers: Collection[str]) -> SRVGGNetSpec:
    if len(layers) > 1 and not any(len(shape) == 1 and name.endswith(".weight") for name, shape in shapes.items()):
        raise CheckpointError(
            "it looks like SRVGGNetCompact with ReLU or LeakyReLU instead of PReLU: its activations have no slopes, "
            "and the file does not tell which of the two it is. Save it with slopes (body.1.weight, body.3.weight …), "
            "of 0 for ReLU or 0.1 for LeakyReLU: that is the same network with PReLU"
        )
    slopes = sum(layer.startswith("body.") for layer in layers) // 2  # a convolution, then a PReLU and one for each
    features, taken = _conv_shape(shapes, "body.0")
    made, _ = _conv_shape(shapes, f"body.{2 * slopes}")
    scale = math.isqrt(made // max(taken, 1))
    if scale**2 * taken != made:
        raise CheckpointError(
            f"its last convolution makes {made} channels, which are not scale² × the {taken} it takes"
        )
    return SRVGGNetSpec(convs=slopes - 1, features=features, scale=scale, in_channels=taken, out_channels=taken)


def _conv_shape(shapes: Mapping[str, Shape], layer: str) -> tuple[int, int]:
    """Channels out and in."""
    name = f"{layer}.weight"
    shape = shapes.get(name, ())
    if len(shape) != 4:
        found = f"has shape {shape}, which is no convolution's" if name in shapes else "is missing"
        raise CheckpointError(f"{name} {found}; {KNOWN}")
    return shape[0], shape[1]


def _check(shapes: Mapping[str, Shape], spec: NetworkSpec) -> None:
    expected = spec.parameter_shapes()
    faults = {
        "missing": [name for name in expected if name not in shapes],
        "unexpected": [name for name in shapes if name not in expected],
        "misshapen": [
            f"{name} {shapes[name]} instead of {shape}"
            for name, shape in expected.items()
            if name in shapes and shapes[name] != shape
        ],
    }
    found = "; ".join(f"{fault}: {_some(names)}" for fault, names in faults.items() if names)
    if found:
        raise CheckpointError(f"it looks like {architecture_name(spec)}, but its tensors do not fit: {found}")


LONGEST_NAME = 80  # in a message


def _some(names: Iterable[str], limit: int = 4) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(name[:LONGEST_NAME] for name in listed[:limit]) + more
