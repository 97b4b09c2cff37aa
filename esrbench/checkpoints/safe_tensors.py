"""safetensors files, through their own library."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from esrbench.checkpoints.state_dict import to_array
from esrbench.errors import CheckpointError


def read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Parameter name → array.

    Raises:
        CheckpointError: not a safetensors file, or damaged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415  (with torch: numpy has no bfloat16)
    from safetensors.torch import load  # noqa: PLC0415

    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a number type torch has not
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return {name: to_array(tensor, name, path) for name, tensor in tensors.items()}
