"""safetensors files, through their own library."""

from pathlib import Path

from esrbench.checkpoints.contents import Contents
from esrbench.checkpoints.state_dict import arrays
from esrbench.errors import CheckpointError


def read(path: Path) -> Contents:
    """Parameter name → array. The library holds every size that the header announces against the file's own.

    Raises:
        CheckpointError: not a safetensors file, or damaged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415  (with torch: numpy has no bfloat16)
    from safetensors.torch import load  # noqa: PLC0415

    try:
        tensors = load(path.read_bytes())
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:  # KeyError: a number type torch has not
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return Contents(arrays(tensors, path))
