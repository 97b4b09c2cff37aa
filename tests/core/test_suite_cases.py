"""Which cases a suite's targets and workloads make."""

from types import SimpleNamespace

import msgspec
import pytest
from recorded import workload as recorded_workload

from esrbench import suite
from esrbench.command import Command
from esrbench.errors import UsageError
from esrbench.suite_cases import check_commands, combine, launched_once
from esrbench.target import REFERENCE, Target

GPU = Target("fake@cuda:fp16")
CPU = Target("fake@cpu:fp32")
TOOL = Command(name="tool", device="vulkan", command="tool {input} {output}", software=True)


def workloads_of(plans):
    return [msgspec.structs.replace(recorded_workload(plan.id), sweep=plan.sweep) for plan in plans]


def test_a_sweeps_targets_are_those_that_it_names():
    made = suite.Sweep(tiles=(64,), batches=(1, 2), halo=8, targets=("fake@cuda:*",))
    quick = msgspec.structs.replace(suite.load("quick"), sweep=made)
    found = combine(quick, [GPU, REFERENCE], workloads_of(quick.plans), [GPU, REFERENCE])
    swept = [(case.target, case.workload) for case in found if case.workload != "t48b1"]
    assert swept == [(GPU, "t64b1"), (GPU, "t64b2")]
    assert [case.target for case in found if case.control] == [REFERENCE]


def test_a_sweep_is_launched_once_beside_workloads_and_in_every_round_alone():
    made = suite.Sweep(tiles=(64,), batches=(1,), halo=8)
    for workloads, once in ((suite.load("quick").workloads, 1), ((), 0)):
        each = msgspec.structs.replace(suite.load("quick"), workloads=workloads, sweep=made, control=False)
        records = workloads_of(each.plans)
        record = SimpleNamespace(workloads=records, cases=combine(each, [CPU], records, [CPU]))
        assert len(launched_once(record, each)) == once


def test_the_control_is_the_first_target_on_a_device_in_a_suite_for_devices():
    gpu = suite.load("gpu")
    found = combine(gpu, [GPU, REFERENCE], workloads_of(gpu.plans), [REFERENCE, GPU])
    assert [case.target for case in found if case.control] == [GPU]


def test_a_single_round_has_no_control():
    once = msgspec.structs.replace(suite.load("quick"), max_rounds=1)
    assert not any(case.control for case in combine(once, [REFERENCE], workloads_of(once.plans), [REFERENCE]))


def test_a_command_takes_no_part_in_a_sweep_nor_where_a_batch_is_filled_by_repeating():
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    plain = recorded_workload("t48b1")
    others = [msgspec.structs.replace(plain, id="t48b4", copies=2), msgspec.structs.replace(plain, id="s", sweep=True)]
    found = combine(quick, [REFERENCE, TOOL.target], [plain, *others], ())
    assert [case.workload for case in found if case.target == TOOL.target] == ["t48b1"]
    assert [case.workload for case in found if case.target == REFERENCE] == ["t48b1", "t48b4", "s"]


def test_a_suite_for_devices_launches_its_reference_once():
    gpu = suite.load("gpu")
    records = workloads_of(gpu.plans)[:1]
    record = SimpleNamespace(workloads=records, cases=combine(gpu, [GPU, REFERENCE], records, [GPU, REFERENCE]))
    assert {case.target for case in launched_once(record, gpu)} == {REFERENCE}


def test_a_command_that_no_workload_suits_is_refused():
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(TOOL,)))
    check_commands(quick, [recorded_workload("t48b1")])
    with pytest.raises(UsageError, match=r"tool@vulkan:fp32 draws a picture a call; .* --batch 1"):
        check_commands(quick, [msgspec.structs.replace(recorded_workload("t48b4"), copies=2)])


def test_a_command_whose_borders_leave_nothing_to_compare_is_refused():
    plain = recorded_workload("t48b1")
    wide = msgspec.structs.replace(TOOL, border_px=plain.height_px)
    quick = suite.override(suite.load("quick"), suite.Overrides(commands=(wide,)))
    with pytest.raises(UsageError, match="border"):
        check_commands(quick, [plain])
