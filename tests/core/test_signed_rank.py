"""The signed-rank test against SciPy's, its interval against the test, its coverage against theory."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from esrbench import signed_rank

VALUES = st.lists(st.floats(-1, 1).filter(lambda value: abs(value) > 1e-6), min_size=2, max_size=14, unique_by=abs)


@given(VALUES)
def test_the_p_value_is_scipys_exact_one(values: list[float]) -> None:
    assert signed_rank.p_value(values) == pytest.approx(wilcoxon(values, method="exact").pvalue)


@given(st.lists(st.floats(-1, 1), min_size=6, max_size=20))
def test_the_interval_holds_what_the_test_does_not_reject(values: list[float]) -> None:
    ends = signed_rank.interval(values, 0.95)
    assert ends is not None
    assert ends[0] <= signed_rank.pseudomedian(values) <= ends[1]
    if ends[0] > 0 or ends[1] < 0:
        assert signed_rank.p_value(values) <= 0.05
    if signed_rank.p_value(values) <= 0.05:
        assert ends[0] >= 0 or ends[1] <= 0


@pytest.mark.parametrize(("count", "covered"), [(6, 62 / 64), (7, 122 / 128), (8, 246 / 256), (10, 974 / 1024)])
def test_the_interval_covers_as_often_as_the_signs_say(count: int, covered: float) -> None:
    """Every assignment of signs to fixed sizes is as likely as any other: count those whose interval holds 0."""
    sizes = np.random.default_rng(count).exponential(size=count)
    found = [
        signed_rank.interval(np.multiply(sizes, signs), 0.95) for signs in itertools.product((-1, 1), repeat=count)
    ]
    assert sum(low <= 0 <= high for low, high in filter(None, found)) / 2**count == covered


@pytest.mark.parametrize(("confidence", "fewest"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewer_values_than_a_confidence_takes_have_no_interval(confidence: float, fewest: int) -> None:
    assert signed_rank.interval([float(value) for value in range(fewest - 1)], confidence) is None
    assert signed_rank.interval([float(value) for value in range(fewest)], confidence) is not None


def test_values_of_one_sign_have_the_lowest_p_value_there_is() -> None:
    assert signed_rank.p_value([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == signed_rank.lowest_p_value(6) == 1 / 32


def test_values_of_zero_speak_for_no_difference() -> None:
    assert signed_rank.p_value([0.0] * 8) == 1.0
    with_zeros, without = [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert signed_rank.p_value(with_zeros) > signed_rank.p_value(without)


def test_many_values_are_no_trouble() -> None:
    ends = signed_rank.interval([math.sin(step) for step in range(500)], 0.95)
    assert ends is not None
    assert ends[0] < 0 < ends[1]
