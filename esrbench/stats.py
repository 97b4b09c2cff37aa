"""Intervals, ratios and percentiles: what the raw samples can support, and None where they cannot.

Samples inside one process are not independent and machines drift, so an interval here is always over rounds: one
number a launch, launches of the same round compared with each other (Kalibera & Jones, "Rigorous benchmarking in
reasonable time", ISMM 2013, doi:10.1145/2464157.2464160: repeat at the highest level that varies).
"""

import functools
import math
import statistics
from collections.abc import Sequence

from scipy.stats import binom, t

from esrbench import signed_rank
from esrbench.codec import Value

CONFIDENCE = 0.95

MIN_ROUNDS = 2
"""One round says nothing about its own spread. Two do, at a price that Student's t states: a factor of 12.7 instead
of 1.96. (A bootstrap would hide that price: over few values its percentile intervals are far too narrow.)"""

MIN_STOP_ROUNDS = 6
"""Rounds before a narrow interval may end a run: the fewest that have a signed-rank interval at 95 %. A rule that
looks after every round stops where the spread happens to look small; docs/measurement.md has what that costs."""


UNKNOWN_FACTOR = 10.0
"""Upper over lower end of an interval that says nothing: two rounds that differ by a fifth have such an interval."""


class Estimate(Value, frozen=True, kw_only=True):
    """A location and its 95 % interval; ``low`` and ``high`` are None where there were fewer than two rounds."""

    value: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1

    @property
    def half_width(self) -> float | None:
        """How far the interval reaches to either side, as a factor less one: 0.02 is ± 2 %. None without one."""
        return None if self.factor is None else math.sqrt(self.factor) - 1

    @property
    def factor(self) -> float | None:
        """Return the interval's upper end over its lower one."""
        return None if self.low is None or self.high is None else self.high / self.low

    @property
    def is_known(self) -> bool:
        """Tell whether the interval is narrow enough to say anything.

        Nothing contradicts a single round.
        """
        return self.factor is None or self.factor < UNKNOWN_FACTOR


def estimate(values: Sequence[float]) -> Estimate | None:
    """Estimate the centre of positive values and its interval.

    Values are one a round; both are computed on logarithms. None without values. From six rounds on: Hodges–Lehmann
    centre and signed-rank interval, which hold for any symmetric noise and bear a disturbed launch
    (:mod:`esrbench.signed_rank`). Below, no interval reaches 95 % without an assumption: Student's t, as if the
    logarithms were normal, and the median, which bears one disturbed launch of three and two of five. It lies within
    that interval: a median is at most one standard deviation from the mean (Hotelling & Solomons 1932,
    doi:10.1214/aoms/1177732911), and up to five rounds the interval reaches further. docs/measurement.md compares them.
    """
    if not values:
        return None
    logs = [math.log(value) for value in values]
    centre, ends = _location(logs)
    if ends is None:
        return Estimate(value=math.exp(centre))
    return Estimate(value=math.exp(centre), low=math.exp(ends[0]), high=math.exp(ends[1]), rounds=len(logs))


def is_narrow(found: Estimate | None, precision: float) -> bool:
    """Whether an interval is as narrow as asked (0.01 is ± 1 %), over rounds enough for a run to end on it."""
    if found is None or found.half_width is None or found.rounds < MIN_STOP_ROUNDS:
        return False
    return found.half_width <= precision


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """How many standard errors Student's interval reaches to either side."""
    return float(t.ppf((1 + confidence) / 2, freedom))


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


def _location(logs: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    ends = signed_rank.interval(logs, CONFIDENCE)
    if ends is not None:
        return signed_rank.pseudomedian(logs), ends
    centre = statistics.median(logs)
    if len(logs) < MIN_ROUNDS:
        return centre, None
    mean = statistics.fmean(logs)
    half = t_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return centre, (mean - half, mean + half)
