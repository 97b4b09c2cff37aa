import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from esrbench.architecture import RRDBNetSpec
from esrbench.artifact import Artifact, LocatedArtifact, describe_file
from esrbench.errors import OutOfMemoryError, PlacementError, UnavailableError
from esrbench.exporter import ExportOptions, Model
from esrbench.runner import LoadOptions
from esrbench.target import Precision, Target
from esrbench.testing import FAKE, FakeClock, FakeExporter, FakeRunner, FakeScript, FakeSession, Fault, Moment

TARGET = Target("fake@cpu:fp32")
TILE = np.random.default_rng(0).random((1, 2, 3, 3), dtype=np.float32)


@pytest.fixture
def artifact(tmp_path: Path) -> LocatedArtifact:
    spec = RRDBNetSpec(blocks=1)
    model = Model(name="tiny", spec=spec, weights={}, weights_sha256="0", source="none")
    written = FakeExporter().export(model, ExportOptions(), tmp_path)
    return LocatedArtifact(
        folder=str(tmp_path),
        artifact=Artifact(
            model="tiny",
            format=FAKE,
            precision=Precision.FP32,
            spec=spec,
            weights_sha256="0",
            files=tuple(describe_file(path) for path in written.paths),
            exporter="fake",
            options=written.options,
            versions=written.versions,
        ),
    )


def load(artifact: LocatedArtifact, script: FakeScript, clock: FakeClock | None = None) -> FakeSession:
    return FakeRunner((script,), clock).load(artifact, TARGET, LoadOptions(threads=1, tile_shape=(1, 2, 3)))


def test_the_clock_stands_still_but_for_what_is_scripted(artifact: LocatedArtifact) -> None:
    clock = FakeClock()
    session = load(artifact, FakeScript(target=TARGET, load_ns=5, tile_ns=(100, 10)), clock)
    readings = [clock()]
    for batch in (TILE, TILE, np.concatenate([TILE, TILE])):
        session.run(batch)
        readings.append(clock())
    assert readings == [5, 105, 115, 135]


def test_the_picture_is_enlarged_by_repeating_pixels(artifact: LocatedArtifact) -> None:
    upscaled = load(artifact, FakeScript(target=TARGET)).run(TILE)
    assert upscaled.shape == (1, 8, 12, 3)
    np.testing.assert_array_equal(upscaled[:, ::4, ::4], TILE)
    np.testing.assert_array_equal(upscaled[:, 3::4, 3::4], TILE)


def test_a_session_knows_what_was_done_with_it(artifact: LocatedArtifact) -> None:
    with load(artifact, FakeScript(target=TARGET)) as session:
        session.run(TILE)
    assert session.batches == [(1, 2, 3, 3)]
    assert session.closed


def test_a_fault_strikes_after_the_good_runs(artifact: LocatedArtifact) -> None:
    session = load(artifact, FakeScript(target=TARGET, fault=Fault.OOM, good_runs=1))
    session.run(TILE)
    with pytest.raises(OutOfMemoryError):
        session.run(TILE)


def test_pictures_are_spoilt_as_scripted(artifact: LocatedArtifact) -> None:
    right = load(artifact, FakeScript(target=TARGET)).run(TILE)
    wrong, black, nan = (
        load(artifact, FakeScript(target=TARGET, fault=fault)).run(TILE)
        for fault in (Fault.WRONG, Fault.BLACK, Fault.NAN)
    )
    np.testing.assert_array_equal(wrong, right[:, ::-1])
    assert not black.any()
    assert np.isnan(nan).all()


def test_refusals_are_scripted_too(artifact: LocatedArtifact) -> None:
    with pytest.raises(UnavailableError, match="scripted to be unavailable; change the script"):
        load(artifact, FakeScript(target=TARGET, fault=Fault.UNAVAILABLE))
    with pytest.raises(RuntimeError, match="scripted to raise"):
        load(artifact, FakeScript(target=TARGET, fault=Fault.RAISE, moment=Moment.LOAD))
    with pytest.raises(PlacementError):
        load(artifact, FakeScript(target=TARGET, fault=Fault.FELL_BACK)).placement()


def test_a_crash_is_a_real_one() -> None:
    code = (
        "from esrbench.testing import *; from esrbench.target import Target; "
        "FakeRunner([FakeScript(target=Target('fake@cpu:fp32'), fault=Fault.CRASH, moment=Moment.PROBE)]).targets()"
    )
    assert subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False).returncode == -signal.SIGKILL
