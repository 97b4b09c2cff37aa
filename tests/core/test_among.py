"""Two runs made one after the other: what the machine did to all cases, and what the code did to some."""

import pytest

from esrbench.among import ratios_apart
from esrbench.ratio import Ratio, unpaired_ratio
from esrbench.verdict import Bar, Verdict, judge

SHARED = (1.0, 1.02, 0.99, 1.01, 0.98, 1.0, 1.01, 0.99)
OWN = (1.001, 0.999, 1.002, 0.998, 1.0, 1.001, 0.999, 1.0)

Cases = list[dict[int, float]]


def run_of(*levels: float, drift: float = 1.0) -> Cases:
    """Cases of these speeds over eight rounds, each disturbed for all cases and a little by itself."""
    return [
        {at: drift * level * SHARED[at] * OWN[(at + 3 * place) % len(OWN)] for at in range(len(SHARED))}
        for place, level in enumerate(levels)
    ]


def among(base: Cases, head: Cases) -> list[Ratio]:
    found = [ratio.among if ratio else None for ratio in ratios_apart(base, head)]
    assert None not in found
    return [ratio for ratio in found if ratio]


def values(base: Cases, head: Cases) -> list[float]:
    return [ratio.value for ratio in among(base, head)]


def near(*expected: float) -> object:
    return pytest.approx(list(expected), abs=3e-3)


def test_what_the_machine_did_to_all_cases_is_not_in_the_ratios_among_them() -> None:
    base, head = run_of(1.0, 2.0, 3.0), run_of(1.0, 2.0, 3.0, drift=0.9)
    assert [ratio.value for ratio in ratios_apart(base, head) if ratio] == near(0.9, 0.9, 0.9)
    assert values(base, head) == near(1, 1, 1)


def test_what_the_code_did_to_one_case_is_in_both_ratios() -> None:
    for found in (ratios_apart(run_of(1.0, 2.0, 3.0), run_of(1.0, 1.8, 3.0))[1],):
        assert found is not None
        assert found.among is not None
        assert (found.value, found.among.value) == (pytest.approx(0.9), pytest.approx(0.9, abs=3e-3))
        assert found.claim_p_value is not None
        assert found.claim_p_value < 1e-3


@pytest.mark.parametrize(
    ("slower", "expected"), [((0.9, 1, 1), (0.9, 1, 1)), ((0.9, 0.8, 1, 1, 1), (0.9, 0.8, 1, 1, 1))]
)
def test_cases_that_moved_are_no_measure_for_the_others(slower: tuple[float, ...], expected: tuple[float, ...]) -> None:
    assert values(run_of(*[1.0] * len(slower)), run_of(*slower, drift=1.05)) == near(*expected)


def test_both_have_to_say_what_is_claimed() -> None:
    by_itself = Ratio(value=0.9, low=0.88, high=0.92, p_value=0.001)
    other = Ratio(value=0.95, low=0.9, high=1.0, p_value=0.04)
    assert by_itself.claim_p_value == 0.001
    assert Ratio(value=0.9, p_value=0.001, among=other).claim_p_value == 0.04
    assert Ratio(value=0.9, p_value=0.001, among=Ratio(value=0.9)).claim_p_value is None


def test_a_single_case_has_no_others() -> None:
    base, head = run_of(1.0), run_of(0.9)
    (alone,) = ratios_apart(base, head)
    assert alone == unpaired_ratio(list(base[0].values()), list(head[0].values()))


def test_a_case_that_shares_no_round_with_the_others_is_not_known_among_them() -> None:
    base, head = run_of(1.0, 2.0), run_of(1.0, 2.0)
    head[1] = {20: 2.0, 21: 2.1, 22: 2.0}
    for ratio in among(base, head):
        assert (ratio.low, ratio.high, ratio.p_value, ratio.rounds) == (None, None, None, 0)
    for judgement in judge(
        ratios_apart(base, [{at: 0.8 * speed for at, speed in case.items()} for case in head]), Bar()
    ):
        assert judgement.verdict is Verdict.UNCLEAR
        assert not judgement.changed_as_others_did
        assert judgement.more_rounds == 6


def test_a_round_that_is_missing_here_and_there_does_not_blind_the_comparison() -> None:
    base, head = run_of(*[1.0] * 8), run_of(0.8, *[1.0] * 7)
    for at in range(8):
        del base[at][at], head[at][at]
    slowed, *others = judge(ratios_apart(base, head), Bar())
    assert slowed.verdict is Verdict.SLOWER
    assert {other.verdict for other in others} <= {Verdict.SAME, Verdict.UNCLEAR}


def test_cases_that_were_launched_once_say_nothing_of_the_machine() -> None:
    once: Cases = [{0: 5.0}, {0: 6.0}, {0: 7.0}, {0: 8.0}]
    found = among(run_of(1.0, 2.0, 3.0) + once, run_of(0.9, 2.0, 3.0, drift=1.06) + once)
    assert [ratio.value for ratio in found[:3]] == near(0.9, 1, 1)
    assert all(ratio.p_value is None for ratio in found[3:])


def test_cases_that_stopped_early_in_one_run_are_compared_over_the_rounds_that_all_have() -> None:
    """A drift within the runs, that goes up in one and down in the other, must not look like a change of those."""
    up = {at: 1 + 0.01 * at for at in range(20)}
    down = {at: 1.2 - 0.01 * at for at in range(20)}
    base = [{at: speed * OWN[(at + place) % 8] for at, speed in up.items()} for place in range(5)]
    head = [{at: speed * OWN[(at + place) % 8] for at, speed in down.items()} for place in range(5)]
    for case in base[:3]:
        for at in range(11, 20):
            del case[at]
    assert values(base, head) == near(1, 1, 1, 1, 1)


def test_nothing_measured_in_a_run_is_no_ratio() -> None:
    assert ratios_apart([], []) == []
    assert ratios_apart([{}, {0: 1.0}], [{0: 1.0}, {0: 1.0}])[0] is None
