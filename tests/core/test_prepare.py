"""From a suite to a plan: what is launched and what is refused."""

from types import SimpleNamespace

import msgspec
import pytest
from recorded import TORCH, launch, write_run
from recorded import workload as recorded_workload
from staged import ARTIFACT

from esrbench import prepare, probe, suite, workload
from esrbench.architecture import SRVGGNetSpec
from esrbench.command import Command
from esrbench.command_target import LocatedCommand
from esrbench.errors import UnavailableError
from esrbench.record import Attainable, Case, Status
from esrbench.runner import Availability, DeviceType
from esrbench.store import RunWriter
from esrbench.target import REFERENCE, Precision, Target

SOFTWARE = Availability(
    target=Target("fake@vulkan:fp32"), usable=True, device_name="llvmpipe", device_type=DeviceType.SOFTWARE
)
GPU = Availability(target=Target("fake@cuda:fp16"), usable=True, device_name="a GPU", device_type=DeviceType.GPU)
CPU = Availability(target=Target("fake@cpu:fp32"), usable=True, device_name="a CPU", device_type=DeviceType.CPU)
BASELINE = Availability(target=REFERENCE, usable=True, device_name="a CPU", device_type=DeviceType.CPU)


@pytest.fixture
def asked(monkeypatch):
    found = probe.Probed(targets=(SOFTWARE, GPU, CPU, BASELINE), broken=())
    monkeypatch.setattr(prepare.probe, "ask", lambda names=None: found)
    return lambda name: prepare._asked(suite_of(name))


def suite_of(name):
    """The suite, for whatever targets there are."""
    return msgspec.structs.replace(suite.load(name), only=())


def test_a_suite_for_devices_has_the_reference_beside_them(asked):
    assert [entry.target for entry in asked("gpu")] == [SOFTWARE.target, GPU.target, REFERENCE]


def test_a_suite_for_devices_does_not_wait_for_software(asked):
    gpu = suite_of("gpu")
    assert [entry.target for entry in asked("gpu") if prepare._runs(entry, gpu)] == [GPU.target, REFERENCE]
    refusal = prepare._refusal(SOFTWARE, gpu)
    assert refusal.status is Status.UNAVAILABLE
    assert "llvmpipe" in refusal.reason
    assert "--target fake@vulkan:fp32" in (refusal.remedy or "")


def test_a_suite_may_name_the_only_targets_that_it_measures_beside_the_reference(asked, monkeypatch):
    quick = msgspec.structs.replace(suite.load("quick"), only=("fake@cuda:*",))
    assert [entry.target for entry in prepare._asked(quick)] == [GPU.target, REFERENCE]


def test_a_sweeps_targets_are_those_that_it_names(tmp_path):
    made = suite.Sweep(tiles=(64,), batches=(1, 2), halo=8, targets=("fake@cuda:*",))
    quick = msgspec.structs.replace(suite.load("quick"), sweep=made)
    workloads = [prepare._workload(plan, 1, 1).record for plan in quick.plans]
    cases = prepare._cases([GPU.target, REFERENCE], workloads, quick, REFERENCE)
    swept = [(case.target, case.workload) for case in cases if case.workload != "t48b1"]
    assert swept == [(GPU.target, "t64b1"), (GPU.target, "t64b2")]
    assert [case.control for case in cases].count(True) == 1


def test_a_sweep_is_launched_once_beside_workloads_and_in_every_round_alone(monkeypatch):
    made = suite.Sweep(tiles=(64,), batches=(1,), halo=8)
    for workloads, once in ((suite.load("quick").workloads, 1), ((), 0)):
        each = msgspec.structs.replace(suite.load("quick"), workloads=workloads, sweep=made)
        records = [prepare._workload(plan, 1, 1).record for plan in each.plans]
        cases = prepare._cases([CPU.target], records, each, None)
        record = SimpleNamespace(workloads=records, cases=cases)
        assert len(prepare._launched_once(record, each)) == once


def test_any_other_suite_measures_software_too(asked):
    quick = suite.load("quick")
    assert all(prepare._runs(entry, quick) for entry in asked("quick"))


def test_software_that_is_asked_for_by_name_is_measured_in_any_suite():
    named = suite.override(suite.load("gpu"), suite.Overrides(targets=(SOFTWARE.target,)))
    assert prepare._runs(SOFTWARE, named)


def test_a_suite_for_devices_that_are_not_there_ends_before_any_export(monkeypatch):
    found = probe.Probed(targets=(SOFTWARE, CPU, BASELINE), broken=())
    monkeypatch.setattr(prepare.probe, "ask", lambda names=None: found)
    with pytest.raises(UnavailableError, match=r"software.*fake@vulkan:fp32"):
        prepare.prepare(suite_of("gpu"), threads=1, say=lambda text: None)


