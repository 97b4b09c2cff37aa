import os
from collections.abc import Callable
from pathlib import Path

import pytest

from esrbench.architecture import RRDBNetSpec
from esrbench.artifact import Format, LocatedArtifact
from esrbench.target import Precision

CACHE_VARIABLE = "ESRBENCH_TEST_ARTIFACTS"

GetArtifact = Callable[[Format, Precision], LocatedArtifact]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random network whose output leaves [0, 1] on both sides."""
    import torch

    from esrbench import model

    torch.manual_seed(0)
    network = model.build(RRDBNetSpec(blocks=1, features=8, growth=4))
    weights = {name: weight.clone() for name, weight in network.state_dict().items()}
    with torch.inference_mode():
        output = network(torch.rand(1, 3, 32, 32))
    weights["conv_last.weight"] *= 0.5 / output.std()
    weights["conv_last.bias"] = (weights["conv_last.bias"] - output.mean((0, 2, 3))) * 0.5 / output.std() + 0.5
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.pth"
    torch.save({"params_ema": weights}, path)
    return path


@pytest.fixture(scope="session")
def artifact_cache(shared_folder: Callable[[str], Path]) -> Path:
    """Where artifacts are kept; a test that starts pytest again hands its own folder on."""
    handed_on = os.environ.get(CACHE_VARIABLE)
    return Path(handed_on) if handed_on else shared_folder("artifacts")


@pytest.fixture(scope="session")
def get_artifact(checkpoint: Path, artifact_cache: Path) -> GetArtifact:
    """The tiny network in a format; exported once."""
    from esrbench.export import ensure_artifact
    from esrbench.exporter import ExportOptions

    return lambda format_, precision: ensure_artifact(
        str(checkpoint), format_, ExportOptions(precision=precision), cache=artifact_cache
    )
