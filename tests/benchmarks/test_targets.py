"""Every target that this machine can run, as pytest-benchmark sees it: one tile, and a whole picture.

Made for looking at and for keeping with ``--benchmark-autosave``. It is no gate: pytest-benchmark's
``--benchmark-compare-fail`` skips what the baseline lacks and only warns of another machine. The gate is
``make bench-ci``.
"""

import pytest
from served import served

from esrbench import plugins, workload
from esrbench.codec import encode
from esrbench.environment import usable_cores
from esrbench.export import ensure_artifact
from esrbench.exporter import ExportOptions
from esrbench.probe import availabilities
from esrbench.runner import DeviceType

MODEL, PHOTO, SIDE_PX, TILE_PX, HALO_PX = "realesrgan-x4plus", "astronaut", 80, 48, 8

TILE_ROUNDS, IMAGE_ROUNDS = 5, 2

TARGETS = [entry.target for entry in availabilities() if entry.usable and entry.device_type is not DeviceType.SOFTWARE]
"""Software that stands in for a GPU takes half a minute a tile: nobody waits for its speed."""


@pytest.fixture(scope="module")
def photo():
    """A crop of four tiles."""
    return workload.prepare(
        image=PHOTO, crop=(SIDE_PX, SIDE_PX), tile=TILE_PX, halo=HALO_PX, batch=1, threads=usable_cores(), id="photo"
    )


@pytest.fixture(scope="module", params=TARGETS)
def asked(request, photo):
    """A target's session, loaded in a process of its own, with what is known of it."""
    target = request.param
    runner = plugins.runner(target.runtime)
    options = ExportOptions(precision=runner.artifact_precision(target))
    located = ensure_artifact(MODEL, plugins.format_for(runner), options)
    with served(located, target, photo) as session:
        yield target, located.artifact, session


def describe(benchmark, asked, output_px):
    """What a figure is worth nothing without."""
    target, artifact, session = asked
    placement, peak_rss_bytes = session.ask("facts")
    benchmark.extra_info |= {
        "target": target,
        "precision": placement.precision.value,
        "device": placement.device_name,
        "placement": encode(placement).decode(),
        "peak_rss_bytes": peak_rss_bytes,
        "artifact_bytes": sum(file.size_bytes for file in artifact.files),
        "weights_sha256": artifact.weights_sha256,
        "output_px": output_px,
    }


@pytest.mark.weights
@pytest.mark.benchmark(group="one tile, host to host")
def test_a_tile(benchmark, asked):
    _, artifact, session = asked
    benchmark.pedantic(session.ask, ("tile",), rounds=TILE_ROUNDS, warmup_rounds=2)
    describe(benchmark, asked, (TILE_PX * artifact.spec.scale) ** 2)


@pytest.mark.weights
@pytest.mark.benchmark(group="a picture, streamed")
def test_a_picture(benchmark, asked):
    _, artifact, session = asked
    benchmark.pedantic(session.ask, ("image",), rounds=IMAGE_ROUNDS, warmup_rounds=1)
    describe(benchmark, asked, (SIDE_PX * artifact.spec.scale) ** 2)
