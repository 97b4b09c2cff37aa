"""safetensors: eight bytes of header length, a JSON header, raw little-endian values."""

import math
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench.errors import CheckpointError

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _Entry(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def read(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Parameter name → array.

    Raises:
        CheckpointError: not a safetensors file, damaged, or of a number type that weights do not have.
    """
    data = path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    try:
        header = msgspec.json.decode(data[8:header_end], type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in header.items()}
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged: {error}") from error
    return {name: _array(data, header_end, entry, f"{path}: {name}") for name, entry in entries.items()}


def _array(data: bytes, header_end: int, entry: _Entry, origin: str) -> npt.NDArray[np.generic]:
    if entry.dtype not in DTYPES:
        raise CheckpointError(f"{origin} holds {entry.dtype}; weights are one of {', '.join(DTYPES)}")
    dtype = np.dtype(DTYPES[entry.dtype])
    begin, end = (header_end + offset for offset in entry.data_offsets)
    count = math.prod(entry.shape)
    fits = header_end <= begin <= end <= len(data) and end - begin == count * dtype.itemsize
    if not fits or min(entry.shape, default=1) < 1:
        raise CheckpointError(f"{origin} lies outside the file, which is truncated or damaged")
    array = np.frombuffer(data, dtype, count, begin).reshape(entry.shape)
    if entry.dtype == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.copy()
