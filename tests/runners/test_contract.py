"""What every runner must do, on every target that this machine can run. Plug-ins that are installed are tested too."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pytest

from esrbench import fidelity, plugins, probe
from esrbench.artifact import Format, LocatedArtifact
from esrbench.errors import EsrbenchError, UnavailableError
from esrbench.runner import Availability, DeviceType, LoadOptions, Runner, Session, like_input
from esrbench.settings import DEFAULT
from esrbench.target import REFERENCE, Precision, Target

PROBED = probe.ask()
COMPILED_AGAIN = {Target("torch-compile@cpu:bf16")}
"""Half a minute of a C++ compiler for what ``torch-compile@cpu:fp32`` shows already."""

COMPILED = {"aotinductor", "torch-compile"}
USABLE = [
    pytest.param(entry, id=entry.target, marks=[pytest.mark.slow] if entry.target.runtime in COMPILED else [])
    for entry in PROBED.targets
    if entry.usable and entry.target not in COMPILED_AGAIN
]
REFUSED = [pytest.param(entry, id=entry.target) for entry in PROBED.targets if not entry.usable]

SCALE = 4
BATCH, HEIGHT, WIDTH = 3, 17, 22  # odd, not square, a row length that no vector unit divides
OPTIONS = LoadOptions(threads=2, tile_shape=(BATCH, HEIGHT, WIDTH))
CPU_FP32_DB = 100.0  # between two IEEE single-precision convolutions on a CPU, summed in another order

Floats = npt.NDArray[np.float32]
Pixels = TypeVar("Pixels", npt.NDArray[np.uint8], npt.NDArray[np.float32])
GetArtifact = Callable[[Format, Precision], LocatedArtifact]


def open_session(target: Target, get_artifact: GetArtifact, options: LoadOptions = OPTIONS) -> Session:
    runner = plugins.runner(target.runtime)
    try:
        artifact = get_artifact(format_of(runner), runner.artifact_precision(target))
    except UnavailableError as missing:  # a compiler, say: its runtime could run, but there is nothing to run
        pytest.skip(str(missing))
    return runner.load(artifact, target, options)


def format_of(runner: Runner) -> Format:
    written = plugins.exporters()
    return next(format_ for format_ in sorted(runner.accepts) if format_ in written)


def read_only(tiles: Pixels) -> Pixels:
    """No runner may write into its input, nor need to."""
    tiles.setflags(write=False)
    return tiles


def db(found: Floats, right: Floats) -> float:
    return fidelity.psnr_db(float(np.mean((found.astype(np.float64) - right) ** 2)))


def least_db(entry: Availability) -> float:
    single_on_cpu = entry.device_type is DeviceType.CPU and entry.target.precision is Precision.FP32
    return CPU_FP32_DB if single_on_cpu else fidelity.gate_db(entry.target.precision)


@pytest.fixture(scope="module")
def bytes_tiles() -> npt.NDArray[np.uint8]:
    return read_only(np.random.default_rng(0).integers(0, 256, (BATCH, HEIGHT, WIDTH, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def tiles(bytes_tiles: npt.NDArray[np.uint8]) -> Floats:
    return read_only(bytes_tiles.astype(np.float32) / np.float32(255))


@pytest.fixture(scope="module")
def reference(tiles: Floats, get_artifact: GetArtifact) -> Floats:
    with open_session(REFERENCE, get_artifact) as session:
        return session.run(tiles)


@pytest.fixture(scope="module", params=USABLE)
def entry(request: pytest.FixtureRequest) -> Availability:
    return request.param


@pytest.fixture(scope="module")
def session(entry: Availability, get_artifact: GetArtifact) -> Iterator[Session]:
    with open_session(entry.target, get_artifact) as opened:
        yield opened


def test_no_runtime_is_broken() -> None:
    assert PROBED.broken == ()


def test_the_reference_can_run() -> None:
    assert PROBED.of(REFERENCE).usable


def test_float_tiles_become_the_reference_picture_unclipped(
    entry: Availability, session: Session, tiles: Floats, reference: Floats
) -> None:
    upscaled = session.run(tiles)
    assert upscaled.shape == (BATCH, SCALE * HEIGHT, SCALE * WIDTH, 3)
    assert upscaled.dtype == np.float32
    assert upscaled.flags.c_contiguous
    assert upscaled.min() < 0
    assert upscaled.max() > 1
    assert db(upscaled, reference) >= least_db(entry)


def test_byte_tiles_are_clipped_and_rounded_to_nearest(
    session: Session, tiles: Floats, bytes_tiles: npt.NDArray[np.uint8]
) -> None:
    upscaled = session.run(bytes_tiles)
    expected = like_input(session.run(tiles), bytes_tiles)
    assert upscaled.dtype == np.uint8
    assert upscaled.flags.c_contiguous
    off = np.abs(upscaled.astype(int) - expected)
    assert off.max() <= 1
    assert np.mean(off > 0) < 0.001  # a GPU may round one sum in a thousand the other way


@pytest.mark.parametrize("count", [1, 2])
def test_a_smaller_batch_gives_the_same_pixels(
    entry: Availability, session: Session, tiles: Floats, reference: Floats, count: int
) -> None:
    upscaled = session.run(tiles[:count])
    assert upscaled.shape == (count, SCALE * HEIGHT, SCALE * WIDTH, 3)
    assert db(upscaled, reference[:count]) >= least_db(entry)


def test_a_stream_keeps_the_order_and_every_result(
    entry: Availability, session: Session, tiles: Floats, reference: Floats
) -> None:
    upscaled = list(session.stream([tiles[2:], tiles[:1], tiles[1:]]))
    assert [len(batch) for batch in upscaled] == [1, 1, 2]
    assert db(np.concatenate(upscaled), reference[[2, 0, 1, 2]]) >= least_db(entry)


def test_tiles_that_change_in_place_between_passes_are_read_anew(
    entry: Availability, session: Session, tiles: Floats, reference: Floats
) -> None:
    buffer = tiles[::-1].copy()
    batches = [buffer[:1], buffer[1:]]
    before = list(session.stream(batches))
    np.copyto(buffer, tiles)
    after = list(session.stream(batches))
    assert db(np.concatenate(before), reference[::-1]) >= least_db(entry)
    assert db(np.concatenate(after), reference) >= least_db(entry)


def test_placement_proves_what_was_asked_for(entry: Availability, session: Session) -> None:
    placement = session.placement()
    assert placement.precision is entry.target.precision
    assert placement.device_type is entry.device_type
    assert placement.device_name == entry.device_name
    assert placement.provider
    assert sum(placement.nodes.values()) > 0
    assert placement.versions


def test_a_session_can_be_opened_after_another_was_closed(
    entry: Availability, tiles: Floats, reference: Floats, get_artifact: GetArtifact
) -> None:
    for _ in range(2):
        with open_session(entry.target, get_artifact, LoadOptions(threads=1, tile_shape=(1, HEIGHT, WIDTH))) as session:
            assert db(session.run(tiles[:1]), reference[:1]) >= least_db(entry)


def test_every_candidate_draws_the_picture_unless_it_is_refused(
    entry: Availability, tiles: Floats, reference: Floats, get_artifact: GetArtifact
) -> None:
    first, *others = plugins.runner(entry.target.runtime).candidates(entry.target)
    assert first == DEFAULT
    assert len({DEFAULT, *others}) == 1 + len(others)
    for settings in others:
        options = LoadOptions(threads=2, tile_shape=(1, HEIGHT, WIDTH), settings=settings)
        with suppress(EsrbenchError), open_session(entry.target, get_artifact, options) as session:  # an older library
            assert db(session.run(tiles[:1]), reference[:1]) >= least_db(entry)
            assert set(settings.values) <= set(session.placement().options)


@pytest.mark.parametrize("refused", REFUSED)
def test_a_target_that_cannot_run_is_refused_with_its_reason(refused: Availability, get_artifact: GetArtifact) -> None:
    assert refused.reason
    assert refused.remedy
    runner = plugins.runner(refused.target.runtime)
    artifact = get_artifact(format_of(runner), Precision.FP32)
    with pytest.raises(UnavailableError) as caught:
        runner.load(artifact, refused.target, OPTIONS)
    assert caught.value.reason == refused.reason
    assert caught.value.remedy == refused.remedy


@pytest.mark.parametrize("name", sorted(set(plugins.runners()) - COMPILED))
def test_a_device_that_no_runtime_has_is_refused(name: str, get_artifact: GetArtifact) -> None:
    with pytest.raises(UnavailableError, match="choose one of"):
        open_session(Target.of(name, "abacus", Precision.FP32), get_artifact)
