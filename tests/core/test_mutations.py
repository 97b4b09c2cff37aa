"""Two hundred damaged checkpoints: each is read as a network that draws, or refused with one error."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from esrbench import checkpoints
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.errors import CheckpointError
from esrbench.exporter import ExportOptions, Model
from esrbench.model import network
from esrbench_exporters.ncnn_model import NcnnExporter

SPECS = (RRDBNetSpec(blocks=1, features=4, growth=2), SRVGGNetSpec(convs=1, features=4))
KINDS = ("pth", "safetensors", "param", "bin")
COUNT = 200

Arrays = dict[str, np.ndarray]


def flipped(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncated(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def renamed(weights: Arrays, chance: random.Random) -> Arrays:
    victim = chance.choice(list(weights))
    return {chance.choice(["", "x", victim + "x"]) if name == victim else name: weights[name] for name in weights}


def reshaped(weights: Arrays, chance: random.Random) -> Arrays:
    victim = chance.choice(list(weights))
    array = weights[victim]
    other = chance.choice([array.reshape(-1), array[:1], array[None], np.concatenate([array, array])])
    return weights | {victim: np.ascontiguousarray(other)}


def written(kind: str, model: Model, weights: Arrays, folder: Path) -> Path:
    path = folder / f"a.{kind}"
    if kind == "pth":
        torch.save({"params": {name: torch.tensor(array) for name, array in weights.items()}}, path)
    elif kind == "safetensors":
        save_file(weights, path)
    else:
        path = NcnnExporter().export(model, ExportOptions(), folder).paths[KINDS.index(kind) - 2]
    return path


def damaged(number: int, random_model: Callable[..., Model], folder: Path) -> Path:
    """The file of mutation ``number``: everything about it follows from that."""
    chance = random.Random(number)
    model = random_model(SPECS[number % 2])
    kind = KINDS[number // 2 % 4]
    of_tensors = kind in ("pth", "safetensors") and chance.random() < 0.5
    weights = chance.choice([renamed, reshaped])(dict(model.weights), chance) if of_tensors else dict(model.weights)
    path = written(kind, model, weights, folder)
    if not of_tensors:
        chance.choice([flipped, truncated])(path, chance)
    return path


@pytest.mark.parametrize("number", range(COUNT))
def test_a_damaged_checkpoint_draws_or_is_refused(number, random_model, tmp_path):
    path = damaged(number, random_model, tmp_path)
    before = sorted(tmp_path.iterdir())
    try:
        found = checkpoints.read(path)
    except CheckpointError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017
    else:
        assert {name: array.shape for name, array in found.weights.items()} == found.spec.parameter_shapes()
        assert all(np.isfinite(array).all() for array in found.weights.values())
        side = 4 * found.spec.unshuffle
        with torch.inference_mode():
            drawn = network(found)(torch.rand(1, found.spec.in_channels, side, side))
        assert drawn.shape == (1, found.spec.out_channels, side * found.spec.scale, side * found.spec.scale)
    assert sorted(tmp_path.iterdir()) == before
