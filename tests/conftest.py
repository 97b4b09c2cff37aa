import math
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from esrbench.architecture import NetworkSpec
from esrbench.checkpoints.identify import digest
from esrbench.cli import ending
from esrbench.exporter import Model

RandomModel = Callable[..., Model]


def pytest_configure() -> None:
    """Let processes that tests start be interrupted: a shell without job control has its background jobs ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """Take back what a command that ran in this process made of signals, else SIGTERM would fail one test and go on."""
    before = {name: signal.getsignal(getattr(signal, name)) for name in ending.ASKING if hasattr(signal, name)}
    yield
    for name, handler in before.items():
        if signal.getsignal(getattr(signal, name)) is not handler:
            signal.signal(getattr(signal, name), handler)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder by name that all processes of this run of the tests share: what one has exported, none exports again."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(name: str) -> Path:
        found = root / name
        found.mkdir(exist_ok=True)
        return found

    return folder


@pytest.fixture(scope="session")
def random_model() -> RandomModel:
    """A model of a spec with random weights, scaled so that its output stays near [0, 1]."""

    def make(spec: NetworkSpec, name: str = "tiny", seed: int = 0) -> Model:
        random = np.random.default_rng(seed)
        weights = {
            key: (random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]) + 1)).astype(np.float32)
            for key, shape in spec.parameter_shapes().items()
        }
        return Model(name=name, spec=spec, weights=weights, weights_sha256=digest(weights), source="random")

    return make
