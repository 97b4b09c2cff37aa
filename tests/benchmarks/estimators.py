"""Ways to an interval from a few logarithms of ratios, each against esrbench's own: how often it holds the truth."""

import functools
import math
import random
import statistics
from collections.abc import Callable, Sequence

import numpy as np
from noise_models import MODELS, Machine, within
from scipy.stats import t

from esrbench.ratio import Ratio, paired_ratio

PASSES = 5
RESAMPLES = 200

Interval = tuple[float, float]
Method = Callable[[Sequence[float]], Interval | None]


def launch_of(machine: Machine, chance: random.Random) -> float:
    """Seconds of the machine's next launch: the median of its passes."""
    return next(machine) * statistics.median(within(chance, PASSES))


def rounds_of(model: str, chance: random.Random, count: int, cases: int = 2) -> list[list[float]]:
    """Seconds of each case in each of ``count`` rounds on one machine, the cases in random order within a round."""
    machine = MODELS[model](chance)
    rounds = []
    for _ in range(count):
        seconds = [0.0] * cases
        for case in chance.sample(range(cases), cases):
            seconds[case] = launch_of(machine, chance)
        rounds.append(seconds)
    return rounds


def ratio_of(rounds: Sequence[Sequence[float]], head: int = 1) -> Ratio:
    """Speed of case ``head`` over that of case 0, as esrbench takes it."""
    found = paired_ratio(*({place: seconds[case] for place, seconds in enumerate(rounds)} for case in (head, 0)))
    assert found is not None
    return found


def chosen(logs: Sequence[float]) -> Interval | None:
    """What esrbench does."""
    found = paired_ratio(dict.fromkeys(range(len(logs)), 1.0), {place: math.exp(log) for place, log in enumerate(logs)})
    if found is None or found.low is None or found.high is None:
        return None
    return math.log(found.low), math.log(found.high)


def students_t(logs: Sequence[float]) -> Interval | None:
    """The mean, and Student's t."""
    return _around(statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs)), len(logs) - 1)


def trimmed_t(logs: Sequence[float]) -> Interval | None:
    """The mean without the least and the largest, and its winsorised error (Tukey & McLaughlin 1963)."""
    count, kept = len(logs), len(logs) - 2
    if kept < 3:
        return None
    ordered = sorted(logs)
    pulled_in = [ordered[1], *ordered[1:-1], ordered[-2]]
    error = statistics.stdev(pulled_in) * math.sqrt(count) / kept
    return _around(statistics.fmean(ordered[1:-1]), error, kept - 1)


def bootstrap(logs: Sequence[float]) -> Interval | None:
    """Percentiles of resampled means."""
    values = np.asarray(logs)
    resampled = np.random.default_rng(len(logs)).choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.percentile(resampled, (2.5, 97.5))
    return float(low), float(high)


METHODS: dict[str, Method] = {
    "esrbench": chosen,
    "Student's t": students_t,
    "trimmed t": trimmed_t,
    "bootstrap": bootstrap,
}


def logs_of(model: str, chance: random.Random, count: int) -> list[float]:
    """Logarithms of the ratios of two equal cases."""
    return [math.log(base / head) for base, head in rounds_of(model, chance, count)]


def _around(centre: float, error: float, freedom: int) -> Interval:
    half = _quantile(freedom) * error
    return centre - half, centre + half


@functools.cache
def _quantile(freedom: int) -> float:
    return float(t.ppf(0.975, freedom))


def _middle(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.median(row) for row in rows]


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(row) for row in rows]


def _quarter(rows: Sequence[Sequence[float]]) -> list[float]:
    return [sorted(row)[math.ceil(len(row) / 4) - 1] for row in rows]


def _least(rows: Sequence[Sequence[float]]) -> list[float]:
    return [min(row) for row in rows]


STATISTICS: dict[str, Callable[[Sequence[Sequence[float]]], list[float]]] = {
    "median": _middle,
    "mean": _mean,
    "lower quartile": _quarter,
    "minimum": _least,
}
"""One number of the passes of a launch: each takes launches, and gives one number a launch."""


def quiet_passes(chance: random.Random, count: int) -> list[float]:
    """Passes of a launch that nothing disturbs."""
    return within(chance, count)


def contended_passes(chance: random.Random, count: int) -> list[float]:
    """A neighbour that comes and goes: a fifth of the time, for five passes on average, it costs 2 to 30 %."""
    passes, cost = within(chance, count), _cost(chance) if chance.random() < 0.2 else 0.0
    for place in range(count):
        passes[place] *= 1 + cost
        stays, comes = chance.random() < 0.8, chance.random() < 0.05
        cost = cost if cost and stays else _cost(chance) if comes else 0.0
    return passes


def _cost(chance: random.Random) -> float:
    return chance.uniform(0.02, 0.30)


PASSES_UNDER: dict[str, Callable[[random.Random, int], list[float]]] = {
    "quiet": quiet_passes,
    "a neighbour in bursts": contended_passes,
}
