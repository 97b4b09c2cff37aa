"""Faster, slower, same or unclear: what an interval allows one to say, and what it would take to say more.

Three questions, two tests each: a difference is *claimed* where the interval excludes 1 and the ratio itself is worth
reporting; *same* is claimed where the whole interval lies inside the band of what is not (two one-sided tests:
Schuirmann 1987, doi:10.1007/BF01068419, here at 2.5 % each). Everything else is unclear: no evidence of a difference is
not evidence of none.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

from esrbench.codec import Value
from esrbench.ratio import Ratio
from esrbench.stats import CONFIDENCE, MIN_STOP_ROUNDS, t_quantile

WORTH = 0.03
"""The smallest difference worth reporting, unless told otherwise: launches of one case on a quiet machine differ by
as much (3.4 %, standard deviation over ten launches on two cores)."""

MAX_MORE_ROUNDS = 200
"""Above this, more rounds are no advice: the difference lies too near the edge of what is worth reporting."""


class Verdict(StrEnum):
    """What can be said of a ratio of two speeds."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    UNCLEAR = "unclear"


class Bar(Value, frozen=True, kw_only=True):
    """How large a difference must be, as factors less one: 0.03 is 3 %."""

    worth: float = WORTH
    noise: float = 0.0  # by how much the same thing differed from itself (A/A); no smaller difference is claimed

    @property
    def claim(self) -> float:
        """No difference below this is called faster or slower."""
        return max(self.worth, self.noise)


class Judgement(Value, frozen=True, kw_only=True):
    """A verdict, and what it rests on."""

    verdict: Verdict
    ratio: Ratio | None  # of speeds: above 1 is faster; None: not both were measured
    bar: Bar
    p_value: float | None = None  # of no difference, after Holm's correction for the comparisons made together
    more_rounds: int | None = None  # about how many would settle what is unclear; None: settled, or none would

    @property
    def changed_as_others_did(self) -> bool:
        """Whether it is unclear because the other cases changed alike: by the machine, or by what they share."""
        by_itself, among_others = self._unclear_among()
        return by_itself is not None and among_others is None

    @property
    def changed_against_others(self) -> bool:
        """Whether it is unclear because it changed among the other cases alone: what it is by itself may hide it."""
        by_itself, among_others = self._unclear_among()
        return by_itself is None and among_others is not None

    def _unclear_among(self) -> tuple[Verdict | None, Verdict | None]:
        """What the two intervals claim by themselves; nothing where it is settled, or not known among the others."""
        ratio = self.ratio
        if self.verdict is not Verdict.UNCLEAR or ratio is None or ratio.among is None or ratio.among.low is None:
            return None, None
        return _beyond(ratio, self.bar), _beyond(ratio.among, self.bar)


def judge(ratios: Sequence[Ratio | None], bar: Bar) -> tuple[Judgement, ...]:
    """A judgement of each ratio, made together: at most 5 % of such tables hold any false claim of a difference.

    ``same`` is not corrected: each is false at most 2.5 % of the time that the truth lies outside the band. Of two runs
    made one after the other that holds for the runs; between machine and code their other cases decide.
    """
    corrected = holm([ratio.claim_p_value if ratio else None for ratio in ratios])
    return tuple(_judgement(ratio, bar, p_value, len(ratios)) for ratio, p_value in zip(ratios, corrected, strict=True))


def verdict_of(ratio: Ratio, bar: Bar, p_value: float | None) -> Verdict:
    """What may be said of one ratio; ``p_value`` is corrected for the comparisons made with it.

    Of two runs made one after the other, the ratio among the other cases has to say so too.
    """
    if ratio.low is None or ratio.high is None:
        return Verdict.UNCLEAR
    among = ratio.among or ratio
    if max(ratio.high, 1 / ratio.low) <= 1 + bar.worth and among.size <= bar.worth:
        return Verdict.SAME
    by_itself, among_others = _beyond(ratio, bar), _beyond(among, bar)
    if p_value is None or p_value > 1 - CONFIDENCE or by_itself is not among_others:
        return Verdict.UNCLEAR
    return by_itself or Verdict.UNCLEAR


def _beyond(ratio: Ratio, bar: Bar) -> Verdict | None:
    """What one interval alone would claim."""
    if ratio.low is None or ratio.high is None or ratio.size <= bar.claim:
        return None
    if ratio.low > 1:
        return Verdict.FASTER
    return Verdict.SLOWER if ratio.high < 1 else None


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Each p-value as it counts among the others (Holm 1979, https://www.jstor.org/stable/4615733); None stays None.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1``, and none may fall below one before it.
    """
    order = sorted((p_value, place) for place, p_value in enumerate(p_values) if p_value is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p_value, place) in enumerate(order):
        highest = max(highest, min(1.0, p_value * (len(order) - rank)))
        corrected[place] = highest
    return tuple(corrected)


def _judgement(ratio: Ratio | None, bar: Bar, p_value: float | None, comparisons: int) -> Judgement:
    verdict = Verdict.UNCLEAR if ratio is None else verdict_of(ratio, bar, p_value)
    more = _more_rounds(ratio, bar, comparisons) if verdict is Verdict.UNCLEAR and ratio else None
    return Judgement(verdict=verdict, ratio=ratio, bar=bar, p_value=p_value, more_rounds=more)


def _more_rounds(ratio: Ratio, bar: Bar, comparisons: int) -> int | None:
    """How many further rounds would settle it, if they are like those so far and the ratio stays where it is."""
    if ratio.low is None or ratio.high is None:
        return max(1, MIN_STOP_ROUNDS - ratio.rounds)
    claimed = ratio.size > bar.claim
    among = ratio.among
    if among is None:
        return _more_of(ratio, bar, comparisons, claimed=claimed)
    if among.low is None:
        return max(1, MIN_STOP_ROUNDS - among.rounds)
    if claimed is not (among.size > bar.claim) and (ratio.excludes_one or among.excludes_one):
        return None  # the machine moved between the runs, or the other cases did: no rounds undo that
    wider = max(ratio, among, key=lambda each: (each.high or each.value) / (each.low or each.value))
    return _more_of(wider if claimed else ratio, bar, comparisons, claimed=claimed)


def _more_of(ratio: Ratio, bar: Bar, comparisons: int, *, claimed: bool) -> int | None:
    """Of one interval: until it excludes 1, or lies within what is not worth reporting."""
    if ratio.low is None or ratio.high is None:
        return None
    size, edge = math.log1p(ratio.size), math.log1p(bar.worth)
    reach = size if claimed else edge - size  # how far the interval may reach
    confidence = 1 - (1 - CONFIDENCE) / comparisons if claimed else CONFIDENCE
    half_width = math.log(ratio.high / ratio.low) / 2
    spread = half_width * math.sqrt(ratio.rounds) / t_quantile(ratio.rounds - 1)
    for more in range(1, MAX_MORE_ROUNDS + 1):
        rounds = ratio.rounds + more
        if t_quantile(rounds - 1, confidence) * spread / math.sqrt(rounds) <= reach:
            return more
    return None
