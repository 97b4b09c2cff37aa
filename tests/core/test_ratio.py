"""Ratios against values worked out by hand and against SciPy's tests."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from esrbench.ratio import paired_ratio, unpaired_ratio
from esrbench.stats import estimate


def test_a_drift_that_both_share_cancels_in_the_paired_ratio() -> None:
    base = {0: 1.0, 1: 1.5, 2: 0.7}
    found = paired_ratio(base, {round_: 2 * value for round_, value in base.items()})
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_rounds_that_only_one_side_has_are_left_out_of_the_ratio() -> None:
    found = paired_ratio({0: 1.0, 1: 1.0, 3: 9.0}, {0: 2.0, 1: 2.0, 2: 77.0})
    assert found is not None
    assert (found.value, found.rounds) == (pytest.approx(2.0), 2)
    assert paired_ratio({0: 1.0}, {1: 1.0}) is None


def test_over_few_rounds_a_ratio_of_centres_is_the_centre_of_the_ratios() -> None:
    base, head = [1.0, 2.0, 3.0], [2.0, 5.0, 4.0]
    centres = [estimate(values) for values in (base, head)]
    ratio = paired_ratio(dict(enumerate(base)), dict(enumerate(head)))
    assert centres[0] is not None
    assert centres[1] is not None
    assert ratio is not None
    assert ratio.value == pytest.approx(centres[1].value / centres[0].value)


def test_the_p_value_of_few_rounds_is_that_of_students_t() -> None:
    found = paired_ratio({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.02, 1: 1.05, 2: 1.03})
    assert found is not None
    assert found.p_value == pytest.approx(ttest_1samp(np.log([1.02, 1.05, 1.03]), 0).pvalue)


def test_over_six_rounds_that_agree_a_large_ratio_says_more_than_ranks_can() -> None:
    base = dict.fromkeys(range(6), 1.0)
    large = paired_ratio(base, {round_: 2.0 + round_ / 100 for round_ in range(6)})
    small = paired_ratio(base, {0: 1.001, 1: 1.001, 2: 1.001, 3: 1.001, 4: 1.001, 5: 1.5})
    assert large is not None
    assert small is not None
    assert large.p_value is not None
    assert large.p_value < 1e-6
    assert small.p_value == 1 / 32  # ranks: all six agree; Student's t sees one round far off and would say 0.34


def test_launches_that_share_no_rounds_are_compared_by_welch() -> None:
    base, head = [1.0, 1.1, 0.9, 1.05], [1.3, 1.2, 1.25]
    found = unpaired_ratio(base, head)
    expected = ttest_ind(np.log(head), np.log(base), equal_var=False)
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(interval.low), math.exp(interval.high)))
    assert (found.paired, found.rounds) == (False, 3)


def test_one_launch_on_a_side_has_a_ratio_and_no_interval() -> None:
    found = unpaired_ratio([1.0], [2.0, 2.0])
    assert found is not None
    assert (found.value, found.low, found.p_value) == (pytest.approx(2.0), None, None)
    assert unpaired_ratio([], [1.0]) is None


def test_launches_without_any_spread_have_an_interval_of_no_width() -> None:
    found = unpaired_ratio([1.0, 1.0], [1.0, 1.0])
    assert found is not None
    assert (found.low, found.high, found.p_value) == (1.0, 1.0, 1.0)
