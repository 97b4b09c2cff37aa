"""PyTorch checkpoints, through the loader that builds tensors only."""

import mmap
import pickle
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from esrbench.checkpoints import networks, pickles
from esrbench.checkpoints.contents import LARGEST_BYTES, Contents
from esrbench.errors import CheckpointError

if TYPE_CHECKING:
    import torch

REDUCED_TO = "reduced_to"  # beside the state dict, in what esrbench writes of a network that is followed by a reduction

PICKLES = 5  # of torch < 1.6: a magic number, a version, the machine, the state dict, keys of the storages
SLACK_BYTES = 16 << 20  # torch.save compresses nothing; only the code in a TorchScript archive unfolds to more

MOST_ENTRIES = 20_000  # in an archive: one a tensor, and five

_ENTRY = b"PK\x01\x02"  # of a zip archive's directory
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # torch.save since 1.6, and before


def looks_like(path: Path) -> bool:
    """Whether the first bytes are those of a PyTorch file."""
    with path.open("rb") as file:
        return file.read(4).startswith((_ZIP, _PICKLE))


def read(path: Path) -> Contents:
    """Parameter name → array, unwrapped.

    Raises:
        CheckpointError: not a PyTorch file, damaged, unfolding to far more than its size, or holding other things than
            tensors.
    """
    if not looks_like(path):
        raise CheckpointError(f"{path} is not a PyTorch checkpoint: its first bytes are of another kind of file")
    with path.open("rb") as file:
        zipped = file.read(len(_ZIP)) == _ZIP
    try:
        _check_zip(path) if zipped else _check_pickles(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not read: {error}") from error
    loaded = _load(path)
    contents = of_network(loaded, path)
    reduced_to = loaded.get(REDUCED_TO) if isinstance(loaded, Mapping) else None
    return contents._replace(reduced_to=reduced_to if type(reduced_to) is int else None)


def of_network(loaded: object, path: Path) -> Contents:
    """Return the one network to use from a file.

    Raises:
        CheckpointError: there is none, or one of its tensors is none.
    """
    try:
        network, others = networks.find(loaded)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from error
    beside = f" (not {', '.join(other.name[:80] for other in others[:4])})" if others else ""
    part = network.name[:80] + beside if network.place or others else ""
    return Contents(arrays(network.tensors, path), part=part)


def arrays(loaded: Mapping[Any, object], path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """Convert tensors to arrays, floats to float32.

    Raises:
        CheckpointError: one is no tensor, or has no values in memory; or they would fill the memory.
    """
    import torch  # noqa: PLC0415

    tensors: dict[str, torch.Tensor] = {}
    for name, value in loaded.items():
        if not isinstance(name, str):
            raise CheckpointError(f"{path} holds a {type(name).__name__} where a parameter's name should be")
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(
                f"{path}: {name} is a {type(value).__name__}, not a tensor; it is no plain state dict"
            )
        tensors[name] = value
    # A tensor may be a view that repeats few bytes many times: what counts is what it unfolds to.
    unfolded_bytes = 4 * sum(tensor.numel() for tensor in tensors.values())
    if unfolded_bytes > LARGEST_BYTES:
        raise CheckpointError(
            f"{path} holds tensors of {unfolded_bytes >> 20} MiB, checkpoints may have {LARGEST_BYTES >> 20}"
        )
    return {name: _array(tensor, name, path) for name, tensor in tensors.items()}


def _check_zip(path: Path) -> None:
    """Hold a file of torch ≥ 1.6 against its own directory, and its pickle to what state dicts need."""
    try:
        _check_count(path)
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive.infolist(), path.stat().st_size)
            if damaged := archive.testzip():  # torch itself passes over the checksums that it writes
                raise CheckpointError(f"{damaged} in it does not have its checksum: it is damaged, copy it again")
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"its zip archive is truncated or damaged: {error}") from error
    pickles.check(_pickle_of(path))


def _check_count(path: Path) -> None:
    """Refuse too many entries, before the archive's directory is read."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = -1
        for _ in range(MOST_ENTRIES + 1):
            found = content.find(_ENTRY, found + 1)
            if found < 0:
                return
    raise CheckpointError(f"its zip archive has more than {MOST_ENTRIES:,} entries; no checkpoint has, don't use it")


def _check_directory(entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    unfolded_bytes = sum(entry.file_size for entry in entries)
    if unfolded_bytes > size + SLACK_BYTES:
        raise CheckpointError(
            f"it has {size:,} bytes and would unfold to {unfolded_bytes:,}; no checkpoint is compressed, don't use it"
        )
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise CheckpointError("its zip archive is packed in a way that torch does not read")
    names = [entry.filename for entry in entries]
    if any("/code/" in name for name in names):
        raise CheckpointError("it is a TorchScript archive, a program; give the checkpoint that it was made from")
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError("it is a zip archive, but not one that torch.save wrote")


def _pickle_of(path: Path) -> bytes:
    """Return the pickle that torch will read.

    torch's own reader is asked: another one may find another entry under that name.
    """
    import torch  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            record: bytes = torch._C.PyTorchFileReader(file).get_record("data.pkl")
    except RuntimeError as error:
        raise CheckpointError("its zip archive is damaged: torch finds no data.pkl in it") from error
    return record


def _check_pickles(path: Path) -> None:
    """As :func:`_check_zip`, of a file of torch < 1.6: pickles one after another, then the weights."""
    with path.open("rb") as file:
        pickles.check(file.read(pickles.LARGEST_BYTES + 1), PICKLES)


def _load(path: Path) -> object:
    import torch  # noqa: PLC0415  (listing models and reading other formats need none)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about ages of formats: what is read is checked
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a parser that is fed foreign bytes may raise anything
        # What torch advises around the restricted loader's own reason is to do without it.
        reason = error.__context__ if isinstance(error, pickle.UnpicklingError) and error.__context__ else error
        sentence = (str(reason).strip() or type(reason).__name__).splitlines()[0].split(". ")[0]
        raise CheckpointError(f"{path} cannot be read as a PyTorch state dict: {sentence}") from error


def _array(tensor: "torch.Tensor", name: str, path: Path) -> npt.NDArray[np.generic]:
    import torch  # noqa: PLC0415

    if not tensor.is_floating_point():
        raise CheckpointError(
            f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, not floating-point numbers"
        )
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise CheckpointError(
            f"{path}: {name} is a {tensor.layout} tensor on {tensor.device.type}, without plain values"
        )
    try:
        return tensor.detach().float().numpy()  # numpy has no bfloat16
    except (RuntimeError, ValueError) as error:  # packed number types; more dimensions than numpy has
        raise CheckpointError(
            f"{path}: {name} holds {tensor.dtype} in {tensor.ndim} dimensions, which is no float32 array"
        ) from error
