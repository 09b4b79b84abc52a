"""The statistics of paired yes-or-no results, for the comparison of two agents. Pure.

One pair has one call of the new agent and one call of the baseline, with the same simulated caller and the same random
seed. The test is about the cases that were run. The test says nothing about other kinds of callers.

Sources: Wilson (1927) for the interval of one rate; McNemar's exact test (a sign test of the pairs that differ); Tango
(1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample design", for
the interval of the difference; Holm (1979) for several criteria.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

__all__ = [
    "Comparison",
    "Interval",
    "PairCounts",
    "Verdict",
    "compare",
    "detectable",
    "exact_p",
    "holm",
    "paired_interval",
    "pairs_for_same",
    "wilson",
]

_POWER = 0.8


class Verdict(StrEnum):
    """The possible results of the comparison of the new agent with the baseline (the agent to compare with)."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval with its lower and upper bound."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PairCounts:
    """The results of the pairs of calls in an eval, for one criterion. In a pair, the new agent and the baseline (the
    agent to compare with) get a call from the same simulated caller. The fields are numbers of pairs: `both` if both
    agents passed the criterion, `only_new` if only the new agent passed, `only_baseline` if only the baseline passed,
    and `none` if both failed.
    """

    both: int = 0
    only_new: int = 0
    only_baseline: int = 0
    none: int = 0

    @property
    def total(self) -> int:
        return self.both + self.only_new + self.only_baseline + self.none

    @property
    def difference(self) -> float:
        """The pass rate of the new agent minus the pass rate of the baseline."""
        return (self.only_new - self.only_baseline) / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of the new agent with the baseline (the agent to compare with) for one criterion. A pair is one
    call of each agent with the same simulated caller. `pairs` has the numbers of pairs.

    `p` is the p-value of the exact test of the pairs. `adjusted_p` is the p-value after Holm's correction for several
    criteria. `interval` is the confidence interval of the difference of the two pass rates. The confidence of this
    interval is 1 - 2 alpha, and alpha is the significance level of the test. The verdict is "same" if this interval
    lies within the permitted margin.

    `detectable` is the smallest true difference that the test finds in four of five evals with this number of pairs.
    None means that the test cannot find any difference.
    """

    verdict: Verdict
    pairs: PairCounts
    p: float
    adjusted_p: float
    interval: Interval
    detectable: float | None
    why: str = ""


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(passed: int, total: int, confidence: float = 0.95) -> Interval:
    """Returns Wilson's confidence interval of the rate `passed / total`, at the level `confidence` between 0 and 1. If
    `total` is 0, the interval is 0 to 1.
    """
    if total == 0:
        return Interval(0.0, 1.0)
    z = _z(confidence)
    rate, scale = passed / total, 1 + z * z / total
    centre = (rate + z * z / (2 * total)) / scale
    half = z * math.sqrt(rate * (1 - rate) / total + z * z / (4 * total * total)) / scale
    return Interval(max(0.0, centre - half), min(1.0, centre + half))


def exact_p(only_new: int, only_baseline: int) -> float:
    """Returns the two-sided p-value of McNemar's exact test for two agents: the new agent, and the baseline with which
    it is compared. A pair has one call of each agent with the same simulated caller. `only_new` is the number of pairs
    in which only the new agent passed. `only_baseline` is the number of pairs in which only the baseline passed.
    """
    n, less = only_new + only_baseline, min(only_new, only_baseline)
    tail = sum(math.comb(n, k) for k in range(less + 1)) / (1 << n)
    return min(1.0, 2 * tail)


def paired_interval(only_new: int, only_baseline: int, total: int, confidence: float = 0.95) -> Interval:
    """Returns Tango's score interval of the difference of two paired rates: the rate of the new agent minus the rate of
    the baseline (the agent to compare with). `only_new` and `only_baseline` are the numbers of pairs in which only this
    agent passed, and `total` is the number of all pairs. `confidence` is the level between 0 and 1. If `total` is 0,
    the interval is -1 to 1.
    """
    if total == 0:
        return Interval(-1.0, 1.0)
    z, observed = _z(confidence), (only_new - only_baseline) / total

    def score(delta: float) -> float:
        return _score(only_new, only_baseline, total, delta)

    low = -1.0 if observed <= -1.0 else _root(lambda delta: score(delta) - z, -1.0, observed)
    high = 1.0 if observed >= 1.0 else _root(lambda delta: score(delta) + z, observed, 1.0)
    return Interval(low, high)


def _score(b: int, c: int, n: int, delta: float) -> float:
    """Returns Tango's score statistic of a difference `delta`. The statistic decreases as `delta` increases."""
    square = 2 * n
    linear = -b - c + (2 * n - b + c) * delta
    constant = -c * delta * (1 - delta)
    q21 = (math.sqrt(max(0.0, linear * linear - 4 * square * constant)) - linear) / (2 * square)
    variance = n * (2 * q21 + delta * (1 - delta))
    distance = b - c - n * delta
    if variance <= 0:
        return math.copysign(math.inf, distance) if distance else 0.0
    return distance / math.sqrt(variance)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Returns the argument at which a decreasing function is zero."""
    for _ in range(80):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def holm(values: Sequence[float]) -> list[float]:
    """Returns the p-values `values` after Holm's correction for several tests, in the same order."""
    adjusted = [0.0] * len(values)
    greatest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        greatest = max(greatest, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = greatest
    return adjusted


def detectable(total: int, alpha: float, power: float = _POWER) -> float | None:
    """Returns the smallest true difference between the pass rates of two agents that `total` pairs of calls show with
    the probability `power`. The test is McNemar's exact test with the error level `alpha`. All pairs with different
    results are assumed to favour the same agent. Returns None if `total` pairs are too few for every difference.
    """
    needed = next((n for n in range(1, total + 1) if exact_p(n, 0) <= alpha), None)
    if needed is None or _at_least(needed, total, 1.0) < power:
        return None
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _at_least(needed, total, middle) >= power else (middle, high)
    return high


def _at_least(needed: int, total: int, rate: float) -> float:
    """Returns the probability of at least `needed` successes in `total` trials."""
    less: float = sum(math.comb(total, k) * rate**k * (1 - rate) ** (total - k) for k in range(needed))
    return 1 - less


def pairs_for_same(margin: float, alpha: float) -> int:
    """Returns the smallest number of pairs of calls (one call of each agent) with which two agents can get the verdict
    "same", if both agents have the same result in each pair. The verdict is "same" if the confidence interval of the
    difference of the pass rates lies between `-margin` and `margin`. The interval has the level `1 - 2 * alpha`.
    """
    return next(n for n in range(1, 1_000_000) if paired_interval(0, 0, n, 1 - 2 * alpha).high < margin)


def compare(counts: Sequence[PairCounts], *, margin: float, alpha: float) -> list[Comparison]:
    """Compares the new agent with the baseline (the agent to compare with), for each criterion. `counts` has one
    element for each criterion: the numbers of simulated callers with whom both agents, only one agent or no agent
    passed. `margin` is the difference of pass rates that does not matter, and `alpha` is the error level for all
    criteria together.

    The verdict "same" has priority over "better" and "worse": a difference that is certainly smaller than the margin
    does not matter, even if the difference is real.
    """
    values = [exact_p(each.only_new, each.only_baseline) for each in counts]
    adjusted = holm(values)
    return [
        _comparison(each, p, corrected, margin, alpha, len(counts))
        for each, p, corrected in zip(counts, values, adjusted, strict=True)
    ]


def _comparison(pairs: PairCounts, p: float, adjusted: float, margin: float, alpha: float, criteria: int) -> Comparison:
    interval = paired_interval(pairs.only_new, pairs.only_baseline, pairs.total, 1 - 2 * alpha)
    smallest = detectable(pairs.total, alpha / criteria)
    why = ""
    if pairs.total and -margin < interval.low and interval.high < margin:
        verdict = Verdict.SAME
    elif adjusted <= alpha:
        verdict = Verdict.BETTER if pairs.difference > 0 else Verdict.WORSE
    else:
        verdict = Verdict.UNDECIDED
        why = _why(pairs, smallest, margin, alpha)
    return Comparison(verdict, pairs, p, adjusted, interval, smallest, why)


def _why(pairs: PairCounts, smallest: float | None, margin: float, alpha: float) -> str:
    if pairs.total == 0:
        return "cannot tell: no pair of calls has a result"
    if smallest is None:
        return f"cannot tell: {pairs.total} pairs of calls cannot show any difference"
    more = ""
    if (needed := pairs_for_same(margin, alpha)) > pairs.total:
        more = f', and "same" needs at least {needed} pairs'
    return f"cannot tell: {pairs.total} pairs of calls show a difference of {smallest:.0%} or more{more}"
