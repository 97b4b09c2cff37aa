"""What a checkpoint file holds, before it is known whose weights they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from esrbench.errors import CheckpointError

LARGEST_BYTES = 1 << 30
"""Of a file, and of what it unfolds to in memory: fifteen times the official x4plus (67 MB), and enough for one that
was saved with its optimiser's state (three times the weights) and a discriminator."""

Tensors = Mapping[str, npt.NDArray[np.generic]]


class Contents(NamedTuple):
    """Parameter name → array, and what shapes cannot tell."""

    tensors: Tensors
    reduced_to: int | None = None  # scale after a closing bicubic reduction, where the file states one


def check_size(path: Path) -> None:
    """Refuse a file that is empty, or so large that reading it would only fill the memory.

    Raises:
        CheckpointError: with its size.
    """
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path} is empty; download or copy it again")
    if size > LARGEST_BYTES:
        raise CheckpointError(
            f"{path} has {size >> 20} MiB, checkpoints may have {LARGEST_BYTES >> 20}; is it one? "
            f"if so, save its weights alone"
        )
