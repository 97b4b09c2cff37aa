"""Exported files, proved again: are they those that were written, do they still draw the network's picture?"""

from pathlib import Path

from esrbench import proof, zoo
from esrbench.artifact import Artifact, LocatedArtifact, Proof, read_sidecar
from esrbench.codec import Value
from esrbench.errors import CheckpointError, EsrbenchError, OutputError, RecordError


class Verified(Value, frozen=True, kw_only=True):
    """What became of one artifact."""

    sidecar: str
    artifact: Artifact | None = None  # None: its description cannot be read
    proof: Proof | None = None  # of now
    identical: bool | None = None  # whether every output has the very bytes of the first proof
    problem: str | None = None  # why it is not right
    unproved: str | None = None  # why nothing can be said


def verify(folder: Path, ref: str | None = None) -> tuple[Verified, ...]:
    """Prove every artifact described in ``folder`` again, against the checkpoint ``ref`` or the zoo's of its name.

    Raises:
        OutputError: the folder is missing or describes no artifact.
        UnknownNameError, CheckpointError: ``ref`` is no model.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder; give the one that `esrbench export --out` wrote")
    sidecars = [path for path in sorted(folder.glob("*.json")) if _describes_an_artifact(path)]
    if not sidecars:
        raise OutputError(f"{folder} holds no artifact's description (*.json as `esrbench export` writes them)")
    named = zoo.locate(ref) if ref is not None else None
    return tuple(_verified(path, named) for path in sidecars)


def _describes_an_artifact(path: Path) -> bool:
    """Also where it is damaged: then the file that it describes lies beside it."""
    try:
        read_sidecar(path)
    except OutputError:
        return True
    except RecordError:
        return path.with_suffix("").is_file()
    return True


def _verified(sidecar: Path, named: zoo.WeightsFile | None) -> Verified:
    try:
        located = read_sidecar(sidecar)
    except (OutputError, RecordError) as error:
        return Verified(sidecar=sidecar.name, problem=str(error))
    artifact = located.artifact
    try:
        found = proof.prove(named or _checkpoint(located), located)
    except CheckpointError as error:
        return Verified(sidecar=sidecar.name, artifact=artifact, unproved=str(error))
    except EsrbenchError as error:
        return Verified(sidecar=sidecar.name, artifact=artifact, problem=str(error))
    if found.proof is None:
        return Verified(sidecar=sidecar.name, artifact=artifact, unproved=found.unproved)
    return Verified(
        sidecar=sidecar.name,
        artifact=artifact,
        proof=found.proof,
        identical=_identical(found.proof, artifact.proof),
        problem=proof.fault(located, found.proof),
    )


def _checkpoint(located: LocatedArtifact) -> zoo.WeightsFile:
    name = located.artifact.model
    if name not in zoo.names():
        raise CheckpointError(
            f"{name} is no name of the zoo; give its checkpoint: esrbench export CHECKPOINT --verify DIR"
        )
    return zoo.locate(name)


def _identical(now: Proof, before: Proof | None) -> bool | None:
    if before is None or before.runtime != now.runtime:
        return None
    return [shape.output_sha256 for shape in now.shapes] == [shape.output_sha256 for shape in before.shapes]
