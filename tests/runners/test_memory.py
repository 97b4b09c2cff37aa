"""A real runtime with a memory is found out, and without one it is not."""

import time
from pathlib import Path

import msgspec
import pytest

from esrbench import plugins, workload
from esrbench.artifact import PYTORCH
from esrbench.job import Job
from esrbench.launch import launch
from esrbench.launcher import ONE_PASS
from esrbench.measure import LoopPlan
from esrbench.record import Status
from esrbench.runner import Runner
from esrbench.target import REFERENCE, Precision
from esrbench_runners.torch_eager import TorchRunner


class Memo(TorchRunner):
    """As inference servers cache responses: each batch is computed once."""

    def session(self, network, target, options):
        session = super().session(network, target, options)
        run, seen = session.run, {}

        def answer(tiles):
            key = tiles.tobytes()
            if key not in seen:
                seen[key] = run(tiles)
            return seen[key]

        session.run = answer
        return session


@pytest.fixture
def launched(get_artifact, tmp_path: Path, monkeypatch):
    """Launch in this process, the reference drawn before."""
    prepared = workload.prepare(image="astronaut", crop=(80, 200, 40, 60), tile=32, halo=4, batch=1, threads=2, id="w")
    prepared.save(tmp_path / "input.png")
    job = Job(
        target=REFERENCE,
        artifact=get_artifact(PYTORCH, Precision.FP32),
        workload=prepared.record,
        input_picture=str(tmp_path / "input.png"),
        reference=str(tmp_path / "reference.npy"),
        makes_reference=True,
        picture=str(tmp_path / "picture.png"),
        loop=ONE_PASS,
        spawned_ns=0,
    )
    launch(job, time.perf_counter_ns, lambda _: None)

    def outcome(runner: Runner, batch: int):
        monkeypatch.setattr(plugins, "runner", lambda _: runner)
        filled = msgspec.structs.replace(job.workload, batch=batch, copies=batch)
        loop = LoopPlan(warmup_s=0.05, measure_s=0.1)
        measured = msgspec.structs.replace(job, workload=filled, loop=loop, makes_reference=False, seed=batch)
        return launch(measured, time.perf_counter_ns, lambda _: None)

    return outcome


@pytest.mark.parametrize("batch", [1, 4])
def test_torch_with_a_response_cache_is_wrong(launched, batch):
    outcome = launched(Memo(), batch)
    assert outcome.status is Status.WRONG
    assert outcome.reason.startswith("answers repeated tiles from memory: ")


@pytest.mark.parametrize("batch", [1, 4])
def test_torch_without_one_is_ok(launched, batch):
    outcome = launched(TorchRunner(), batch)
    assert (outcome.status, outcome.reason) == (Status.OK, None)
