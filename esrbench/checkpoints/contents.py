"""Describe the content of a checkpoint, before its network is known."""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from esrbench.errors import CheckpointError

LARGEST_BYTES = 1 << 30
"""Of a file, and of what it unfolds to in memory: fifteen times the official x4plus (67 MB), and enough for one that
was saved with its optimiser's state (three times the weights) and a discriminator."""

KNOWN = "esrbench knows RRDBNet and SRVGGNetCompact"

Tensors = Mapping[str, npt.NDArray[np.generic]]


class Contents(NamedTuple):
    """Parameter name → array, and what shapes cannot tell."""

    tensors: Tensors
    reduced_to: int | None = None  # scale after a closing bicubic reduction, where the file states one
    part: str = ""  # which of the file's networks it is, for people; empty where it is the file's only content


def check_file(path: Path) -> None:
    """Refuse anything but a regular file of a plausible size.

    Links are followed: the user named the file.

    Raises:
        CheckpointError: what it is instead, or its size.
    """
    try:
        facts = path.stat()
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: there is no such file; give a checkpoint, or a name from `esrbench models`"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise CheckpointError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error
    if stat.S_ISDIR(facts.st_mode):
        raise CheckpointError(f"{path} is a folder, not a checkpoint; give the file")
    if not stat.S_ISREG(facts.st_mode):
        raise CheckpointError(f"{path} is a pipe, a device or a socket, not a checkpoint; save it to a file first")
    size = facts.st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty; download or copy it again")
    if size > LARGEST_BYTES:
        raise CheckpointError(
            f"{path} has {size >> 20} MiB, checkpoints may have {LARGEST_BYTES >> 20}; is it one? "
            f"if so, save its weights alone"
        )
