"""Decides whether a call meets the criteria that need no text model: criteria about a measurement, and criteria about
facts such as a tool call or spoken words. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .criteria import Criterion, Family
from .evidence import Evidence

__all__ = ["CriterionDecision", "Outcome", "check", "contains", "decision_without_call"]

_WORD = re.compile(r"\w+")
_FACT = re.compile(r"\{(\w+)\}")


class Outcome(StrEnum):
    """Whether a call meets a criterion. `UNKNOWN` means that the evidence of the call is not sufficient for a
    decision.
    """

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CriterionDecision:
    """The decision about one criterion of one call, with the reason. `votes` has the answers of a judge. `agreement` is
    the share of votes that agree with the decision.
    """

    outcome: Outcome
    why: str = ""
    value: float | None = None
    votes: tuple[str, ...] = ()
    agreement: float | None = None


class _UnknownFact(LookupError):
    pass


def check(criterion: Criterion, evidence: Evidence) -> CriterionDecision:
    """Returns whether the call of `evidence` meets a criterion, with the reason. The criterion must be one that
    needs no text model. The outcome is `UNKNOWN` if the case does not contain a fact that the criterion needs.
    """
    if (without_call := decision_without_call(evidence)) is not None:
        return without_call
    if criterion.family is Family.MEASURED:
        return _measured(criterion, evidence)
    try:
        why = _checked(criterion, evidence)
    except _UnknownFact as error:
        return CriterionDecision(Outcome.UNKNOWN, f"the case has no fact {error}")
    return CriterionDecision(Outcome.FAILED, why) if why else CriterionDecision(Outcome.PASSED)


def decision_without_call(evidence: Evidence) -> CriterionDecision | None:
    """Returns the decision about every criterion if the call of `evidence` could not be made, or None if the call was
    made. The decision is `UNKNOWN` if the simulated caller caused the error, and otherwise `FAILED`.
    """
    if not evidence.error:
        return None
    return CriterionDecision(Outcome.UNKNOWN if evidence.is_callers_error else Outcome.FAILED, evidence.error)


def _measured(criterion: Criterion, evidence: Evidence) -> CriterionDecision:
    name = criterion.measure or ""
    value = evidence.measures.get(name)
    if value is None:
        return CriterionDecision(Outcome.UNKNOWN, f"this call shows no {name}")
    if criterion.max is not None and value > criterion.max:
        return CriterionDecision(Outcome.FAILED, f"{name} is {value:g}, more than {criterion.max:g}", value)
    if criterion.min is not None and value < criterion.min:
        return CriterionDecision(Outcome.FAILED, f"{name} is {value:g}, less than {criterion.min:g}", value)
    return CriterionDecision(Outcome.PASSED, value=value)


def _checked(criterion: Criterion, evidence: Evidence) -> str:
    """Returns why the call does not meet the criterion, or an empty text if the call meets the criterion."""
    if criterion.tool is not None:
        return _tool(criterion, evidence)
    if criterion.no_tool is not None:
        used = [tool for tool in evidence.tools if tool.name == criterion.no_tool]
        return f"{criterion.no_tool} was called" if used else ""
    if criterion.same_tools:
        return _same_tools(evidence)
    if criterion.order:
        return _order(criterion, evidence)
    if criterion.result is not None:
        return _result(_filled(criterion.result, evidence.facts), evidence.result)
    if criterion.ended is not None:
        return "" if evidence.ended == criterion.ended else f"the call ended otherwise: {evidence.ended or 'not known'}"
    heard = evidence.heard_by_caller
    for phrase in criterion.says:
        if not contains(heard, _filled(phrase, evidence.facts)):
            return f"the caller did not hear {_filled(phrase, evidence.facts)!r}"
    for phrase in criterion.forbidden:
        if contains(heard, _filled(phrase, evidence.facts)):
            return f"the caller heard {_filled(phrase, evidence.facts)!r}"
    return ""


def _tool(criterion: Criterion, evidence: Evidence) -> str:
    wanted = _filled(criterion.arguments, evidence.facts)
    expected = _filled(criterion.result_contains, evidence.facts) if criterion.result_contains is not None else None
    used = [tool for tool in evidence.tools if tool.name == criterion.tool]
    if not used:
        called = ", ".join(tool.name for tool in evidence.tools) or "no tool"
        return f"{criterion.tool} was not called; called: {called}"
    fitting = [tool for tool in used if isinstance(tool.arguments, Mapping) and _includes(tool.arguments, wanted)]
    if not fitting:
        return f"{criterion.tool} was called with {_short(used[-1].arguments)}, not with {_short(wanted)}"
    if expected is not None and not any(contains(tool.output, expected) for tool in fitting):
        return f"{criterion.tool} returned {_short(fitting[-1].output)}, without {expected!r}"
    return ""


def _same_tools(evidence: Evidence) -> str:
    left = [(tool.name, tool.arguments) for tool in evidence.tools]
    for name, arguments in evidence.recorded_tools:
        match = next((each for each in left if each[0] == name and _equal(each[1], arguments)), None)
        if match is None:
            return f"{name}({_short(arguments)}) of the recording was not called"
        left.remove(match)
    return f"{left[0][0]}({_short(left[0][1])}) is not in the recording" if left else ""


def _order(criterion: Criterion, evidence: Evidence) -> str:
    at = -1.0
    for step in criterion.order:
        kind, _, what = step.partition(":")
        phrase = _filled(what.strip(), evidence.facts)
        moments = {
            "tool": [tool.at_ms for tool in evidence.tools if tool.name == phrase],
            "says": [x.start_ms for x in evidence.lines if x.speaker == "agent" and contains(x.heard, phrase)],
            "caller": [x.start_ms for x in evidence.lines if x.speaker == "caller" and contains(x.said, phrase)],
        }[kind.strip()]
        found = next((moment for moment in moments if moment > at), None)
        if found is None:
            return f"{step!r} did not happen{' after the step before it' if at >= 0 else ''}"
        at = found
    return ""


def _result(wanted: Mapping[str, Any], result: Any) -> str:
    if not isinstance(result, Mapping):
        return "the call has no result"
    wrong = [name for name, value in wanted.items() if not _equal(result.get(name), value)]
    return f"{wrong[0]} of the result is {result.get(wrong[0])!r}, not {wanted[wrong[0]]!r}" if wrong else ""


def contains(text: str, phrase: str) -> bool:
    """Returns whether a text contains the words of `phrase` as whole words in a row. Case and punctuation are
    ignored.
    """
    return f" {' '.join(_WORD.findall(phrase.casefold()))} " in f" {' '.join(_WORD.findall(text.casefold()))} "


def _filled(value: Any, facts: Mapping[str, Any]) -> Any:
    """Returns the value with each `{name}` in its texts replaced by the fact with this name. A text that is only
    `{name}` becomes the fact with its type.
    """
    if isinstance(value, Mapping):
        return {name: _filled(each, facts) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(each, facts) for each in value]
    if not isinstance(value, str):
        return value
    for name in _FACT.findall(value):
        if name not in facts:
            raise _UnknownFact(name)
    if whole := _FACT.fullmatch(value):
        return facts[whole[1]]
    return _FACT.sub(lambda found: str(facts[found[1]]), value)


def _includes(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in given and _equal(given[name], value) for name, value in wanted.items())


def _equal(one: Any, other: Any) -> bool:
    """Returns whether two values are equal. In texts, case and punctuation are ignored. The number 2 is equal to the
    text "2".
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, str) or isinstance(other, str):
        return " ".join(_WORD.findall(str(one).casefold())) == " ".join(_WORD.findall(str(other).casefold()))
    return bool(one == other)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:119]}…"
