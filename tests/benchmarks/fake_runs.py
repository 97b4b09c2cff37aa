"""Whole runs on a made-up machine, in one process and no time: only the processes and the files are left out.

The harness orders the rounds and decides when to stop; each launch loads the public fake runner, warms it up and times
it by esrbench's own loop, on a scripted clock; the records are read by `esrbench compare`'s own code.
"""

import os
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
from noise_models import Machine, within

from esrbench import harness
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import Artifact, ArtifactFile, LocatedArtifact
from esrbench.job import Outcome
from esrbench.launcher import Inputs
from esrbench.measure import LoopPlan, timed_loop, warm_up
from esrbench.plan import Plan
from esrbench.record import (
    Case,
    Environment,
    LaunchRecord,
    ModelRecord,
    RunEnd,
    RunRecord,
    Samples,
    Status,
    Workload,
)
from esrbench.runner import LoadOptions
from esrbench.store import Run
from esrbench.suite import Suite, WorkloadPlan
from esrbench.target import REFERENCE, Precision, Target
from esrbench.testing import FAKE, FakeClock, FakeRunner, FakeScript
from esrbench.variants import Variants

OTHER = Target("fake@cpu:fp32")

TILE_NS = 120_000_000
TILES = 2
SCRIPTED_TILES = 60
"""Tiles of a launch that are scripted one by one: warm-up and timed loop take fewer."""

START = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = SRVGGNetSpec(convs=1, features=4)
WORKLOAD = Workload(
    id="t8b1",
    image="none",
    width_px=16,
    height_px=8,
    tile_px=8,
    halo_px=0,
    batch=1,
    threads=1,
    tiles=TILES,
    pixels_sha256="0" * 64,
)
BATCHES = tuple(np.zeros((1, 2, 2, 3), np.float32) for _ in range(TILES))


def fake_run(
    machine: Machine, chance: random.Random, slower: float, *, precision_percent: float, max_rounds: int, seed: int
) -> Run:
    """A run of the reference, the same under a second name, and a target that takes ``slower`` times as long."""
    cases = (
        Case(target=REFERENCE, workload=WORKLOAD.id),
        Case(target=REFERENCE, workload=WORKLOAD.id, control=True),
        Case(target=OTHER, workload=WORKLOAD.id),
    )
    suite = Suite(
        name="study",
        model="none",
        workloads=(WorkloadPlan(image="none", tile=8, halo=0),),
        budget_s=1e6,
        max_rounds=max_rounds,
        precision_percent=precision_percent,
        timeout_s=1e6,
        seed=seed,
    )
    with artifact() as located:
        plan = Plan(
            suite=suite,
            inputs=Inputs(workloads={WORKLOAD.id: WORKLOAD}, pictures={}, artifacts={}, reference=located),
            cases=cases,
            refused={},
        )
        launcher = FakeLauncher(located, machine, chance, {OTHER: slower})
        listener = Listener()
        with mock.patch.object(harness, "Launcher", return_value=launcher):
            end = harness.Harness(plan, listener, listener, lambda: launcher.clock() / 1e9).run()  # type: ignore[arg-type]
    return Run(folder=Path("study"), record=_record(suite, cases), launches=tuple(listener.launches), end=end)


@contextmanager
def artifact() -> Iterator[LocatedArtifact]:
    """What the fake runner loads: a file that holds the scale."""
    with TemporaryDirectory() as folder:
        Path(folder, "fake").write_text(str(SPEC.scale), encoding="utf-8")
        yield LocatedArtifact(folder=folder, artifact=_ARTIFACT)


_ARTIFACT = Artifact(
    model="none",
    format=FAKE,
    precision=Precision.FP32,
    spec=SPEC,
    weights_sha256="0" * 64,
    files=(ArtifactFile(name="fake", size_bytes=1, sha256="0" * 64),),
    exporter="fake",
    options={},
    versions={},
)


class FakeLauncher:
    """In the place of the one that starts processes: measures the fake runner on the machine's clock."""

    def __init__(
        self, located: LocatedArtifact, machine: Machine, chance: random.Random, slower: Mapping[Target, float]
    ) -> None:
        self._located = located
        self._machine = machine
        self._chance = chance
        self._slower = slower
        self.clock = FakeClock()

    def draw_reference(self, workload: str, timeout_s: float) -> Outcome:
        """Nothing to draw."""
        return Outcome(status=Status.OK)

    def launch(self, case: Case, *, sequence: int, round_: int, loop: LoopPlan, timeout_s: float) -> LaunchRecord:
        """One launch, by esrbench's own warm-up and timed loop."""
        tile_ns = TILE_NS * next(self._machine) * self._slower.get(case.target, 1.0)
        script = FakeScript(
            target=case.target,
            tile_ns=tuple(round(tile_ns * factor) for factor in within(self._chance, SCRIPTED_TILES)),
        )
        tiles = Variants(BATCHES, sequence)
        begin_ns = self.clock()
        runner = FakeRunner((script,), self.clock)
        with runner.load(self._located, case.target, LoadOptions(threads=1, tile_shape=(1, 2, 2))) as session:
            loaded_ns = self.clock()
            session.run(tiles.new_batch(0, 1))
            first_ns = self.clock()
            warmups = warm_up(session, tiles, loop, self.clock, first_tile_ns=first_ns - loaded_ns)
            timed = timed_loop(session, tiles, loop, self.clock, warmups=warmups)
        return LaunchRecord(
            case=case,
            sequence=sequence,
            round=round_,
            status=Status.OK,
            started_at=(START + timedelta(microseconds=begin_ns / 1e3)).isoformat(timespec="seconds"),
            wall_ns=self.clock() - begin_ns,
            samples=Samples(
                load_ns=loaded_ns - begin_ns,
                first_tile_ns=first_ns - loaded_ns,
                cold_ns=first_ns - begin_ns,
                warmups=warmups,
                tile_ns=timed.tile_ns,
                image_ns=timed.image_ns,
                repeats=timed.repeats,
            ),
        )

    def keep_picture(self, record: LaunchRecord) -> None:
        """None was drawn."""


class Listener:
    """In the place of the run's folder and of whoever watches: keeps the records."""

    folder = Path(os.devnull)  # holds no choice of settings

    def __init__(self) -> None:
        self.launches: list[LaunchRecord] = []

    def launch(self, record: LaunchRecord) -> None:
        """Keep it."""
        self.launches.append(record)

    def end(self, record: RunEnd) -> None:
        """Nothing to write."""

    def starting(self, what: str, launches_left: int, seconds_left: float | None) -> None:
        """Nobody watches."""

    def finished(self, record: LaunchRecord) -> None:
        """Nobody watches."""

    def note(self, text: str) -> None:
        """Nobody reads."""


def _record(suite: Suite, cases: tuple[Case, ...]) -> RunRecord:
    return RunRecord(
        esrbench_version="0",
        created_at=START.isoformat(),
        suite=suite.name,
        seed=suite.seed,
        budget_s=suite.budget_s,
        model=ModelRecord(name="none", spec=SPEC, weights_sha256="0" * 64, source="none"),
        reference=REFERENCE,
        workloads=(WORKLOAD,),
        cases=cases,
        environment=Environment(
            os="none",
            python="none",
            cpu="made up",
            cpu_features=(),
            cpu_cores=1,
            usable_cores=1,
            memory_bytes=0,
            gpus=(),
            governor=None,
            virtual=None,
            versions={},
        ),
    )
