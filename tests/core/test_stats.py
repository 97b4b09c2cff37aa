"""Statistics against values worked out by hand or taken from a named table."""

import math
import random

import pytest

from esrbench.stats import Estimate, estimate, is_narrow, median, min_samples, percentile, spread


def test_the_interval_of_two_rounds_is_that_of_students_t_with_one_degree_of_freedom() -> None:
    found = estimate([math.exp(1.0), math.exp(1.2)])
    # logs 1.0 and 1.2: mean 1.1, standard error 0.1, t(0.975, 1) = 12.706 (any table of Student's t)
    assert found is not None
    assert found.value == pytest.approx(math.exp(1.1))
    assert found.low == pytest.approx(math.exp(1.1 - 1.2706), rel=1e-4)
    assert found.high == pytest.approx(math.exp(1.1 + 1.2706), rel=1e-4)
    assert found.half_width == pytest.approx(math.exp(1.2706) - 1, rel=1e-4)
    assert found.rounds == 2


def test_the_interval_of_five_rounds_is_students_and_of_six_their_range() -> None:
    # logs 1 to 5: mean 3, standard deviation √2.5, t(0.975, 4) = 2.776: half width 2.776 √(2.5 / 5) = 1.963
    five = estimate([math.exp(value) for value in (1, 2, 3, 4, 5)])
    assert five is not None
    assert five.low == pytest.approx(math.exp(3 - 1.963), rel=1e-3)
    # six values: the signed-rank interval of 95 % leaves nothing out (Hollander, Wolfe & Chicken, table A.4)
    six = estimate([math.exp(value) for value in (1, 2, 3, 4, 5, 9)])
    assert six is not None
    assert (six.low, six.high) == pytest.approx((math.exp(1), math.exp(9)))
    assert six.value == pytest.approx(math.exp(3.5))  # the middle of the 21 pair means


def test_one_disturbed_round_in_a_dozen_moves_the_centre_by_less_than_the_others_spread() -> None:
    quiet = [1.00, 1.01, 0.99, 1.02, 0.98, 1.00, 1.01, 0.99, 1.00, 1.01, 0.99]
    found = estimate([*quiet, 1.30])
    assert found is not None
    assert found.value == pytest.approx(1.0, abs=0.01)
    assert found.high is not None
    assert found.high < 1.02


def test_under_six_rounds_the_centre_is_the_middle_one_and_bears_what_disturbs_a_launch() -> None:
    for values, centre in (([1.0, 1.1, 9.0], 1.1), ([0.1, 1.0, 1.1, 1.2, 9.0], 1.1), ([1.0, 1.1, 1.21, 9.0], 1.1537)):
        found = estimate(values)
        assert found is not None
        assert found.value == pytest.approx(centre, rel=1e-4)


def test_the_centre_lies_within_its_interval_however_the_rounds_lie() -> None:
    chance = random.Random(3)
    for count in range(2, 13):
        for heavy in (1.0, 6.0):
            for _ in range(40):
                found = estimate([math.exp(heavy ** chance.uniform(-1, 2) * chance.gauss(0, 1)) for _ in range(count)])
                assert found is not None
                assert found.low is not None
                assert found.high is not None
                assert found.low <= found.value * (1 + 1e-9)
                assert found.value <= found.high * (1 + 1e-9)


def test_an_interval_tenfold_wide_says_nothing_and_one_round_contradicts_nothing() -> None:
    assert [Estimate(value=1.0, low=1.0, high=high).is_known for high in (9.9, 10.0, 3071.0)] == [True, False, False]
    assert Estimate(value=1.0).is_known


def test_one_round_has_a_value_and_no_interval() -> None:
    found = estimate([4.0])
    assert found is not None
    assert (found.value, found.low, found.high, found.half_width) == (4.0, None, None, None)


def test_nothing_has_no_estimate_no_median_no_spread() -> None:
    assert estimate([]) is None
    assert median([]) is None
    assert spread([1.0]) is None


def test_no_run_may_end_on_fewer_than_six_rounds_however_narrow() -> None:
    assert not is_narrow(estimate([1.0] * 5), 0.01)
    assert is_narrow(estimate([1.0] * 6), 0.01)
    assert not is_narrow(estimate([1.0, 1.0, 1.0, 1.0, 1.0, 1.03]), 0.01)
    assert not is_narrow(None, 0.01)


@pytest.mark.parametrize(("percent", "samples"), [(90, 64), (99, 662)])
def test_a_percentile_takes_as_many_samples_as_mlperf_says(percent: float, samples: int) -> None:
    assert min_samples(percent) == samples
    assert percentile([1.0] * (samples - 1), percent) is None
    assert percentile([1.0] * samples, percent) == 1.0


def test_a_percentile_is_a_sample_that_nine_in_ten_do_not_exceed() -> None:
    assert percentile(list(range(1, 101)), 90) == 90


def test_the_spread_is_a_fraction_of_the_median() -> None:
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.2)
