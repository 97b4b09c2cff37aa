"""Which case is launched when."""

from hypothesis import given
from hypothesis import strategies as st
from recorded import failed, launch

from esrbench import schedule
from esrbench.record import Case, Status
from esrbench.target import REFERENCE, Target

FAST = Case(target=Target("ncnn@cpu:fp32"), workload="t64b1")
BASELINE = Case(target=REFERENCE, workload="t64b1")
SLOW = Case(target=Target("ncnn@vulkan:fp32"), workload="t64b1")
CASES = (FAST, BASELINE, SLOW)


def part(cost_s, left_s, round_=1):
    return set(schedule.taking_part(cost_s, left_s, round_, [BASELINE]))


def took(target, *wall_s):
    import msgspec

    return [
        msgspec.structs.replace(launch(target, round_=round_, workload_id="t64b1"), wall_ns=round(s * 1e9))
        for round_, s in enumerate(wall_s)
    ]


def test_a_round_has_the_same_order_for_the_same_seed():
    assert schedule.shuffled(CASES, 1, seed=7) == schedule.shuffled(CASES, 1, seed=7)


def test_rounds_and_seeds_differ_in_order():
    orders = {schedule.shuffled(CASES, round_, seed) for round_ in range(10) for seed in range(3)}
    assert len(orders) == 6  # every permutation of three comes up


def test_every_case_is_in_every_round():
    assert sorted(case.target for case in schedule.shuffled(CASES, 3, 0)) == sorted(case.target for case in CASES)


def test_a_case_costs_the_least_that_one_of_its_launches_took():
    launches = [*took("ncnn@cpu:fp32", 60, 5, 6), *took("torch@cpu:fp32", 7)]
    assert schedule.costs_s(launches) == {FAST: 5, BASELINE: 7}


def test_a_case_with_a_launch_that_failed_is_not_repeated_unless_others_are_compared_with_it():
    crash = [failed(target, Status.CRASHED) for target in ("ncnn@cpu:fp32", "torch@cpu:fp32")]
    crashes = [launch(each.case.target, status=each.status, workload_id="t64b1", round_=1) for each in crash]
    launches = [*took("ncnn@cpu:fp32", 5), *took("torch@cpu:fp32", 7), *crashes]
    assert schedule.costs_s(launches) == {}
    assert schedule.costs_s(launches, despite_failure=[BASELINE]) == {BASELINE: 7}


def test_a_case_too_slow_for_three_rounds_does_not_take_them_from_the_others():
    cost_s = {FAST: 5.0, BASELINE: 6.0, SLOW: 20.0}
    assert part(cost_s, left_s=60) == {FAST, BASELINE}
    assert part(cost_s, left_s=62) == {FAST, BASELINE, SLOW}


def test_once_the_others_can_have_three_rounds_it_comes_back_where_one_launch_fits():
    cost_s = {FAST: 5.0, BASELINE: 6.0, SLOW: 20.0}
    assert part(cost_s, left_s=31, round_=2) == {FAST, BASELINE, SLOW}
    assert part(cost_s, left_s=30, round_=2) == {FAST, BASELINE}


def test_a_case_whose_reference_does_not_fit_is_not_launched_without_it():
    assert part({FAST: 5.0, BASELINE: 20.0}, left_s=20) == set()


def test_a_reference_that_nothing_follows_is_not_launched_unless_it_is_alone():
    assert part({FAST: 30.0, BASELINE: 5.0}, left_s=40) == set()
    assert part({BASELINE: 5.0}, left_s=40) == {BASELINE}


def test_workloads_do_not_wait_for_each_others_reference():
    large = Case(target=REFERENCE, workload="t512b1")
    chosen = schedule.taking_part({BASELINE: 5.0, FAST: 4.0, large: 500.0}, 40, 1, [BASELINE, large])
    assert set(chosen) == {BASELINE, FAST}


def test_a_control_is_dropped_first_and_nothing_waits_for_it():
    control = Case(target=REFERENCE, workload="t64b1", control=True)
    costs = {control: 4.0, BASELINE: 5.0, FAST: 6.0}
    for left_s, chosen in ((45, {BASELINE, FAST, control}), (33, {BASELINE, FAST}), (14, set())):
        assert set(schedule.taking_part(costs, left_s, 0, [BASELINE, control])) == chosen


def test_nothing_is_repeated_when_no_time_is_left():
    assert part({FAST: 5.0}, left_s=-3) == set()


@given(
    st.lists(st.floats(0.5, 200), min_size=3, max_size=3),
    st.floats(-50, 2000),
    st.integers(min_value=1, max_value=9),
)
def test_a_planned_round_never_costs_more_than_what_is_left(costs, left_s, round_):
    cost_s = dict(zip(CASES, costs, strict=True))
    chosen = schedule.taking_part(cost_s, left_s, round_, [BASELINE])
    assert sum(cost_s[case] for case in chosen) * max(1, 3 - round_) <= max(left_s, 0) + 1e-6
