"""Weights from a file: hyperparameters from the tensors' shapes, canonical names, float32. Runs no code from a file."""

from collections.abc import Callable
from pathlib import Path

from esrbench.checkpoints import dialects, ncnn_files, safe_tensors, state_dict
from esrbench.checkpoints.contents import Contents, check_file
from esrbench.checkpoints.identify import canonical, digest, spec_of
from esrbench.errors import CheckpointError
from esrbench.exporter import Model
from esrbench.system.child_environment import withdraw_steering
from esrbench.wording import visible

__all__ = ["SUFFIXES", "check_file", "read"]

LONGEST_MESSAGE = 1500  # characters
SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".param", ".bin")


def read(path: Path, name: str | None = None) -> Model:
    """Read the model in a checkpoint file.

    ``path`` is a PyTorch state dict, a safetensors file, or one of ncnn's ``.param`` and ``.bin`` pair.

    ``name`` defaults to the file's stem. Steering variables leave ``os.environ``, as for
    :func:`esrbench.plugins.runner`: a state dict is read with torch, which may be what draws the picture later.

    Raises:
        CheckpointError: no such file, not one of these formats, damaged, or weights of another network.
    """
    withdraw_steering()
    try:
        check_file(path)
        return _model(path, name or visible(path.stem), _reader(path)(path))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except CheckpointError as error:
        raise CheckpointError(_one_line(str(error))) from error


def _model(path: Path, name: str, contents: Contents) -> Model:
    try:
        tensors = dialects.current(contents.tensors)
        spec = spec_of({key: array.shape for key, array in tensors.items()}, contents.reduced_to)
        weights = canonical(tensors, spec)
    except CheckpointError as error:
        where = f" in {contents.part}" if contents.part else ""
        raise CheckpointError(f"{path}{where}: {error}") from error
    return Model(
        name=name,
        spec=spec,
        weights=weights,
        weights_sha256=digest(weights, contents.reduced_to),
        source=f"file {visible(path.name)}" + (f", {contents.part}" if contents.part else ""),
    )


def _one_line(text: str) -> str:
    """Join the lines of a message and cut its middle.

    It may quote names from the file, of any length and with line ends.
    """
    text = " ".join(text.splitlines())
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE // 2]} … {text[-LONGEST_MESSAGE // 2 :]}"


def _reader(path: Path) -> Callable[[Path], Contents]:
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return safe_tensors.read
    if suffix == ".param" or (suffix == ".bin" and not state_dict.looks_like(path)):
        return ncnn_files.read
    return state_dict.read
