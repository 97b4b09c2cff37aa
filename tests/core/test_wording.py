"""How quantities are written."""

import math

import pytest

from esrbench.wording import NOT_MEASURED, counted, decibel, gigabytes, interval, seconds, significant, times


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012345, "0.0123"), (1.2345, "1.23"), (12.345, "12.3"), (1234.4, "1234"), (0, "0"), (None, NOT_MEASURED)],
)
def test_three_digits_are_written_and_never_an_exponent(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_a_ratio_close_to_nothing_is_not_written_as_nothing() -> None:
    assert interval(0.001, 3071.3) == "<0.01–3071"
    assert times(1.623) == "1.62×"
    assert interval(None, None) is None


def test_an_infinite_psnr_is_exact() -> None:
    assert [decibel(value) for value in (math.inf, 56.94, None)] == ["exact", "56.9", NOT_MEASURED]


def test_seconds_show_a_millisecond_and_memory_ten_megabytes() -> None:
    assert [seconds(value) for value in (0.0123, 12.34)] == ["0.012", "12.3"]
    assert gigabytes(343) == "0.34 GB"


def test_one_launch_is_not_plural() -> None:
    assert [counted(1, "launch"), counted(2, "launch"), counted(3, "case")] == ["1 launch", "2 launches", "3 cases"]
