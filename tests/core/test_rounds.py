"""One number a launch, and when the launches so far are enough."""

import msgspec
import pytest
from recorded import TORCH, failed, launch, samples

from esrbench.record import Case, LaunchRecord, Status
from esrbench.rounds import Boundary, known_by, level, seconds_by_round, speed_ratio, wide
from esrbench.target import Target

FAST = "ncnn@cpu:fp32"
REFERENCE = Target(TORCH)


def case(target: str) -> Case:
    return Case(target=Target(target), workload="t48b1")


def rounds(target: str, seconds: list[float]) -> list[LaunchRecord]:
    return [launch(target, round_=round_, samples=samples(image_s)) for round_, image_s in enumerate(seconds)]


def test_a_launch_counts_by_the_median_of_each_boundary() -> None:
    made = [launch(TORCH, samples=samples([1.0, 2.0, 9.0], [100.0, 110.0, 500.0]))]
    assert seconds_by_round(made, case(TORCH)) == {0: 2.0}
    assert seconds_by_round(made, case(TORCH), Boundary.TILE) == {0: 0.11}
    assert seconds_by_round(made, case(TORCH), Boundary.COLD) == {0: 2.0}


def test_a_launch_that_did_not_end_ok_counts_for_nothing() -> None:
    made = [launch(TORCH, round_=0), launch(TORCH, round_=1, status=Status.WRONG, samples=samples(1.0))]
    assert list(seconds_by_round([*made, failed(TORCH, Status.CRASHED)], case(TORCH))) == [0]


def test_a_ratio_above_one_is_faster() -> None:
    made = [*rounds(TORCH, [1.0, 1.2]), *rounds(FAST, [0.5, 0.6])]
    found = speed_ratio(made, case(TORCH), case(FAST))
    assert found is not None
    assert found.value == pytest.approx(2.0)


def test_a_case_is_known_by_its_ratio_and_the_reference_by_its_level() -> None:
    made = [*rounds(TORCH, [1.0, 1.2, 0.9]), *rounds(FAST, [0.5, 0.6, 0.45])]
    ratio, own = known_by(made, case(FAST), REFERENCE), known_by(made, case(TORCH), REFERENCE)
    assert ratio is not None
    assert ratio.half_width == pytest.approx(0.0, abs=1e-9)  # the drift is in both
    assert own == level(made, case(TORCH))
    assert own is not None
    assert own.half_width is not None
    assert own.half_width > 0.1


def test_beside_a_reference_that_was_launched_once_a_case_is_known_by_its_level() -> None:
    made = [*rounds(TORCH, [1.0]), *rounds(FAST, [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])]
    assert known_by(made, case(FAST), REFERENCE) == level(made, case(FAST))
    assert not wide(made, [case(FAST)], REFERENCE, 0.01)


def test_a_run_is_narrow_enough_once_every_ratio_is_whatever_the_machines_drift() -> None:
    drift = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    reference, fast = rounds(TORCH, drift), rounds(FAST, [seconds / 2 for seconds in drift])
    cases = [case(TORCH), case(FAST)]
    assert not wide([*reference, *fast], cases, REFERENCE, 0.01)
    assert wide([*reference[:5], *fast[:5]], cases, REFERENCE, 0.01)  # five rounds are too few
    assert wide([*reference, *fast], [*cases, case("torch@cpu:bf16")], REFERENCE, 0.01)


def test_the_reference_under_a_second_name_counts_by_its_ratio() -> None:
    drift = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    control = Case(target=REFERENCE, workload="t48b1", control=True)
    second = [msgspec.structs.replace(made, case=control) for made in rounds(TORCH, drift)]
    assert not wide([*rounds(TORCH, drift), *second], [case(TORCH), control], REFERENCE, 0.01)


def test_alone_the_reference_is_judged_by_its_own_level() -> None:
    assert wide(rounds(TORCH, [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]), [case(TORCH)], REFERENCE, 0.01)
    assert not wide(rounds(TORCH, [1.0] * 6), [case(TORCH)], REFERENCE, 0.01)
