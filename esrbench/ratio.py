"""Ratios of speeds between two sets of launches: paired within rounds where they share them, else by Welch."""

import math
import statistics
from collections.abc import Mapping, Sequence

from scipy.stats import t

from esrbench import signed_rank
from esrbench.stats import CONFIDENCE, MIN_ROUNDS, Estimate, estimate, t_quantile


class Ratio(Estimate, frozen=True, kw_only=True):
    """A ratio of two speeds."""

    paired: bool = True  # launches of the same round with each other; False: two runs, one after the other
    p_value: float | None = None  # two-sided, of the ratio being 1; None without an interval
    among: "Ratio | None" = None  # of two runs: the same against the other cases of each round; None: there are none

    @property
    def size(self) -> float:
        """How far from 1, whichever way: 1.05 and 1 / 1.05 are both 0.05."""
        return max(self.value, 1 / self.value) - 1

    @property
    def claim_p_value(self) -> float | None:
        """Of what is to be claimed: among the others too, where there are any.

        Only both together tell code from machine, so the larger counts (intersection-union test: Berger 1982,
        doi:10.1080/00401706.1982.10487790).
        """
        if self.among is None:
            return self.p_value
        both = (self.p_value, self.among.p_value)
        return None if None in both else max(p_value for p_value in both if p_value is not None)

    @property
    def excludes_one(self) -> bool:
        """Whether its interval does."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def paired_ratio(base: Mapping[int, float], head: Mapping[int, float]) -> Ratio | None:
    """``head / base`` over the rounds that have both, as :func:`estimate` of the ratios.

    Both map a round to one positive number. Within a round the launches are minutes apart, so that a machine's slow
    drift cancels. None where no round has both.
    """
    ratios = [head[round_] / base[round_] for round_ in sorted(base.keys() & head.keys())]
    found = estimate(ratios)
    if found is None:
        return None
    p_value = _p_value([math.log(ratio) for ratio in ratios])
    return Ratio(value=found.value, low=found.low, high=found.high, rounds=found.rounds, p_value=p_value)


def unpaired_ratio(base: Sequence[float], head: Sequence[float]) -> Ratio | None:
    """``head / base`` of launches that share no rounds, as :func:`welch` compares their logarithms."""
    return welch([math.log(value) for value in base], [math.log(value) for value in head])


def welch(base: Sequence[float], head: Sequence[float]) -> Ratio | None:
    """``head / base`` of launches that share no rounds, from their logarithms: geometric means, and Welch's interval.

    What happened to the machine between the two is in the ratio, and not in its interval. None where one is empty.
    (Welch 1947, doi:10.1093/biomet/34.1-2.28, with Satterthwaite's degrees of freedom, doi:10.2307/3002019.)
    """
    if not base or not head:
        return None
    centre = statistics.fmean(head) - statistics.fmean(base)
    rounds = min(len(base), len(head))
    if rounds < MIN_ROUNDS:
        return Ratio(value=math.exp(centre), rounds=rounds, paired=False)
    shares = [statistics.variance(side) / len(side) for side in (base, head)]
    error = math.sqrt(sum(shares))
    freedom = _welch_freedom(shares, [len(side) for side in (base, head)])
    half = t_quantile(freedom) * error
    return Ratio(
        value=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        rounds=rounds,
        paired=False,
        p_value=_t_p_value(centre, error, freedom),
    )


def _p_value(logs: Sequence[float]) -> float | None:
    """Of the centre being 0, by the test whose interval :func:`estimate` gives.

    Where all rounds agree on the sign, ranks can say no more than ``2 ** (1 - n)``; there Student's t goes on, so that
    a tenfold difference over six rounds survives a correction for many comparisons.
    """
    if len(logs) < MIN_ROUNDS:
        return None
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    normal = _t_p_value(statistics.fmean(logs), error, len(logs) - 1)
    if signed_rank.interval(logs, CONFIDENCE) is None:
        return normal
    by_rank = signed_rank.p_value(logs)
    return min(by_rank, normal) if by_rank <= signed_rank.lowest_p_value(len(logs)) else by_rank


def _t_p_value(centre: float, error: float, freedom: float) -> float:
    if error == 0:
        return 1.0 if centre == 0 else 0.0
    return float(2 * t.sf(abs(centre) / error, freedom))


def _welch_freedom(shares: Sequence[float], counts: Sequence[int]) -> float:
    """Satterthwaite's degrees of freedom; ``shares`` are the two squared standard errors."""
    parts = sum(share**2 / (count - 1) for share, count in zip(shares, counts, strict=True))
    return sum(shares) ** 2 / parts if parts > 0 else math.inf
