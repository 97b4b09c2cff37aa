"""Which targets a suite asks for, and which of them are launched."""

import msgspec
import pytest

from esrbench import probe, roster, suite
from esrbench.command import Command
from esrbench.errors import UnavailableError, UnknownNameError
from esrbench.record import Status
from esrbench.runner import Availability, DeviceType
from esrbench.target import REFERENCE, Target

SOFTWARE = Availability(
    target=Target("fake@vulkan:fp32"), usable=True, device_name="llvmpipe", device_type=DeviceType.SOFTWARE
)
GPU = Availability(target=Target("fake@cuda:fp16"), usable=True, device_name="a GPU", device_type=DeviceType.GPU)
CPU = Availability(target=Target("fake@cpu:fp32"), usable=True, device_name="a CPU", device_type=DeviceType.CPU)
BASELINE = Availability(target=REFERENCE, usable=True, device_name="a CPU", device_type=DeviceType.CPU)
TOOL = Command(name="tool", device="vulkan", command="tool {input} {output}", software=True)


@pytest.fixture(autouse=True)
def answer(monkeypatch):
    """Sets what the runtimes say of themselves; returns which of them were asked."""

    def answer(*targets):
        names = []
        found = probe.Probed(targets=targets, broken=())
        monkeypatch.setattr(roster.probe, "ask", lambda asked, environment: names.append(list(asked)) or found)
        return names

    answer(SOFTWARE, GPU, CPU, BASELINE)
    return answer


def suite_of(name, **changes):
    """The suite, for whatever targets there are."""
    return msgspec.structs.replace(suite.load(name), **({"only": ()} | changes))


def targets(entries):
    return [entry.target for entry in entries]


def test_a_suite_for_devices_has_the_reference_beside_them():
    assert targets(roster.ask(suite_of("gpu")).asked) == [SOFTWARE.target, GPU.target, REFERENCE]


def test_a_suite_for_devices_does_not_wait_for_software():
    found = roster.ask(suite_of("gpu"))
    assert targets(found.usable) == [GPU.target, REFERENCE]
    refusal = found.refused[SOFTWARE.target]
    assert refusal.status is Status.UNAVAILABLE
    assert "llvmpipe" in refusal.reason
    assert "--target fake@vulkan:fp32" in (refusal.remedy or "")


def test_a_suite_may_name_the_only_targets_that_it_measures_beside_the_reference():
    assert targets(roster.ask(suite_of("quick", only=("fake@cuda:*",))).asked) == [GPU.target, REFERENCE]


def test_any_other_suite_measures_software_too():
    found = roster.ask(suite_of("quick"))
    assert found.usable == found.asked
    assert found.software == {SOFTWARE.target}


def test_software_that_is_asked_for_by_name_is_measured_in_any_suite(monkeypatch):
    monkeypatch.setattr(roster.plugins, "runner", lambda name: None)  # the made-up runtime is no plug-in
    named = suite.override(suite_of("gpu"), suite.Overrides(targets=(SOFTWARE.target,)))
    assert targets(roster.ask(named).usable) == [SOFTWARE.target]


def test_a_target_that_is_not_usable_is_refused_with_its_reason(answer):
    answer(msgspec.structs.replace(GPU, usable=False, reason="no driver", remedy="install it"), BASELINE)
    found = roster.ask(suite_of("quick"))
    assert targets(found.usable) == [REFERENCE]
    assert found.refused[GPU.target].reason == "no driver"
    assert found.refused[GPU.target].remedy == "install it"


def test_a_runtime_that_there_is_not_is_refused_before_any_is_asked(answer):
    asked = answer(BASELINE)
    with pytest.raises(UnknownNameError, match="nosuch"):
        roster.ask(suite.override(suite_of("quick"), suite.Overrides(targets=("nosuch@cpu:fp32",))))
    assert asked == []


def test_a_suite_for_devices_that_are_not_there_is_refused(answer):
    answer(SOFTWARE, CPU, BASELINE)
    with pytest.raises(UnavailableError, match=r"none of the targets.*software.*fake@vulkan:fp32"):
        roster.ask(suite_of("gpu"))


def test_a_suite_that_names_commands_alone_asks_no_runtime(answer):
    asked = answer()
    alone = suite.override(suite_of("quick"), suite.Overrides(commands=(TOOL,)))
    with pytest.raises(UnavailableError, match=r"tool@vulkan:fp32"):  # there is no such program
        roster.ask(msgspec.structs.replace(alone, targets=(TOOL.target,)))
    assert asked == [[]]


def test_a_command_on_a_software_device_is_measured_in_a_suite_for_devices_too(monkeypatch):
    known = Availability(target=TOOL.target, usable=True, device_type=DeviceType.SOFTWARE)
    monkeypatch.setattr(roster.command_target, "availability", lambda *_: known)
    gpu = suite.override(suite_of("gpu"), suite.Overrides(commands=(TOOL,)))
    assert targets(roster.ask(gpu).usable) == [GPU.target, REFERENCE, TOOL.target]
