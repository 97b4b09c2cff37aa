"""PyTorch checkpoints, through the loader that builds tensors only."""

import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from esrbench.errors import CheckpointError

# Where trainers put the state dict; the moving average first: it is what the official files are run with.
WRAPPERS = ("params_ema", "params-ema", "params", "model_state_dict", "state_dict", "model", "net", "generator")
PREFIXES = ("module.", "netG.")  # of torch.nn.DataParallel, and of trainers that keep two networks

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # torch.save since 1.6, and before


def looks_like(path: Path) -> bool:
    """Whether the first bytes are those of a PyTorch file."""
    with path.open("rb") as file:
        return file.read(4).startswith((_ZIP, _PICKLE))


def read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Parameter name → array, unwrapped.

    Raises:
        CheckpointError: not a PyTorch file, damaged, or holding other things than tensors.
    """
    if not looks_like(path):
        raise CheckpointError(f"{path} is not a PyTorch checkpoint: its first bytes are of another kind of file")
    loaded = _unwrapped(_load(path), path)
    return {_plain(str(name)): to_array(value, str(name), path) for name, value in loaded.items()}


def _load(path: Path) -> object:
    import torch  # noqa: PLC0415  (listing models and reading other formats need none)

    try:
        with warnings.catch_warnings():
            # A TorchScript archive is announced by a warning before it is refused; the refusal suffices.
            warnings.filterwarnings("ignore", message=".*TorchScript archive", category=UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser that is fed foreign bytes may raise anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} cannot be read as a PyTorch state dict: {reason}") from error


def _unwrapped(loaded: object, path: Path) -> Mapping[object, object]:
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    for wrapper in WRAPPERS:
        inner = loaded.get(wrapper)
        if isinstance(inner, Mapping):
            return _unwrapped(inner, path)
    return loaded


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name


def to_array(value: object, name: str, path: Path) -> npt.NDArray[np.generic]:
    """A tensor as an array, floats as float32.

    Raises:
        CheckpointError: it is no tensor.
    """
    import torch  # noqa: PLC0415

    if not isinstance(value, torch.Tensor):
        raise CheckpointError(f"{path}: {name} is a {type(value).__name__}, not a tensor; it is no plain state dict")
    # numpy has no bfloat16; integers are left alone, to be refused by name.
    array: npt.NDArray[np.generic] = (value.float() if value.is_floating_point() else value).numpy()
    return array
