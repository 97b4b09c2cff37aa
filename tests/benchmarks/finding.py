"""What a part of the study found, and how its figures are written."""

import math
from collections.abc import Sequence
from typing import NamedTuple

MAX_FALSE, MIN_FOUND = 0.05, 0.95
"""Shares of comparisons, and of jobs: false claims at most, true differences found at least."""


class Finding(NamedTuple):
    """A table, and which demands its figures do not meet."""

    text: str
    missed: Sequence[str] = ()


def percent(share: float) -> str:
    """``4.3 %``."""
    return f"{share * 100:.1f} %"


def nine_in_ten(values: Sequence[int]) -> int:
    """The least that nine in ten of them do not exceed."""
    return sorted(values)[math.ceil(0.9 * len(values)) - 1]
