"""Which pass of a timed loop takes the original pixels."""

import pytest

from esrbench import passes
from esrbench.testing import FakeClock


def run(*durations, limit, chosen, most=100):
    """What each pass took, as they took so long in turn, the last one again and again."""
    clock, taken = FakeClock(), []
    for takes_originals in passes.until(limit, most, clock, chosen):
        clock.advance(durations[min(len(taken), len(durations) - 1)])
        taken.append(takes_originals)
    return taken


@pytest.mark.parametrize("chosen", range(5))
def test_the_chosen_pass_takes_them_and_no_other(chosen):
    assert run(10, limit=50, chosen=chosen) == [index == chosen for index in range(5)]


def test_passes_that_are_slower_than_expected_take_them_in_what_looks_like_the_last():
    assert run(30, limit=50, chosen=4) == [False, True]
    assert run(10, limit=50, chosen=9, most=3) == [False, False, True]


def test_a_pass_that_took_longer_than_the_one_before_is_followed_by_one_more():
    assert run(10, 100, limit=50, chosen=4) == [False, False, True]


def test_passes_that_are_quicker_than_they_looked_go_on_after_the_originals():
    assert run(30, 1, 1, 20, limit=50, chosen=4) == [False, True, False, False]


def test_the_first_and_only_pass_takes_them_where_there_is_no_time():
    assert run(10, limit=0, chosen=0) == [True]
    assert run(1000, limit=50, chosen=0) == [True]


def test_as_many_passes_are_expected_as_fit_the_limit_and_one_at_least():
    assert [passes.expected(50, 100, ns) for ns in (10, 12, 60, 0)] == [5, 4, 1, 1]
    assert passes.expected(50, 3, 10) == 3
