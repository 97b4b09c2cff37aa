"""Ratios of speeds between two sets of launches: paired within rounds where they share them, else by Welch."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence

import msgspec
from scipy.stats import t

from esrbench import signed_rank
from esrbench.stats import CONFIDENCE, MIN_ROUNDS, Estimate, estimate, t_quantile


class Ratio(Estimate, frozen=True, kw_only=True):
    """A ratio of two speeds."""

    paired: bool = True  # launches of the same round with each other; False: two runs, one after the other
    p_value: float | None = None  # two-sided, of the ratio being 1; None without an interval
    among: "Ratio | None" = None  # of two runs: the same, taken against the other cases of each round; None: no others

    @property
    def size(self) -> float:
        """How far from 1, whichever way: 1.05 and 1 / 1.05 are both 0.05."""
        return max(self.value, 1 / self.value) - 1

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
    """``head / base`` of launches that share no rounds: geometric means, and Welch's interval on the logarithms.

    What happened to the machine between the two is in the ratio, and not in its interval. None where one is empty.
    (Welch 1947, doi:10.1093/biomet/34.1-2.28, with Satterthwaite's degrees of freedom, doi:10.2307/3002019.)
    """
    if not base or not head:
        return None
    logs = [[math.log(value) for value in side] for side in (base, head)]
    centre = statistics.fmean(logs[1]) - statistics.fmean(logs[0])
    rounds = min(len(base), len(head))
    if rounds < MIN_ROUNDS:
        return Ratio(value=math.exp(centre), rounds=rounds, paired=False)
    shares = [statistics.variance(side) / len(side) for side in logs]
    error = math.sqrt(sum(shares))
    freedom = _welch_freedom(shares, [len(side) for side in logs])
    half = t_quantile(freedom) * error
    return Ratio(
        value=math.exp(centre),
        low=math.exp(centre - half),
        high=math.exp(centre + half),
        rounds=rounds,
        paired=False,
        p_value=_t_p_value(centre, error, freedom),
    )


def unpaired_ratios(base: Sequence[Mapping[int, float]], head: Sequence[Mapping[int, float]]) -> list[Ratio | None]:
    """``head / base`` of each case of two runs made one after the other; each case maps its rounds to a speed.

    Beside each :func:`unpaired_ratio` stands the same one ``among`` the other cases: each speed divided by what the
    others had in its round, the median of their deviations from their own means. What the machine does to all of them
    is in the first and not in the second; what the code does to one of them is in both. The p-value is the larger of
    the two, as only both together tell code from machine (intersection-union test: Berger 1982,
    doi:10.1080/00401706.1982.10487790). What moved against the others is no measure of the machine: where a minority
    of the cases did, the rest alone is.
    """
    base_logs, head_logs = (
        [{at: math.log(speed) for at, speed in case.items()} for case in run] for run in (base, head)
    )
    deviations = _deviations([base_logs, head_logs])

    def among(measures: Collection[int]) -> list[Ratio | None]:
        pairs = enumerate(zip(base_logs, head_logs, strict=True))
        return [_among_others(*both, at, deviations, measures) for at, both in pairs]

    found = among(range(len(base)))
    steady = [at for at, ratio in enumerate(found) if not (ratio and ratio.among and ratio.among.excludes_one)]
    return among(steady) if 2 * len(steady) > len(base) > len(steady) else found


_Logs = Mapping[int, float]
"""Round → logarithm of a speed."""


def _deviations(logs: Sequence[Sequence[_Logs]]) -> list[list[_Logs]]:
    """Of each run and case: how far each round lies from the case's mean over both runs, each run weighing the same."""
    means = [
        statistics.fmean(statistics.fmean(case.values()) for case in both) if all(both) else None
        for both in zip(*logs, strict=True)
    ]
    return [
        [
            {} if mean is None else {round_: log - mean for round_, log in case.items()}
            for case, mean in zip(run, means, strict=True)
        ]
        for run in logs
    ]


def _among_others(
    base: _Logs, head: _Logs, at: int, deviations: Sequence[Sequence[_Logs]], measures: Collection[int]
) -> Ratio | None:
    found = unpaired_ratio(*([math.exp(log) for log in logs.values()] for logs in (base, head)))
    others = [[case for place, case in enumerate(run) if place in measures and place != at] for run in deviations]
    among = unpaired_ratio(*map(_against, (base, head), others))
    if found is None or among is None or found.p_value is None or among.p_value is None:
        return found
    return msgspec.structs.replace(found, p_value=max(found.p_value, among.p_value), among=among)


def _against(logs: _Logs, others: Sequence[_Logs]) -> list[float]:
    """A case's speed in each round that any other case has too, for a machine on which these were at their means."""
    found = []
    for round_, log in logs.items():
        beside = [other[round_] for other in others if round_ in other]
        if beside:
            found.append(math.exp(log - statistics.median(beside)))
    return found


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