@pytest.fixture
def probed(monkeypatch, tmp_path):
    """Prepares a run of the reference on a tiny network; returns its record and the times that devices were probed."""
    import torch

    checkpoint = tmp_path / "tiny.pth"
    shapes = SRVGGNetSpec(convs=1, features=4).parameter_shapes()
    torch.save({"params": {name: torch.zeros(shape) for name, shape in shapes.items()}}, checkpoint)
    calls = []
    roof = Attainable(device="cpu", precision=Precision.FP32, gflops_s=1.0, gbytes_s=1.0, how="scripted")
    monkeypatch.setattr(prepare, "_asked", lambda _: (BASELINE, GPU))
    monkeypatch.setattr(prepare.provision, "artifacts", lambda *_: ({REFERENCE: ARTIFACT}, {}))
    monkeypatch.setattr(prepare.attainable, "probe", lambda *arguments: calls.append(arguments) or (roof,))

    def record_of(recorded=None, **changes):
        plan = suite.Suite(
            name="s",
            model=str(checkpoint),
            workloads=(suite.WorkloadPlan(image="astronaut", crop=(0, 0, 32, 32), tile=16, halo=4),),
            **changes,
        )
        return prepare.prepare(plan, 3, lambda text: None, recorded).record, calls

    return record_of


def test_what_devices_reach_is_probed_once_with_the_runs_threads_and_is_part_of_its_record(probed):
    record, calls = probed()
    assert [roof.how for roof in record.attainable] == ["scripted"]
    ((_, workloads, measured, threads),) = calls
    assert [entry.target for entry in measured] == [REFERENCE]  # the other has no artifact
    assert (workloads[0].tile_px, threads) == (16, 3)


def test_a_suite_can_do_without_the_probe(probed):
    record, calls = probed(roofline=False)
    assert (record.attainable, calls) == ((), [])


def test_a_run_that_goes_on_is_not_probed_again(probed, monkeypatch):
    monkeypatch.setattr(prepare, "_recorded_workloads", lambda run, _: run)
    fresh = workload.prepare(image="astronaut", crop=(32, 32), tile=16, halo=4, batch=1, threads=3, id="t16b1")
    assert probed(recorded=(fresh,))[1] == []


TOOL = Command(name="tool", device="vulkan", command="tool {input} {output}", software=True)


def test_a_suite_that_names_commands_alone_asks_no_runtime(monkeypatch):
    asked = []
    monkeypatch.setattr(prepare.probe, "ask", lambda names: asked.append(names) or probe.Probed(targets=(), broken=()))
    alone = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    found = prepare._asked(msgspec.structs.replace(alone, targets=(TOOL.target,)))
    assert asked == [[]]
    assert [(entry.target, entry.usable) for entry in found] == [(TOOL.target, False)]


def test_a_command_on_a_software_device_is_there_to_be_timed_and_a_runtime_there_is_not(tmp_path):
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    located = LocatedCommand(command=TOOL, program="/tool", device_name="llvmpipe", device_type=DeviceType.SOFTWARE)
    cases = tuple(Case(target=target, workload="t48b1") for target in (REFERENCE, SOFTWARE.target, TOOL.target))
    prepared = prepare.Prepared(
        record=msgspec.structs.replace(write_run(tmp_path / "run", [launch(TORCH)]).record, cases=cases),
        refused={},
        artifacts={REFERENCE: ARTIFACT, SOFTWARE.target: ARTIFACT},
        software=frozenset({SOFTWARE.target, TOOL.target}),
        workloads=(),
        suite=quick,
        commands={TOOL.target: located},
    )
    plan = prepare.plan_of(prepared, RunWriter(tmp_path))
    assert {case.target for case in plan.late} == {SOFTWARE.target, TOOL.target}
    assert {case.target for case in plan.once} == {SOFTWARE.target}
    assert plan.inputs.commands == {TOOL.target: located}
    assert {case.target for case in plan.inputs.artifacts} == {REFERENCE, SOFTWARE.target}


def test_a_command_takes_no_part_in_a_sweep_nor_where_a_batch_is_filled_by_repeating():
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    plain = recorded_workload("t48b1")
    others = [msgspec.structs.replace(plain, id="t48b4", copies=2), msgspec.structs.replace(plain, id="s", sweep=True)]
    cases = prepare._cases([REFERENCE, TOOL.target], [plain, *others], quick, None)
    assert [case.workload for case in cases if case.target == TOOL.target] == ["t48b1"]
    assert [case.workload for case in cases if case.target == REFERENCE] == ["t48b1", "t48b4", "s"]
