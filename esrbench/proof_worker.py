"""The process of one proof: a job on standard input, an answer in a file."""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from esrbench import checkpoints, child, plugins
from esrbench.artifact import Artifact, HalfRange, Proof
from esrbench.errors import CheckpointError, UnavailableError, UnknownNameError
from esrbench.exporter import Model
from esrbench.proof import SHAPES, Draw, ProofAnswer, ProofJob, compare, given, pictures, shapes_of
from esrbench.runner import LoadOptions, Placement, Runner, float_tiles
from esrbench.target import Precision

THREADS = 1


def main() -> None:
    """Carry out the job."""
    child.serve(ProofJob, carry_out)


def carry_out(job: ProofJob) -> ProofAnswer:
    """Prove the artifact in the first runtime that can.

    Raises:
        CheckpointError: the checkpoint is unreadable or holds other weights than the artifact was made from.
        ExportError: a runtime drew something of another shape; fp16 cannot hold the network's values.
    """
    model = checkpoints.read(Path(job.checkpoint), job.model)
    artifact = job.located.artifact
    if model.weights_sha256 != artifact.weights_sha256:
        raise CheckpointError(
            f"{job.checkpoint} holds weights of sha256 {model.weights_sha256}; {artifact.files[0].name} was made from "
            f"{artifact.weights_sha256}: name the checkpoint that it was exported from"
        )
    half_range = _half_range(model, artifact)
    draw = _network(model)
    reasons = []
    for name in [job.on.runtime] if job.on else plugins.exporter(artifact.format).proved_by:
        try:
            proved = _proof(plugins.runner(name), job, draw)
            return ProofAnswer(proof=msgspec.structs.replace(proved, half_range=half_range))
        except (UnavailableError, UnknownNameError, ImportError) as error:
            reasons.append(f"{name}: {error}")
    return ProofAnswer(unproved="; ".join(reasons) or f"the exporter of {artifact.format} names no runtime to prove it")


def _half_range(model: Model, artifact: Artifact) -> HalfRange | None:
    """Check that fp16 holds the network; None for other files."""
    if artifact.precision is not Precision.FP16:
        return None
    from esrbench import half_precision  # noqa: PLC0415

    found = half_precision.measure(model, float_tiles(pictures(SHAPES[0], model.spec)))
    half_precision.check(found, artifact.files[0].name)
    return found


def _proof(runner: Runner, job: ProofJob, draw: Draw) -> Proof:
    shapes = []
    located = job.located
    placement: Placement | None = None
    for shape in shapes_of(located):
        count, height, width, _ = given(shape, located.artifact).shape
        options = LoadOptions(threads=THREADS, tile_shape=(count, height, width))
        with runner.load(located, job.on, options) if job.on else runner.load_for_proof(located, options) as session:
            shapes.append(compare(shape, session, draw, located.artifact))
            placement = session.placement()
    assert placement is not None
    return Proof(runtime=runner.name, versions=placement.versions, arithmetic=placement.precision, shapes=tuple(shapes))


def _network(model: Model) -> Draw:
    import torch  # noqa: PLC0415

    from esrbench.model import network  # noqa: PLC0415

    torch.set_num_threads(THREADS)
    net = network(model)

    def draw(tiles: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            planes = net(torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))))
        drawn: npt.NDArray[np.float32] = planes.permute(0, 2, 3, 1).contiguous().numpy()
        return drawn

    return draw


if __name__ == "__main__":
    main()
