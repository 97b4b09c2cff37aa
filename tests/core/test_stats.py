"""Statistics against values worked out by hand or taken from a named table."""

import math

import pytest

from esrbench.stats import geometric_estimate, median, min_samples, paired_ratio, percentile, spread


def test_the_interval_of_two_rounds_is_that_of_students_t_with_one_degree_of_freedom() -> None:
    found = geometric_estimate([math.exp(1.0), math.exp(1.2)])
    # logs 1.0 and 1.2: mean 1.1, standard error 0.1, t(0.975, 1) = 12.706 (any table of Student's t)
    assert found is not None
    assert found.value == pytest.approx(math.exp(1.1))
    assert found.low == pytest.approx(math.exp(1.1 - 1.2706), rel=1e-4)
    assert found.high == pytest.approx(math.exp(1.1 + 1.2706), rel=1e-4)
    assert found.rounds == 2


def test_one_round_has_a_value_and_no_interval() -> None:
    found = geometric_estimate([4.0])
    assert found is not None
    assert (found.value, found.low, found.high) == (4.0, None, None)


def test_nothing_has_no_estimate_no_median_no_spread() -> None:
    assert geometric_estimate([]) is None
    assert median([]) is None
    assert spread([1.0]) is None
    assert paired_ratio({0: 1.0}, {1: 1.0}) is None


def test_a_drift_that_both_share_cancels_in_the_paired_ratio() -> None:
    base = {0: 1.0, 1: 1.5, 2: 0.7}
    found = paired_ratio(base, {round_: 2 * value for round_, value in base.items()})
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_rounds_that_only_one_side_has_are_left_out_of_the_ratio() -> None:
    found = paired_ratio({0: 1.0, 1: 1.0, 3: 9.0}, {0: 2.0, 1: 2.0, 2: 77.0})
    assert found is not None
    assert (found.value, found.rounds) == (pytest.approx(2.0), 2)


def test_a_ratio_of_geometric_means_is_the_geometric_mean_of_ratios() -> None:
    base, head = [1.0, 2.0, 3.0], [2.0, 5.0, 4.0]
    means = [geometric_estimate(values) for values in (base, head)]
    ratio = paired_ratio(dict(enumerate(base)), dict(enumerate(head)))
    assert means[0] is not None
    assert means[1] is not None
    assert ratio is not None
    assert ratio.value == pytest.approx(means[1].value / means[0].value)


@pytest.mark.parametrize(("percent", "samples"), [(90, 64), (99, 662)])
def test_a_percentile_takes_as_many_samples_as_mlperf_says(percent: float, samples: int) -> None:
    assert min_samples(percent) == samples
    assert percentile([1.0] * (samples - 1), percent) is None
    assert percentile([1.0] * samples, percent) == 1.0


def test_a_percentile_is_a_sample_that_nine_in_ten_do_not_exceed() -> None:
    assert percentile(list(range(1, 101)), 90) == 90


def test_the_spread_is_a_fraction_of_the_median() -> None:
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.2)
