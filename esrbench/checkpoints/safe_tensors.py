"""safetensors files, through their own library."""

from pathlib import Path

from esrbench.checkpoints.contents import Contents
from esrbench.checkpoints.state_dict import of_network
from esrbench.errors import CheckpointError

LARGEST_HEADER_BYTES = 4 << 20
"""A tensor takes about 100 bytes: the official x4plus, of 702, has 0.1 MiB. The library reads headers of 100 MB, and
takes minutes for the million empty tensors that fit in."""


def read(path: Path) -> Contents:
    """Parameter name → array. The library holds every size that the header announces against the file's own.

    Raises:
        CheckpointError: not a safetensors file, or damaged.
    """
    from safetensors.torch import load  # noqa: PLC0415  (with torch: numpy has no bfloat16)

    content = path.read_bytes()
    if LARGEST_HEADER_BYTES < int.from_bytes(content[:8], "little") < len(content):
        raise CheckpointError(f"{path} has a header of more than {LARGEST_HEADER_BYTES >> 20} MiB; no checkpoint has")
    try:
        tensors = load(content)
    except Exception as error:  # a parser that is fed foreign bytes may raise anything
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return of_network(tensors, path)
