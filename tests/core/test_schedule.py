"""Which case is launched when."""

from hypothesis import given
from hypothesis import strategies as st

from esrbench import schedule
from esrbench.record import Case
from esrbench.target import REFERENCE, Target

FAST = Case(target=Target("ncnn@cpu:fp32"), workload="t64b1")
BASELINE = Case(target=REFERENCE, workload="t64b1")
SLOW = Case(target=Target("ncnn@vulkan:fp32"), workload="t64b1")
CASES = (FAST, BASELINE, SLOW)


def test_a_round_has_the_same_order_for_the_same_seed():
    assert schedule.shuffled(CASES, 1, seed=7) == schedule.shuffled(CASES, 1, seed=7)


def test_rounds_and_seeds_differ_in_order():
    orders = {schedule.shuffled(CASES, round_, seed) for round_ in range(10) for seed in range(3)}
    assert len(orders) == 6  # every permutation of three comes up


def test_every_case_is_in_every_round():
    assert sorted(case.target for case in schedule.shuffled(CASES, 3, 0)) == sorted(case.target for case in CASES)


def test_a_case_too_slow_for_three_rounds_is_not_repeated():
    cost_s = {FAST: 5.0, BASELINE: 6.0, SLOW: 100.0}
    assert set(schedule.repeated(cost_s, left_s=60, max_rounds=5)) == {FAST, BASELINE}


def test_the_baseline_is_repeated_before_faster_cases():
    cost_s = {FAST: 5.0, BASELINE: 20.0}
    assert schedule.repeated(cost_s, left_s=45, max_rounds=5) == (BASELINE,)


def test_nothing_is_repeated_when_no_time_is_left():
    assert schedule.repeated({FAST: 5.0}, left_s=-3, max_rounds=5) == ()


def test_one_round_means_no_repetition():
    assert schedule.repeated({FAST: 5.0}, left_s=1e9, max_rounds=1) == ()


def test_rounds_are_as_many_as_fit_and_no_more_than_allowed():
    cost_s = {FAST: 5.0, BASELINE: 5.0}
    assert schedule.further_rounds(cost_s, left_s=35, max_rounds=5) == 3
    assert schedule.further_rounds(cost_s, left_s=1e6, max_rounds=5) == 4
    assert schedule.further_rounds({}, left_s=1e6, max_rounds=5) == 0


def test_time_that_the_rounds_leave_lengthens_each_measurement():
    cost_s = {FAST: 5.0, BASELINE: 5.0}
    assert schedule.longer_measure_s(1.0, cost_s, rounds=4, left_s=56) == 1.0 + 16 / 8
    assert schedule.longer_measure_s(1.0, cost_s, rounds=4, left_s=1e6) == schedule.MAX_MEASURE_S
    assert schedule.longer_measure_s(1.0, {}, rounds=0, left_s=50) == 1.0


@given(
    costs=st.lists(st.floats(0.1, 300), min_size=3, max_size=3),
    left_s=st.floats(-10, 2000),
    max_rounds=st.integers(1, 20),
)
def test_planned_rounds_never_cost_more_than_what_is_left(costs, left_s, max_rounds):
    cost_s = dict(zip(CASES, costs, strict=True))
    chosen = {case: cost_s[case] for case in schedule.repeated(cost_s, left_s, max_rounds)}
    rounds = schedule.further_rounds(chosen, left_s, max_rounds)
    assert rounds * sum(chosen.values()) <= max(left_s, 0) + 1e-6
    assert rounds < max_rounds
