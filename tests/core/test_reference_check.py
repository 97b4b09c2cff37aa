"""The reference against an evaluation of its own, in float64."""

import time

import msgspec
import numpy as np
import pytest
import torch
from recorded import TORCH, write_run
from recorded import launch as launched
from recorded import workload as workload_record
from staged import ARTIFACT, job_in

from esrbench import launch, plugins, reference_check, workload
from esrbench.architecture import RRDBNetSpec
from esrbench.artifact import LocatedArtifact, describe_file
from esrbench.job import Outcome
from esrbench.launcher import ONE_PASS, Inputs, Launcher
from esrbench.process import Ended
from esrbench.record import Case, ReferenceCheck, Status
from esrbench.report.page import page
from esrbench.runner import LoadOptions
from esrbench.store import RunWriter
from esrbench.target import REFERENCE

SPEC = RRDBNetSpec(blocks=1, features=16, growth=8, scale=2)


@pytest.fixture
def artifact(tmp_path):
    """A small random network that takes even sides only."""
    generator = torch.Generator().manual_seed(0)
    shapes = SPEC.parameter_shapes()
    weights = {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}
    torch.save({"params_ema": weights}, tmp_path / "net.pth")
    files = (describe_file(tmp_path / "net.pth"),)
    return LocatedArtifact(
        folder=str(tmp_path), artifact=msgspec.structs.replace(ARTIFACT.artifact, spec=SPEC, files=files)
    )


@pytest.fixture
def job(artifact, tmp_path):
    prepared = workload.prepare(
        image="astronaut", crop=(80, 200, 31, 31), tile=30, halo=4, batch=1, threads=1, id="w", multiple=2
    )
    now_ns = time.perf_counter_ns()
    return job_in(
        tmp_path,
        prepared,
        REFERENCE,
        artifact,
        makes_reference=True,
        checks_reference=True,
        loop=ONE_PASS,
        spawned_ns=now_ns,
    )


def test_the_reference_agrees_with_float64_far_beyond_its_gate(job):
    outcome = launch.launch(job, time.perf_counter_ns, list)
    assert (outcome.status, outcome.reason) == (Status.OK, None)
    assert outcome.reference_check.side_px == 24
    assert 0 < outcome.reference_check.mse < 1e-11  # 110 dB


def test_a_reference_that_computes_in_bf16_is_no_reference(job, monkeypatch):
    runner = plugins.runner("torch")

    class Lowered(type(runner)):
        def load(self, artifact, target, options: LoadOptions):
            session = super().load(artifact, target, options)
            session._network = session._network.to(torch.bfloat16)
            session._dtype = torch.bfloat16
            return session

    monkeypatch.setattr(launch.plugins, "runner", lambda _: Lowered())
    outcome = launch.launch(job, time.perf_counter_ns, list)
    assert outcome.status is Status.WRONG
    assert "a tile of 24 px evaluated in float64 differs to" in outcome.reason
    assert "patched torch" in outcome.remedy


def test_a_reference_that_draws_no_number_is_refused():
    assert reference_check.failure(ReferenceCheck(side_px=24, mse=1.0, seconds=1.0))
    assert reference_check.failure(ReferenceCheck(side_px=24, mse=0.0, seconds=1.0)) is None


@pytest.mark.parametrize("mse", [-1.0, float("nan"), float("inf")])
def test_a_check_that_cannot_be_is_refused(mse):
    with pytest.raises(ValueError, match="cannot be"):
        ReferenceCheck(side_px=24, mse=mse, seconds=1.0)


def test_a_small_tile_is_taken_whole_in_sides_that_the_network_takes():
    assert reference_check._middle(np.zeros((1, 31, 17, 3), np.float32), 2).shape == (1, 16, 16, 3)


def test_the_page_tells_the_worst_check_of_a_run(tmp_path):
    checks = [ReferenceCheck(side_px=24, mse=mse, seconds=1.0) for mse in (1e-14, 1e-12)]
    run = write_run(
        tmp_path, [launched(TORCH, round_=round_, reference_check=each) for round_, each in enumerate(checks)]
    )
    assert "a tile of 24 px in float64 as well: 120.0 dB apart" in page([run], [[]])


def test_launches_name_the_check_of_the_reference_that_they_are_compared_with(tmp_path, monkeypatch):
    check = ReferenceCheck(side_px=24, mse=1e-14, seconds=1.0)
    asked = []

    def run(_launcher, job, _log, _timeout_s):
        asked.append(job.checks_reference)
        found = check if job.checks_reference else None
        return Outcome(status=Status.OK, reference_check=found), Ended(exit_code=0, timed_out=False, wall_ns=1)

    monkeypatch.setattr(Launcher, "_run", run)
    workloads = {each.id: each for each in (workload_record("a", tile=24), workload_record("b", tile=48))}
    inputs = Inputs(workloads=workloads, pictures=dict.fromkeys(workloads, tmp_path), artifacts={}, reference=ARTIFACT)
    launcher = Launcher(inputs, RunWriter(tmp_path), tmp_path)
    for each in workloads:
        launcher.draw_reference(each, 1.0)
    case = Case(target=REFERENCE, workload="a")
    record = launcher.launch(case, sequence=0, round_=0, loop=ONE_PASS, timeout_s=1.0)
    assert (asked, record.reference_check) == ([True, False, False], check)
