"""What may be said of which interval, and what would settle the rest."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esrbench.ratio import Ratio, paired_ratio
from esrbench.verdict import Bar, Judgement, Verdict, holm, judge


def ratio(value: float, low: float, high: float, p_value: float = 0.001, rounds: int = 8) -> Ratio:
    return Ratio(value=value, low=low, high=high, p_value=p_value, rounds=rounds)


def one(found: Ratio | None, bar: Bar | None = None) -> Judgement:
    return judge([found], bar or Bar(worth=0.03))[0]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (ratio(1.05, 1.03, 1.07), Verdict.FASTER),
        (ratio(0.95, 0.93, 0.97), Verdict.SLOWER),
        (ratio(1.05, 1.00, 1.10, 0.06), Verdict.UNCLEAR),  # the interval holds 1
        (ratio(1.02, 1.01, 1.035), Verdict.UNCLEAR),  # there is a difference, perhaps one worth reporting
        (ratio(1.01, 1.005, 1.015), Verdict.SAME),  # there is a difference, surely not worth reporting
        (ratio(1.0, 0.98, 1.02, 1.0), Verdict.SAME),
        (ratio(1.0, 0.96, 1.04, 1.0), Verdict.UNCLEAR),  # no difference found is not no difference
        (Ratio(value=2.0), Verdict.UNCLEAR),  # one round
        (None, Verdict.UNCLEAR),
    ],
)
def test_a_verdict_says_no_more_than_its_interval(found: Ratio | None, verdict: Verdict) -> None:
    assert one(found).verdict is verdict


@given(st.floats(0.8, 1.25), st.floats(0.001, 0.2), st.floats(0, 1))
def test_faster_and_slower_are_mirror_images(value: float, half_width: float, p_value: float) -> None:
    mirrored = {Verdict.FASTER: Verdict.SLOWER, Verdict.SLOWER: Verdict.FASTER}
    there = one(ratio(value, value * math.exp(-half_width), value * math.exp(half_width), p_value)).verdict
    back = one(ratio(1 / value, math.exp(-half_width) / value, math.exp(half_width) / value, p_value)).verdict
    assert mirrored.get(there, there) is back


def test_noise_between_identical_things_raises_the_bar_for_a_claim_and_not_for_same() -> None:
    noisy = Bar(worth=0.03, noise=0.06)
    assert one(ratio(1.05, 1.03, 1.07), noisy).verdict is Verdict.UNCLEAR
    assert one(ratio(1.07, 1.05, 1.09), noisy).verdict is Verdict.FASTER
    assert one(ratio(1.0, 0.95, 1.05, 1.0), noisy).verdict is Verdict.UNCLEAR


def test_among_many_comparisons_a_weak_one_claims_nothing() -> None:
    weak, strong = ratio(1.05, 1.001, 1.10, 0.04), ratio(1.5, 1.4, 1.6, 1e-6)
    assert one(weak).verdict is Verdict.FASTER
    found = judge([weak, *[ratio(1.0, 0.95, 1.05, 0.9)] * 15], Bar())
    assert (found[0].verdict, found[0].p_value) == (Verdict.UNCLEAR, pytest.approx(0.64))
    assert judge([weak, *[strong] * 15], Bar())[0].verdict is Verdict.FASTER  # those that are settled cost nothing


def test_holm_corrects_as_in_the_textbook() -> None:
    # m = 4: 0.01 × 4, 0.015 × 3, 0.03 × 2, 0.04 × 1 raised to the one before it
    assert holm([0.03, 0.01, 0.04, 0.015]) == pytest.approx((0.06, 0.04, 0.06, 0.045))
    assert holm([0.6, None, 0.7]) == (1.0, None, 1.0)
    assert holm([]) == ()


def test_what_is_unclear_says_how_many_more_rounds_would_settle_it() -> None:
    # ± 4 % over 8 rounds: half of that takes about four times the rounds, less what Student's t gains
    found = one(ratio(1.0, 1 / 1.06, 1.06, 1.0))
    assert found.more_rounds is not None
    assert 16 <= found.more_rounds <= 24
    narrower = one(ratio(1.05, 1 / 1.01, 1.12, 0.1))
    assert narrower.more_rounds is not None
    assert narrower.more_rounds < found.more_rounds


def test_one_round_asks_for_as_many_as_a_run_may_end_on() -> None:
    assert one(Ratio(value=1.2)).more_rounds == 5


def test_a_difference_at_the_edge_of_what_is_worth_reporting_asks_for_no_more_rounds() -> None:
    assert one(ratio(1.0299, 0.98, 1.08)).more_rounds is None


def test_what_is_settled_asks_for_nothing() -> None:
    assert one(ratio(1.05, 1.03, 1.07)).more_rounds is None


def test_a_tenfold_difference_over_six_rounds_stands_among_sixteen_comparisons() -> None:
    fast = paired_ratio(dict.fromkeys(range(6), 1.0), {0: 10.0, 1: 11.0, 2: 9.0, 3: 10.5, 4: 9.5, 5: 10.0})
    found = judge([fast, *[ratio(1.0, 0.95, 1.05, 0.9)] * 15], Bar())
    assert found[0].verdict is Verdict.FASTER
