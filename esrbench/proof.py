"""Does an exported file draw the picture that the network draws? Asked of its own runtime, at several shapes.

The runtime runs in a child process (:mod:`esrbench.proof_worker`): it may crash, and the network needs torch.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench import child, fidelity, images, plugins, probe, tiling, zoo
from esrbench.architecture import NetworkSpec
from esrbench.artifact import Artifact, Interface, LocatedArtifact, Proof, ProvenShape
from esrbench.codec import Value
from esrbench.errors import EsrbenchError, ExportError
from esrbench.runner import DeviceType, Session, Tiles, float_tiles
from esrbench.target import Precision, Target

WORKER = "esrbench.proof_worker"

SHAPES = ((2, 24, 24), (1, 37, 53), (1, 1, 48))
"""(N, H, W): a batch of squares, an odd rectangle, a single row of pixels, which is all border."""

PHOTO = "astronaut"

Bytes = npt.NDArray[np.uint8]

Draw = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""The network itself: ``(N, H, W, C)`` in [0, 1] → ``(N, sH, sW, C)``, unclamped."""


class ProofJob(Value, frozen=True, kw_only=True):
    """What the proof's process is asked for."""

    checkpoint: str
    model: str
    located: LocatedArtifact
    on: Target | None = None  # a device that computes in the artifact's precision; None: the CPU, as it can


class ProofAnswer(Value, frozen=True, kw_only=True, tag=True):
    """What it found: figures, good or bad, or why there are none."""

    proof: Proof | None = None
    unproved: str | None = None


def prove(file: zoo.WeightsFile, located: LocatedArtifact) -> ProofAnswer:
    """Compare ``located`` with the network of the checkpoint that it was exported from.

    In the artifact's own arithmetic where a device here has it; else, and where that device fails, on the CPU. The
    proof says in which.

    Raises:
        ExportError: the runtime failed on the artifact, or crashed; fp16 cannot hold the network's values.
        CheckpointError: the checkpoint cannot be read, or holds other weights.
    """
    artifact = located.artifact
    job = ProofJob(checkpoint=str(file.path.resolve()), model=artifact.model, located=located)
    doing = f"running {artifact.files[0].name} to compare it with the network"
    device = _native(artifact)
    if device is not None:
        with suppress(EsrbenchError):  # a device may be out of memory, or its driver broken: the file is not to blame
            return child.ask(WORKER, msgspec.structs.replace(job, on=device), ProofAnswer, f"{doing} on {device}")
    return child.ask(WORKER, job, ProofAnswer, doing)


def _native(artifact: Artifact) -> Target | None:
    """Find a target here that computes in the artifact's half precision.

    A GPU, or a CPU that its runtime says has fp16: bf16 on any CPU may be conversions around fp32, or take minutes.
    """
    if artifact.precision not in {Precision.FP16, Precision.BF16}:
        return None
    for entry in probe.ask(plugins.exporter(artifact.format).proved_by).targets:
        fits = entry.device_type is DeviceType.GPU or (
            entry.device_type is DeviceType.CPU and entry.target.precision is Precision.FP16
        )
        if entry.usable and fits and entry.target.precision is artifact.precision:
            return entry.target
    return None


def fault(located: LocatedArtifact, found: Proof) -> str | None:
    """At which shape the artifact draws another picture, and by how much; None where it is right."""
    artifact = located.artifact
    gate = fidelity.gate_db(artifact.precision)
    for shape in found.shapes:
        psnr = fidelity.psnr_db(shape.mse)
        if not psnr >= gate:
            return (
                f"{artifact.files[0].name} draws another picture than the network: {psnr:.1f} dB in {found.runtime} "
                f"at {'×'.join(map(str, shape.shape))}, {artifact.precision.value} must reach {gate:g} dB; the worst "
                f"value is off by {shape.worst_abs:.3g} of the full range"
            )
    return None


def given(shape: tuple[int, int, int], artifact: Artifact) -> Bytes:
    """``(N, H, W, C)`` neighbouring crops of a photo; sides that a bare network needs to be divisible are grown."""
    asked = pictures(shape, artifact.spec)
    return asked if artifact.io is Interface.IMAGE else _grown(asked, artifact.spec)


def compare(shape: tuple[int, int, int], session: Session, draw: Draw, artifact: Artifact) -> ProvenShape:
    """Let ``session`` and the network draw the same pictures.

    Raises:
        ExportError: the session's output has another shape.
    """
    tiles = given(shape, artifact)
    count, height, width, _ = tiles.shape
    scale = artifact.spec.scale
    right = draw(float_tiles(_grown(tiles, artifact.spec)))[:, : height * scale, : width * scale]
    found = session.run(tiles if artifact.io is Interface.IMAGE else float_tiles(tiles))
    if found.shape != right.shape:
        raise ExportError(f"{artifact.files[0].name} drew {found.shape} of {tiles.shape}; it should be {right.shape}")
    error = _error(found, right)
    return ProvenShape(
        shape=(count, height, width),
        mse=float(np.mean(error**2)),
        worst_abs=float(error.max()),
        output_sha256=hashlib.sha256(repr(found.shape).encode() + np.ascontiguousarray(found).tobytes()).hexdigest(),
    )


def shapes_of(located: LocatedArtifact) -> tuple[tuple[int, int, int], ...]:
    """Those that are tried: the artifact's only one where it takes no other."""
    fixed = located.artifact.shape
    return SHAPES if fixed is None else (fixed,)


def pictures(shape: tuple[int, int, int], spec: NetworkSpec) -> Bytes:
    """``(N, H, W, C)`` bytes: neighbouring crops of a photo; channels beyond RGB repeat."""
    count, height, width = shape
    photo = images.sample(PHOTO)
    rows = tiling.padded(photo, (max(height, photo.shape[0]), max(count * width, photo.shape[1])))
    top = (rows.shape[0] - height) // 2
    crops = [rows[top : top + height, n * width : (n + 1) * width] for n in range(count)]
    return np.stack(crops)[..., np.arange(spec.in_channels) % 3].astype(np.uint8, copy=False)


def _grown(tiles: Bytes, spec: NetworkSpec) -> Bytes:
    """With sides that the network's unshuffle divides."""
    shape = tiling.divisible(tiles.shape[1], tiles.shape[2], spec.unshuffle)
    return np.stack([tiling.padded(tile, shape) for tile in tiles])


def _error(found: Tiles, right: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Absolute error; of bytes, what is beyond the half step that rounding to them costs. No number is off by 1."""
    if found.dtype == np.uint8:
        off = np.abs(found.astype(np.float64) / 255 - np.clip(right, 0, 1).astype(np.float64))
        return np.maximum(off - 0.5 / 255, 0)
    off = np.abs(found.astype(np.float64) - right)
    return np.where(np.isfinite(off), off, 1.0)
