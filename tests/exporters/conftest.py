import math

import numpy as np
import pytest

from esrbench import cache
from esrbench.architecture import RRDBNetSpec, SRVGGNetSpec

SPECS = [
    *(RRDBNetSpec(blocks=1, features=8, growth=4, scale=scale) for scale in (4, 2, 1)),
    *(SRVGGNetSpec(convs=1, features=8, scale=scale) for scale in (4, 2, 1)),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=SPECS, ids=str)
def tiny(request, random_model):
    """A random model of each architecture and scale."""
    return random_model(request.param)


@pytest.fixture(scope="session")
def picture():
    """(N, 3, H, W) float32 random pictures of a size that no exporter's example has."""
    return lambda *shape: np.random.default_rng(1).random(shape, dtype=np.float32)


@pytest.fixture(scope="session")
def expected():
    """What the torch network draws, in fp32."""
    import torch

    from esrbench.model import network

    def draw(model, picture):
        with torch.inference_mode():
            return network(model)(torch.from_numpy(picture)).numpy()

    return draw


@pytest.fixture(scope="session")
def psnr_db():
    """Of the difference, over the range of the expected values."""

    def measure(found, expected):
        assert found.shape == expected.shape
        mse = np.mean((found.astype(np.float64) - expected) ** 2)
        return 10 * math.log10(np.ptp(expected) ** 2 / max(mse, 1e-30))

    return measure
