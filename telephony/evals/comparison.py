"""The result of an eval: pass rates, the comparison with the baseline, and the worst calls. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checks import CriterionDecision, Outcome
from .criteria import Criteria, Criterion, Family
from .evidence import Evidence
from .statistics import Comparison, Interval, PairCounts, Verdict, compare, wilson
from .text_model_usage import TextModelUsage

__all__ = ["CallResult", "CriterionResult", "EvalResult", "Rate", "result_of"]

_WORST = 10


@dataclass(slots=True)
class CallResult:
    """The result of one call of an eval. `case` is the name of the case. Each case is called several times, and `nth`
    is the number of this call. `decisions` are the decisions about the call, by the name of the criterion.
    """

    case: str
    nth: int
    evidence: Evidence
    decisions: dict[str, CriterionDecision] = field(default_factory=dict)
    seed: int = 0
    cpu_s: float = 0.0
    journal: str = ""
    texts: TextModelUsage = field(default_factory=TextModelUsage)
    """The requests and tokens of the text model that played the caller."""

    @property
    def name(self) -> str:
        return f"{self.case} #{self.nth}"

    @property
    def failed(self) -> list[str]:
        return [name for name, decision in self.decisions.items() if decision.outcome is Outcome.FAILED]


@dataclass(frozen=True, slots=True)
class Rate:
    """The pass rate of a criterion: the share of calls that meet it. `interval` is Wilson's confidence interval with 95
    % confidence. `median` is the median of the values that the criterion measures, such as a latency, or None for a
    criterion without a measurement.
    """

    passed: int
    failed: int
    unknown: int
    interval: Interval
    median: float | None = None
    agreement: float | None = None
    """The mean share of a judge's votes that agree with the decision."""

    @property
    def rate(self) -> float | None:
        return self.passed / (self.passed + self.failed) if self.passed + self.failed else None


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """The result of one criterion of an eval. `new` and `baseline` are the pass rates of the two agents. `comparison`
    is None if there is no baseline. If the criterion makes the command `telephony eval` fail, `missed` is the reason as
    text. Otherwise `missed` is empty.
    """

    criterion: Criterion
    new: Rate
    baseline: Rate | None = None
    comparison: Comparison | None = None
    dropped_pairs: int = 0
    """The number of pairs of calls that are not compared, because the call of one agent has no result for the
    criterion. A pair is one call of each agent with the same simulated caller.
    """
    missed: str = ""


@dataclass(frozen=True, slots=True)
class EvalResult:
    """The result of an eval: the results of all criteria. `about` describes how the calls were made."""

    criteria: Criteria
    results: Sequence[CriterionResult]
    new: Sequence[CallResult]
    baseline: Sequence[CallResult] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missed(self) -> list[CriterionResult]:
        """The results of the criteria that make the command `telephony eval` fail. `CriterionResult.missed` has the
        reason.
        """
        return [each for each in self.results if each.missed]

    @property
    def has_baseline(self) -> bool:
        return bool(self.baseline)

    def worst(self, limit: int = _WORST) -> list[CallResult]:
        """Returns at most `limit` calls of the new agent in which a criterion failed, the worst call first. The worst
        call is the call with the most failed criteria that the baseline met with the same simulated caller. Among equal
        calls, the call with the most failed criteria comes first.
        """
        before = {(call.case, call.nth): call for call in self.baseline}

        def rank(call: CallResult) -> tuple[int, int]:
            other = before.get((call.case, call.nth))
            lost = [
                name for name in call.failed
                if other is not None and name in other.decisions and other.decisions[name].outcome is Outcome.PASSED
            ]  # fmt: skip
            return len(lost), len(call.failed)

        failing = [call for call in self.new if call.failed]
        return sorted(failing, key=rank, reverse=True)[:limit]


def result_of(
    criteria: Criteria,
    new: Sequence[CallResult],
    baseline: Sequence[CallResult] = (),
    about: Mapping[str, Any] | None = None,
) -> EvalResult:
    """Returns the result of an eval from the calls `new` of the new agent and the calls `baseline` of the agent with
    which it is compared. Two calls with the same `case` and `nth` are compared as a pair. `about` describes how the
    calls were made.

    Holm's correction for several tests is applied twice: once for the criteria without a judge, and once for the
    criteria with a judge. Therefore a judge does not change the results of the other criteria.
    """
    results: dict[str, CriterionResult] = {}
    without = [each for each in criteria.criterion if each.family is not Family.JUDGED]
    for group in (without, criteria.of(Family.JUDGED)):
        comparisons: list[Comparison | None] = [None] * len(group)
        pairs = [_pairs(each.name, new, baseline) for each in group]
        if baseline:
            comparisons = [*compare([counts for counts, _ in pairs], margin=criteria.margin, alpha=criteria.alpha)]
        for criterion, (_, dropped), comparison in zip(group, pairs, comparisons, strict=True):
            rate = _rate(criterion.name, new)
            before = _rate(criterion.name, baseline) if baseline else None
            missed = _missed(criterion, rate, comparison)
            results[criterion.name] = CriterionResult(criterion, rate, before, comparison, dropped, missed)
    return EvalResult(criteria, [results[each.name] for each in criteria.criterion], new, baseline, about or {})


def _pairs(name: str, new: Iterable[CallResult], baseline: Iterable[CallResult]) -> tuple[PairCounts, int]:
    """Returns the counts of pairs, and the number of pairs without a result."""
    before = {(call.case, call.nth): call.decisions.get(name) for call in baseline}
    counts, dropped = dict.fromkeys([(True, True), (True, False), (False, True), (False, False)], 0), 0
    for call in new:
        one, other = call.decisions.get(name), before.get((call.case, call.nth))
        if one is None or other is None or Outcome.UNKNOWN in (one.outcome, other.outcome):
            dropped += 1
            continue
        counts[one.outcome is Outcome.PASSED, other.outcome is Outcome.PASSED] += 1
    return PairCounts(counts[True, True], counts[True, False], counts[False, True], counts[False, False]), dropped


def _rate(name: str, calls: Sequence[CallResult]) -> Rate:
    decisions = [call.decisions[name] for call in calls if name in call.decisions]
    count = {outcome: sum(decision.outcome is outcome for decision in decisions) for outcome in Outcome}
    passed, failed = count[Outcome.PASSED], count[Outcome.FAILED]
    values = [decision.value for decision in decisions if decision.value is not None]
    agreements = [decision.agreement for decision in decisions if decision.agreement is not None]
    return Rate(
        passed, failed, count[Outcome.UNKNOWN], wilson(passed, passed + failed),
        statistics.median(values) if values else None, statistics.mean(agreements) if agreements else None,
    )  # fmt: skip


def _missed(criterion: Criterion, rate: Rate, comparison: Comparison | None) -> str:
    if comparison is not None and comparison.verdict is Verdict.WORSE and not criterion.may_be_worse:
        return "worse than the baseline"
    if criterion.min_pass_rate is not None:
        if rate.rate is None:
            return f"no call shows it, and min_pass_rate is {criterion.min_pass_rate:g}"
        if rate.rate < criterion.min_pass_rate:
            return f"the pass rate is {rate.rate:.2f}, and min_pass_rate is {criterion.min_pass_rate:g}"
    return ""
