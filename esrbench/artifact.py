"""One exported form of a model on disk, and the sidecar that says what it is."""

import hashlib
import os
from enum import StrEnum
from pathlib import Path
from typing import NewType

from esrbench.architecture import NetworkSpec
from esrbench.codec import Value, decode, encode
from esrbench.errors import OutputError, RecordError
from esrbench.system import files
from esrbench.target import Precision

Format = NewType("Format", str)
"""A file format by name. Open: a plug-in brings its own. Those that come with esrbench:"""

PYTORCH = Format("pytorch")
TORCHSCRIPT = Format("torchscript")
ONNX = Format("onnx")
NCNN = Format("ncnn")

TORCH_EXPORT = Format("torch-export")
AOTINDUCTOR = Format("aotinductor")
OPENVINO = Format("openvino")

SIDECAR = "artifact.json"
_MOST_SIDECAR_BYTES = 1 << 20  # it has some kB


INT8_CONVOLUTIONS = "int8_convolutions"
"""In the options of an int8 artifact: how many convolutions a runtime must compute in integers. Others stay float."""


class Interface(StrEnum):
    """What a graph takes and gives."""

    FLOAT = "float"  # (N, C, H, W) floats in [0, 1], output unclamped: the network itself
    IMAGE = "image"  # (N, H, W, 3) bytes, RGB: scaling, clamping and rounding are in the graph


class ArtifactFile(Value, frozen=True, kw_only=True):
    """A file of an artifact, named relative to its folder."""

    name: str
    size_bytes: int
    sha256: str


class ProvenShape(Value, frozen=True, kw_only=True):
    """What a runtime drew of a picture of one shape, beside what the network draws of it."""

    shape: tuple[int, int, int]  # (N, H, W) of the input in pixels
    mse: float  # of values whose range is 1
    worst_abs: float
    output_sha256: str  # of shape and values: tells whether another machine draws the very same


FP16_MAX = 65504.0
"""The largest finite fp16 value (IEEE 754 binary16)."""


class HalfRange(Value, frozen=True, kw_only=True):
    """Describe whether a network's values fit fp16, computed in fp32."""

    largest_activation: float  # absolute, of whatever a layer is given or makes
    rounded_mse: float  # of values whose range is 1


class Proof(Value, frozen=True, kw_only=True):
    """That an artifact, loaded by a runtime that it is meant for, draws the picture that the network draws."""

    runtime: str
    versions: dict[str, str]
    arithmetic: Precision  # of the session; fp32 where the CPU has no arithmetic of the artifact's precision
    shapes: tuple[ProvenShape, ...]
    half_range: HalfRange | None = None  # of fp16 artifacts; None: not recorded

    @property
    def mse(self) -> float:
        """Of the worst shape."""
        return max(shape.mse for shape in self.shapes)


class Artifact(Value, frozen=True, kw_only=True):
    """A model in one format: what it is, and what it was made from and with.

    ``files`` is in the format's own order: the one that a runtime opens first comes first (``.param`` before ``.bin``).
    """

    model: str
    format: Format
    precision: Precision
    spec: NetworkSpec
    weights_sha256: str
    files: tuple[ArtifactFile, ...]
    exporter: str  # entry point name
    options: dict[str, str]
    versions: dict[str, str]  # of every library that had a hand in it
    io: Interface = Interface.FLOAT
    shape: tuple[int, int, int] | None = None  # (N, H, W) of the one input that it takes; None: any
    export_s: float | None = None
    export_peak_rss_bytes: int | None = None
    proof: Proof | None = None
    unproved: str | None = None  # why there is no proof
    notes: tuple[str, ...] = ()  # what whoever uses the files should know
    source: str | None = None  # of the weights: a file, and which of its networks; None: not recorded


class LocatedArtifact(Value, frozen=True, kw_only=True):
    """An artifact and the folder where it lies; the folder may move, the artifact does not change."""

    artifact: Artifact
    folder: str

    def path(self, index: int = 0) -> Path:
        """Absolute path of file ``index``."""
        return Path(self.folder).resolve() / self.artifact.files[index].name


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_file(path: Path) -> ArtifactFile:
    """Name, size and digest of a file that an exporter wrote."""
    return ArtifactFile(name=path.name, size_bytes=path.stat().st_size, sha256=sha256_of(path))


def is_whole(located: LocatedArtifact) -> bool:
    """Tell whether every file has its recorded digest."""
    try:
        return all(
            located.path(index).is_file() and sha256_of(located.path(index)) == file.sha256
            for index, file in enumerate(located.artifact.files)
        )
    except OSError:
        return False


def write_sidecar(artifact: Artifact, path: Path) -> None:
    """Write the artifact's own description to ``path``, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(encode(artifact))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_sidecar(path: Path) -> LocatedArtifact:
    """The artifact that ``path`` describes, its files checked against their digests.

    Raises:
        RecordError: the sidecar cannot be read.
        OutputError: a file is missing or is not the one described.
    """
    try:
        data = files.read(path, _MOST_SIDECAR_BYTES)
    except OSError as error:
        raise RecordError(f"{path}: no artifact description can be read there: {error.strerror}") from error
    artifact = decode(data, Artifact, str(path))
    for file in artifact.files:
        found = path.parent / file.name
        if not found.is_file() or sha256_of(found) != file.sha256:
            raise OutputError(f"{found} is missing or was changed since its export; export it again")
    return LocatedArtifact(artifact=artifact, folder=str(path.parent))
