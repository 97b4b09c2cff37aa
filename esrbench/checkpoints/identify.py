"""Which network tensors belong to: told by their names and shapes alone, and then held to every one of them."""

import hashlib
import math
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from esrbench.architecture import NetworkSpec, RRDBNetSpec, Shape, SRVGGNetSpec, architecture_name
from esrbench.errors import CheckpointError
from esrbench.exporter import Weights

CHANNELS = 3  # pictures are RGB throughout
SCALE_OF_FOLDED = {CHANNELS: 4, CHANNELS * 4: 2, CHANNELS * 16: 1}  # conv_first's input channels → RRDBNet's scale
KNOWN = "esrbench knows RRDBNet and SRVGGNetCompact"


def spec_of(shapes: Mapping[str, Shape]) -> NetworkSpec:
    """The hyperparameters of the network that has these parameters.

    Raises:
        CheckpointError: no network here has them; missing, unexpected and misshapen ones are named.
    """
    if not shapes:
        raise CheckpointError("there are no tensors in it")
    if "conv_first.weight" in shapes:
        spec: NetworkSpec = _rrdbnet(shapes)
    elif len(shapes.get("body.0.weight", ())) == 4:
        spec = _srvggnet(shapes)
    else:
        raise CheckpointError(f"its tensors ({_some(shapes)}) are of no network known here; {KNOWN}")
    _check(shapes, spec)
    return spec


def canonical(tensors: Mapping[str, npt.NDArray[np.generic]], spec: NetworkSpec) -> Weights:
    """The tensors in module order as float32, finite and C-contiguous.

    Raises:
        CheckpointError: a tensor holds something else than finite floating-point numbers.
    """
    weights: dict[str, npt.NDArray[np.float32]] = {}
    for name in spec.parameter_shapes():
        if tensors[name].dtype.kind != "f":
            raise CheckpointError(f"{name} holds {tensors[name].dtype}, not floating-point numbers")
        weights[name] = np.ascontiguousarray(tensors[name], dtype=np.float32)
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"{name} holds NaN or infinity; the file is damaged or its training diverged")
    return weights


def digest(weights: Weights) -> str:
    """Hex sha256 over every name, shape and value: the same weights from any file agree."""
    sha256 = hashlib.sha256()
    for name, array in weights.items():
        sha256.update(f"{name} {array.shape}\n".encode())
        sha256.update(array.astype("<f4", copy=False).data.cast("B"))
    return sha256.hexdigest()


def _rrdbnet(shapes: Mapping[str, Shape]) -> RRDBNetSpec:
    features, folded = _conv_shape(shapes, "conv_first.weight")[:2]
    if folded not in SCALE_OF_FOLDED:
        raise CheckpointError(
            f"conv_first takes {folded} channels; an RGB RRDBNet takes 3 (×4), 12 (×2) or 48 (×1) of them"
        )
    growth = _conv_shape(shapes, "body.0.rdb1.conv1.weight")[0]
    # Counted, not the highest number: one stray tensor must not ask for a network of a million blocks.
    blocks = {name.split(".")[1] for name in shapes if name.startswith("body.")}
    return RRDBNetSpec(blocks=len(blocks), features=features, growth=growth, scale=SCALE_OF_FOLDED[folded])


def _srvggnet(shapes: Mapping[str, Shape]) -> SRVGGNetSpec:
    convs = [shape for shape in shapes.values() if len(shape) == 4]
    features = shapes["body.0.weight"][0]
    last = _conv_shape(shapes, f"body.{2 * (len(convs) - 1)}.weight")[0]
    scale = math.isqrt(last // CHANNELS)
    if len(convs) < 2 or scale < 1 or scale**2 * CHANNELS != last:
        raise CheckpointError(f"its last convolution makes {last} channels, which are not scale² × {CHANNELS}")
    return SRVGGNetSpec(convs=len(convs) - 2, features=features, scale=scale)


def _conv_shape(shapes: Mapping[str, Shape], name: str) -> Shape:
    if len(shapes.get(name, ())) != 4:
        raise CheckpointError(f"{name} is missing or is no convolution; {KNOWN}")
    return shapes[name]


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


def _some(names: Iterable[str], limit: int = 4) -> str:
    listed = list(names)
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more
