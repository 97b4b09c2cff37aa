"""Two hundred damaged checkpoints: each is read as a network that draws, or refused with one error.

In one process: of 20,000 files damaged in these ways, none ended torch's C++ reader or another one.
"""

import collections
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from esrbench import checkpoints, memory
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec
from esrbench.errors import CheckpointError
from esrbench.exporter import ExportOptions, Model
from esrbench.model import network
from esrbench_exporters.ncnn_model import NcnnExporter

SPECS = (
    RRDBNetSpec(blocks=1, features=4, growth=2),
    SRVGGNetSpec(convs=1, features=4),
    RRDBNetSpec(blocks=1, features=4, growth=2, scale=2),
)
KINDS = ("pth", "safetensors", "param", "bin", "pth before torch 1.6")
COUNT = 200
MOST_BYTES = 64 << 20  # above what the process held before

seen: collections.Counter[tuple[str, bool]] = collections.Counter()

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
    path = folder / f"a.{kind.split(maxsplit=1)[0]}"
    if kind.startswith("pth"):
        content = {"params": {name: torch.tensor(array) for name, array in weights.items()}}
        torch.save(content, path, _use_new_zipfile_serialization=kind == "pth")
    elif kind == "safetensors":
        save_file(weights, path)
    else:
        path = NcnnExporter().export(model, ExportOptions(), folder).paths[KINDS.index(kind) - 2]
    return path


def damaged(number: int, random_model: Callable[..., Model], folder: Path) -> Path:
    """The file of mutation ``number``: everything about it follows from that."""
    chance = random.Random(number)
    model = random_model(SPECS[number % len(SPECS)])
    kind = KINDS[number % len(KINDS)]
    of_tensors = kind not in ("param", "bin") and chance.random() < 0.5
    weights = chance.choice([renamed, reshaped])(dict(model.weights), chance) if of_tensors else dict(model.weights)
    path = written(kind, model, weights, folder)
    if not of_tensors:
        chance.choice([flipped, truncated])(path, chance)
    return path


@pytest.fixture(scope="module", autouse=True)
def bounded(random_model, tmp_path_factory):
    """All of them together keep to a little memory; some are read and some refused, of every kind but text."""
    folder = tmp_path_factory.mktemp("warm")
    network(checkpoints.read(written("pth", model := random_model(SPECS[0]), dict(model.weights), folder)))
    measured = memory.reset_peak_rss()
    before, _ = memory.peak_rss_bytes()
    yield
    after, _ = memory.peak_rss_bytes()
    assert not measured or after - before < MOST_BYTES
    if sum(seen.values()) == COUNT:
        refused = {kind for kind, read in seen if not read}
        assert refused == set(KINDS)
        assert {kind for kind, read in seen if read} >= {"safetensors", "bin", "pth before torch 1.6"}


@pytest.mark.parametrize("number", range(COUNT))
def test_a_damaged_checkpoint_draws_or_is_refused(number, random_model, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = damaged(number, random_model, tmp_path)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    found = read(path)
    if found is not None:
        draws(found)
    seen[KINDS[number % len(KINDS)], found is not None] += 1
    assert {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before


def read(path: Path) -> Model | None:
    """None where it is refused, in one line that names the file."""
    try:
        return checkpoints.read(path)
    except CheckpointError as error:
        assert str(path.parent) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return None


def draws(model: Model) -> None:
    """Its weights fit its hyperparameters, and its picture has the right size and only numbers in it."""
    spec = model.spec
    assert {name: array.shape for name, array in model.weights.items()} == spec.parameter_shapes()
    side = 4 * spec.unshuffle
    with torch.inference_mode():
        drawn = network(model)(torch.rand(1, spec.in_channels, side, side))
    assert drawn.shape == (1, spec.out_channels, side * spec.scale, side * spec.scale)
    assert drawn.isfinite().all()
