"""From a suite to a plan: what is launched and what is refused."""

import msgspec
import pytest
from recorded import TORCH, launch, write_run
from staged import ARTIFACT

from esrbench import prepare, probe, roster, suite, workload
from esrbench.architecture import SRVGGNetSpec
from esrbench.command import Command
from esrbench.command_target import LocatedCommand
from esrbench.errors import UnavailableError, UsageError
from esrbench.plan import Refusal
from esrbench.record import Attainable, Case, Status
from esrbench.runner import Availability, DeviceType
from esrbench.store import RunWriter
from esrbench.system import child_environment
from esrbench.target import REFERENCE, Precision, Target

SOFTWARE = Availability(
    target=Target("fake@vulkan:fp32"), usable=True, device_name="llvmpipe", device_type=DeviceType.SOFTWARE
)
GPU = Availability(target=Target("fake@cuda:fp16"), usable=True, device_name="a GPU", device_type=DeviceType.GPU)
CPU = Availability(target=Target("fake@cpu:fp32"), usable=True, device_name="a CPU", device_type=DeviceType.CPU)
BASELINE = Availability(target=REFERENCE, usable=True, device_name="a CPU", device_type=DeviceType.CPU)


def suite_of(name):
    """The suite, for whatever targets there are."""
    return msgspec.structs.replace(suite.load(name), only=())


def test_a_suite_for_devices_that_are_not_there_ends_before_any_export(monkeypatch):
    found = probe.Probed(targets=(SOFTWARE, CPU, BASELINE), broken=())
    monkeypatch.setattr(roster.probe, "ask", lambda names, environment: found)
    monkeypatch.setattr(prepare.provision, "artifacts", lambda *_: pytest.fail("it exported"))
    with pytest.raises(UnavailableError, match=r"software.*fake@vulkan:fp32"):
        prepare.prepare(suite_of("gpu"), threads=1, say=lambda text: None)


@pytest.fixture
def prepared(monkeypatch, tmp_path):
    """Prepares a run of a tiny network: the reference, a GPU whose export fails, a software device that is refused.

    Returns what was prepared and the calls of the probe of what devices reach.
    """
    import torch

    checkpoint = tmp_path / "tiny.pth"
    shapes = SRVGGNetSpec(convs=1, features=4).parameter_shapes()
    torch.save({"params": {name: torch.zeros(shape) for name, shape in shapes.items()}}, checkpoint)
    calls = []
    roof = Attainable(device="cpu", precision=Precision.FP32, gflops_s=1.0, gbytes_s=1.0, how="scripted")
    known = roster.Roster(
        asked=(BASELINE, GPU, SOFTWARE), usable=(BASELINE, GPU), refused={SOFTWARE.target: refusal("not real")}
    )
    failed = {GPU.target: refusal("the export failed")}
    monkeypatch.setattr(prepare.roster, "ask", lambda _: known)
    monkeypatch.setattr(prepare.provision, "artifacts", lambda *_: ({REFERENCE: ARTIFACT}, failed))
    monkeypatch.setattr(prepare.attainable, "probe", lambda *arguments: calls.append(arguments) or (roof,))

    def prepared(recorded=None, say=lambda text: None, **changes):
        plan = suite.Suite(
            name="s",
            model=str(checkpoint),
            workloads=(suite.WorkloadPlan(image="astronaut", crop=(0, 0, 32, 32), tile=16, halo=4),),
            **changes,
        )
        return prepare.prepare(plan, 3, say, recorded), calls

    return prepared


def refusal(reason):
    return Refusal(status=Status.UNAVAILABLE, reason=reason)


def test_what_cannot_run_or_be_exported_has_a_case_and_its_reason(prepared):
    found, _ = prepared()
    reasons = {target: each.reason for target, each in found.refused.items()}
    assert reasons == {SOFTWARE.target: "not real", GPU.target: "the export failed"}
    assert {case.target for case in found.record.cases} == {REFERENCE, GPU.target, SOFTWARE.target}
    assert found.software == {SOFTWARE.target}


def test_the_tiles_of_a_sweep_are_cut_from_the_middle_and_marked_as_such(prepared):
    found, _ = prepared(sweep=suite.Sweep(tiles=(24,), batches=(1,), halo=4))
    own, swept = found.record.workloads
    assert (own.sweep, own.left_px, own.width_px) == (False, 0, 32)
    assert (swept.sweep, swept.left_px, swept.width_px) == (True, (512 - 16) // 2, 16)  # astronaut has 512 px


def test_what_devices_reach_is_probed_once_with_the_runs_threads_and_is_part_of_its_record(prepared):
    found, calls = prepared()
    assert [roof.how for roof in found.record.attainable] == ["scripted"]
    ((_, workloads, measured, threads),) = calls
    assert [entry.target for entry in measured] == [REFERENCE]  # the others have no artifact
    assert (workloads[0].tile_px, threads) == (16, 3)


def test_a_suite_can_do_without_the_probe(prepared):
    found, calls = prepared(roofline=False)
    assert (found.record.attainable, calls) == ((), [])


def test_a_run_that_goes_on_is_not_probed_again(prepared, monkeypatch):
    monkeypatch.setattr(prepare, "_recorded_workloads", lambda run, _: run)
    fresh = workload.prepare(image="astronaut", crop=(32, 32), tile=16, halo=4, batch=1, threads=3, id="t16b1")
    assert prepared(recorded=(fresh,))[1] == []


TOOL = Command(name="tool", device="vulkan", command="tool {input} {output}", software=True)


def test_a_command_on_a_software_device_is_there_to_be_timed_and_a_runtime_there_is_not(tmp_path):
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    located = LocatedCommand(command=TOOL, program="/tool", device_name="llvmpipe", device_type=DeviceType.SOFTWARE)
    cases = tuple(Case(target=target, workload="t48b1") for target in (REFERENCE, SOFTWARE.target, TOOL.target))
    made = prepare.Prepared(
        record=msgspec.structs.replace(write_run(tmp_path / "run", [launch(TORCH)]).record, cases=cases),
        refused={},
        artifacts={REFERENCE: ARTIFACT, SOFTWARE.target: ARTIFACT},
        software=frozenset({SOFTWARE.target, TOOL.target}),
        workloads=(),
        suite=quick,
        commands={TOOL.target: located},
    )
    plan = prepare.plan_of(made, RunWriter(tmp_path))
    assert {case.target for case in plan.late} == {SOFTWARE.target, TOOL.target}
    assert {case.target for case in plan.once} == {SOFTWARE.target}
    assert plan.inputs.commands == {TOOL.target: located}
    assert {case.target for case in plan.inputs.artifacts} == {REFERENCE, SOFTWARE.target}


def test_the_variables_of_launches_are_recorded_and_what_is_dropped_is_said(prepared, monkeypatch):
    for name in child_environment.dropped():
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    monkeypatch.setenv("OMP_PROC_BIND", "true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    said = []
    found, _ = prepared(say=said.append, environment={"OMP_PROC_BIND": "close"})
    told = found.record.launch_environment
    assert (told.asked, told.dropped) == ({"OMP_PROC_BIND": "close"}, ("OMP_THREAD_LIMIT",))
    assert told.passed["CUDA_VISIBLE_DEVICES"] == "0"
    dropped = "dropped from the environment of launches: OMP_THREAD_LIMIT; give --env NAME=VALUE to keep one"
    assert dropped in said


def test_a_suite_cannot_contradict_its_thread_budget(prepared):
    with pytest.raises(UsageError, match="OMP_NUM_THREADS is set to the thread budget"):
        prepared(environment={"OMP_NUM_THREADS": "1"})
