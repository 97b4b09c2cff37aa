"""Intervals, ratios and percentiles: what the raw samples can support, and None where they cannot.

Samples inside one process are not independent and machines drift, so an interval here is always over rounds: one
number a launch, launches of the same round compared with each other (Kalibera & Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013, doi:10.1145/2464157.2464160: repeat at the highest level that varies).
"""

import functools
import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.stats import binom, t

from esrbench.codec import Value

CONFIDENCE = 0.95

MIN_ROUNDS = 2
"""One round says nothing about its own spread. Two do, at a price that Student's t states: a factor of 12.7 instead
of 1.96. (A bootstrap would hide that price: over few values its percentile intervals are far too narrow.)"""


class Estimate(Value, frozen=True, kw_only=True):
    """A location and its 95 % interval; ``low`` and ``high`` are None where there were fewer than two rounds."""

    value: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1


def geometric_estimate(values: Sequence[float]) -> Estimate | None:
    """Geometric mean of positive values, one a round, with Student's t interval on their logarithms.

    The geometric mean, because speeds are compared as ratios: a ratio of geometric means is the geometric mean of the
    ratios, so speed-ups agree with throughputs (Fleming & Wallace 1986, doi:10.1145/5666.5673). None without values.
    """
    if not values:
        return None
    logs = [math.log(value) for value in values]
    centre = statistics.fmean(logs)
    if len(logs) < MIN_ROUNDS:
        return Estimate(value=math.exp(centre))
    quantile = float(t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1))
    half = quantile * statistics.stdev(logs) / math.sqrt(len(logs))
    return Estimate(value=math.exp(centre), low=math.exp(centre - half), high=math.exp(centre + half), rounds=len(logs))


def paired_ratio(base: Mapping[int, float], head: Mapping[int, float]) -> Estimate | None:
    """``head / base`` over the rounds that have both, as :func:`geometric_estimate` of the ratios.

    Both map a round to one positive number. Within a round the launches are minutes apart, so that a machine's slow
    drift cancels. None where no round has both.
    """
    return geometric_estimate([head[round_] / base[round_] for round_ in sorted(base.keys() & head.keys())])


def median(values: Sequence[float]) -> float | None:
    """The middle value; None without values. Unmoved by the odd slow sample of a shared machine."""
    return statistics.median(values) if values else None


@functools.cache
def min_samples(percent: float) -> int:
    """How many samples a percentile takes, by MLPerf Inference's early-stopping rule: 64 for p90, 662 for p99.

    The smallest count at which, with 99 % confidence, the true percentile lies below the second largest sample
    (https://github.com/mlcommons/inference_policies, "Early stopping"; LoadGen's ``early_stopping.cc``).
    """
    above = 1 - percent / 100
    count = 2
    while binom.cdf(1, count, above) > 0.01:
        count += 1
    return count


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest sample that at least ``percent`` % of the samples do not exceed; None where they are too few.

    For tails: ``percent`` is above 50. How many samples it takes is :func:`min_samples`.
    """
    if len(values) < min_samples(percent):
        return None
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]


def spread(values: Sequence[float]) -> float | None:
    """How far apart the largest and the smallest are, as a fraction of the median; None below two values."""
    return (max(values) - min(values)) / statistics.median(values) if len(values) > 1 else None
