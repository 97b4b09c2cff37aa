"""Networks that fold their picture, from every dialect to every runtime, at a size that nothing divides."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from esrbench import images, plugins, tiling
from esrbench.architecture import RRDBNetSpec
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.model import network
from esrbench.probe import availabilities
from esrbench.runner import LoadOptions, float_tiles
from esrbench.target import Precision, Target

pytestmark = pytest.mark.slow

HEIGHT, WIDTH, TILE = 37, 53, 56
"""Odd sides, and the side of the one window that holds them, which the fold divides."""

SCALES = (2, 1)
FP32_DB = 100


def new(name: str, _: RRDBNetSpec) -> str:
    return name


def middle(name: str, _: RRDBNetSpec) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb", r"RRDB_trunk.\1.RDB", name)
    return name.replace("conv_body", "trunk_conv").replace("conv_up", "upconv").replace("conv_hr", "HRconv")


def old(name: str, spec: RRDBNetSpec) -> str:
    name = re.sub(r"^body\.(\d+)\.rdb(\d\.conv\d)", r"model.1.sub.\1.RDB\2.0", name)
    places = {"first": "0", "body": f"1.sub.{spec.blocks}", "up1": "3", "up2": "6", "hr": "8", "last": "10"}
    return re.sub(r"^conv_([a-z0-9]+)", lambda layer: f"model.{places[layer[1]]}", name)


@pytest.fixture(scope="module")
def photo():
    return np.ascontiguousarray(images.sample("chelsea")[100 : 100 + HEIGHT, 200 : 200 + WIDTH])


@pytest.fixture(scope="module", params=[(scale, dialect) for scale in SCALES for dialect in (new, middle, old)])
def folding(request, random_model, tmp_path_factory):
    """A checkpoint file of a scale in a dialect, and the model in it."""
    scale, dialect = request.param
    model = random_model(RRDBNetSpec(blocks=4, features=32, growth=16, scale=scale), name="folding", seed=scale)
    tensors = {dialect(name, model.spec): torch.tensor(array) for name, array in model.weights.items()}
    path = tmp_path_factory.mktemp("folding") / "folding.pth"
    torch.save({"params_ema": tensors}, path)
    return path, model


COMPILED, COMPILED_SCALE = "aotinductor", 2
"""A package takes a minute to compile: one of the scales is enough."""

COMPILED_ANEW = "torch-compile"
"""What it compiles for each session is what ``torch`` runs."""


@pytest.fixture(scope="module")
def usable() -> list[Target]:
    """Targets that claim fp32 and can run here, in software too."""
    return [entry.target for entry in availabilities() if entry.usable and entry.target.precision is Precision.FP32]


def targets(usable: list[Target], scale: int) -> list[Target]:
    """Those that are not left out to save time."""
    left_out = {COMPILED_ANEW} if scale == COMPILED_SCALE else {COMPILED_ANEW, COMPILED}
    return [target for target in usable if target.runtime not in left_out]


def drawn(path: Path, target: Target, photo, scale: int, cache: Path):
    """The picture as the benchmark and ``upscale`` draw it: through a plan, whose window here is the whole picture."""
    runner = plugins.runner(target.runtime)
    options = ExportOptions(precision=runner.artifact_precision(target))
    located = ensure_artifact(str(path), plugins.format_for(runner), options, cache=cache)
    plan = tiling.plan(HEIGHT, WIDTH, tile=TILE, halo=0, multiple=located.artifact.spec.unshuffle)
    tiles = float_tiles(tiling.cut(photo, plan))
    with runner.load(located, target, LoadOptions(threads=1, tile_shape=(1, TILE, TILE))) as session:
        return located, tiling.stitch(session.run(tiles), plan, scale)


def test_each_runtime_draws_what_the_network_draws(folding, photo, usable, artifact_cache):
    path, model = folding
    planes = torch.from_numpy(float_tiles(tiling.padded(photo, (TILE, TILE)))).permute(2, 0, 1)[None]
    with torch.inference_mode():
        right = network(model)(planes)[0].permute(1, 2, 0).numpy()
    scale = model.spec.scale
    right = right[: HEIGHT * scale, : WIDTH * scale]
    for target in targets(usable, scale):
        located, picture = drawn(path, target, photo, scale, artifact_cache)
        assert located.artifact.weights_sha256 == model.weights_sha256
        assert picture.shape == (HEIGHT * scale, WIDTH * scale, 3)
        mse = np.mean((picture.astype(np.float64) - right) ** 2)
        assert 10 * math.log10(np.ptp(right) ** 2 / max(mse, 1e-30)) > FP32_DB, target


def test_every_format_is_proved_with_it(folding, artifact_cache):
    path, _ = folding
    for format_, exporter in plugins.exporters().items():
        if exporter.portable:
            proof = ensure_artifact(str(path), format_, cache=artifact_cache).artifact.proof
            assert proof is not None, format_
            assert 10 * math.log10(1 / max(proof.mse, 1e-30)) > FP32_DB, format_
