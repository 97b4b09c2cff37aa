"""A launch holds a runner to its target."""

import msgspec
import pytest

from esrbench.errors import PlacementError
from esrbench.launch import _check_placement
from esrbench.runner import DeviceType, Placement
from esrbench.target import Precision, Target

TARGET = Target("fake@cuda:fp16")
PLACED = Placement(
    device_name="a GPU",
    device_type=DeviceType.GPU,
    provider="cuda",
    precision=Precision.FP16,
    nodes={},
    options={},
    versions={},
)


def test_a_runner_that_was_where_it_should_be_is_believed():
    _check_placement(PLACED, TARGET)
    _check_placement(msgspec.structs.replace(PLACED, device_type=DeviceType.SOFTWARE), Target("fake@vulkan:fp16"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": Precision.FP32}, "fp16 was asked for, it ran fp32"),
        ({"device_type": DeviceType.CPU}, "cuda was asked for, it ran on the CPU"),
    ],
)
def test_a_fallback_that_a_runner_reports_without_refusing_it_is_refused(changes, message):
    with pytest.raises(PlacementError, match=message):
        _check_placement(msgspec.structs.replace(PLACED, **changes), TARGET)
