"""In the place of `esrbench bench`: a round of the public fake runner on its own clock, without processes or torch.

`test_bench_ci` makes this file `esrbench/__main__.py` of a code tree whose `esrbench/script.py` says how its targets
behave; all else of the package is the real one's.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from esrbench import script, suite
from esrbench.architecture import SRVGGNetSpec
from esrbench.artifact import Artifact, ArtifactFile, LocatedArtifact
from esrbench.environment import describe
from esrbench.measure import LoopPlan, timed_loop, warm_up
from esrbench.record import Case, Fidelity, LaunchRecord, ModelRecord, RunRecord, Samples, Status, Workload
from esrbench.runner import LoadOptions
from esrbench.store import RunWriter, read_run
from esrbench.target import REFERENCE, Precision, Target
from esrbench.testing import FAKE, FakeClock, FakeRunner, FakeScript
from esrbench.variants import Variants

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
    tiles=2,
    pixels_sha256="0" * 64,
)
BATCHES = tuple(np.zeros((1, 8, 8, 3), np.float32) for _ in range(WORKLOAD.tiles))


def bench(options: dict[str, str]) -> int:
    """One more round of the run that is named."""
    if "--resume" in options:
        folder = Path(options["--resume"])
        writer, launched = RunWriter(folder), read_run(folder).launches
    else:
        writer = RunWriter.create(Path(options["--out"]), _record(options["--suite"]))
        launched = ()
    round_ = max((launch.round for launch in launched), default=-1) + 1
    if round_ >= script.DIES_IN_ROUND:
        raise RuntimeError("scripted to die")
    made = [_launch(len(launched) + place, round_, name) for place, name in enumerate(script.TILES_NS)]
    for each in made:
        writer.launch(each)
    return int(any(launch.status is Status.WRONG for launch in (*launched, *made)))


def _launch(sequence: int, round_: int, name: str) -> LaunchRecord:
    case = Case(target=Target(name), workload=WORKLOAD.id)
    times_ns: Sequence[int] = script.TILES_NS[name]
    begun, clock = datetime.now(UTC), FakeClock()
    runner = FakeRunner([FakeScript(target=case.target, tile_ns=(times_ns[min(round_, len(times_ns) - 1)],))], clock)
    loop, tiles = LoopPlan(warmup_s=0, measure_s=0.05), Variants(BATCHES, sequence)
    with (
        TemporaryDirectory() as folder,
        runner.load(_artifact(folder), case.target, LoadOptions(threads=1, tile_shape=(1, 8, 8))) as session,
    ):
        session.run(tiles.new_batch(0, 1))
        first_ns = clock()
        warmups = warm_up(session, tiles, loop, clock, first_tile_ns=first_ns)
        timed = timed_loop(session, tiles, loop, clock, warmups=warmups)
        placement = session.placement()
    return LaunchRecord(
        case=case,
        sequence=sequence,
        round=round_,
        status=Status.WRONG if name in script.WRONG else Status.OK,
        started_at=begun.isoformat(),
        wall_ns=clock(),
        exit_code=0,
        samples=Samples(
            load_ns=1,
            first_tile_ns=first_ns,
            cold_ns=first_ns + 1,
            warmups=warmups,
            tile_ns=timed.tile_ns,
            image_ns=timed.image_ns,
            repeats=timed.repeats,
        ),
        placement=placement,
        fidelity=Fidelity(
            mse=0.0, ssim=1.0, worst_abs=0.0, worst_yx=(0, 0), nan_count=0, inf_count=0, constant_tiles=0
        ),
    )


def _artifact(folder: str) -> LocatedArtifact:
    Path(folder, "fake").write_text(str(SPEC.scale), encoding="utf-8")
    artifact = Artifact(
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
    return LocatedArtifact(folder=folder, artifact=artifact)


def _record(name: str) -> RunRecord:
    settings = suite.load(name)
    return RunRecord(
        esrbench_version="0.1.0",
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=settings.name,
        seed=settings.seed,
        budget_s=settings.budget_s,
        model=ModelRecord(name="none", spec=SPEC, weights_sha256="0" * 64, source="none"),
        reference=REFERENCE,
        workloads=(WORKLOAD,),
        cases=tuple(Case(target=Target(target), workload=WORKLOAD.id) for target in script.TILES_NS),
        environment=describe(),
        settings=settings,
    )


if __name__ == "__main__":
    if sys.argv[1] == "bench":
        sys.exit(bench(dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))))
    from esrbench.cli import main

    main()
