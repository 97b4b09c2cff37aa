"""Wilcoxon's signed-rank test and the interval that belongs to it, exact for any number of values.

Both suppose independent values, symmetric about one centre, and nothing else: no normal distribution, no common
spread. Launches paired within a round, in random order, give just that: whatever disturbs one launch is as likely to
hit the other. One value far off moves the centre and the interval little.

Wilcoxon 1945, doi:10.2307/3001968; Hodges & Lehmann 1963, doi:10.1214/aoms/1177704172 (the centre); Hollander, Wolfe &
Chicken, *Nonparametric Statistical Methods*, 3rd ed., sections 3.1 to 3.3 (the interval).
"""

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def pseudomedian(values: Sequence[float]) -> float:
    """The Hodges–Lehmann centre: the median of the means of all pairs, each value paired with itself too."""
    return float(np.median(_pair_means(values)))


def interval(values: Sequence[float], confidence: float) -> tuple[float, float] | None:
    """The ends between which the centre lies with at least ``confidence``; None where the values are too few for it.

    ``n`` values reach a confidence of at most ``1 - 2 ** (1 - n)``: six are the fewest for 95 %.
    """
    outside = int(np.searchsorted(_cumulative(len(values)), (1 - confidence) / 2, side="right"))
    if outside == 0:
        return None
    means = _pair_means(values)
    return float(means[outside - 1]), float(means[-outside])


def p_value(values: Sequence[float]) -> float:
    """How often values whose centre is 0 lie as far to one side as these, or further. Values of 0 count against it."""
    means = _pair_means(values)
    fewer = min(int(np.count_nonzero(means >= 0)), int(np.count_nonzero(means <= 0)))
    return min(1.0, 2 * float(_cumulative(len(values))[fewer]))


def lowest_p_value(count: int) -> float:
    """What :func:`p_value` is where all of ``count`` values have the same sign: the least that it can say."""
    return float(2.0 ** (1 - count))


def _pair_means(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Walsh averages, ascending: ``n (n + 1) / 2`` of them."""
    array = np.asarray(values, dtype=np.float64)
    first, second = np.triu_indices(len(array))
    means: npt.NDArray[np.float64] = np.sort((array[first] + array[second]) / 2)
    return means


@functools.cache
def _cumulative(count: int) -> npt.NDArray[np.float64]:
    """P(W ≤ w) for w from 0 to n (n + 1) / 2, where W is the sum of the ranks of the positive values.

    Each rank is in the sum or not, with equal odds: ``count`` convolutions of two halves.
    """
    odds = np.zeros(count * (count + 1) // 2 + 1)
    odds[0] = 1.0
    for rank in range(1, count + 1):
        without = odds / 2
        odds = without.copy()
        odds[rank:] += without[:-rank]
    return np.cumsum(odds)
