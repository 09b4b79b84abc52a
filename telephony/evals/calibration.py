"""Compares a judge with 40 short calls whose correct answers are known.

The calls in `data/calibration.toml` were written for this package. Each call has the answer of a careful listener and
the reason. Some calls are difficult on purpose: words that were said but not heard, rudeness without a rude word, two
questions in one sentence. The results show how often a judge is right about questions of these kinds.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..replay.call import ToolCall
from .checks import CriterionDecision, Outcome
from .criteria import Criterion
from .evidence import Evidence, Line
from .judge import Judge, decide
from .statistics import Interval, wilson

__all__ = ["Calibration", "LabelledCall", "calibrate", "labelled_calls"]

_NOT_HEARD = re.compile(r"\[not heard: ([^\]]*)\]")
_TOOL = re.compile(r"(\w+)\((.*)\) -> (.*)")
_AT_ONCE = 8
_SECOND_MS = 3000


@dataclass(frozen=True, slots=True)
class LabelledCall:
    """A call with a question about it, the correct answer (True means yes) and the reason."""

    name: str
    question: str
    answer: bool
    why: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Calibration:
    """The answers of a judge to the questions about all labelled calls, for comparison with the labels of people."""

    judge: str
    is_stand_in: bool
    answers: Sequence[tuple[LabelledCall, CriterionDecision]]

    @property
    def right(self) -> int:
        return sum(_is_right(call, decision) for call, decision in self.answers)

    @property
    def unknown(self) -> int:
        return sum(decision.outcome is Outcome.UNKNOWN for _, decision in self.answers)

    @property
    def agreement(self) -> Interval:
        """The share of the judge's answers that agree with the labels of people, as Wilson's confidence interval."""
        return wilson(self.right, len(self.answers))

    @property
    def kappa(self) -> float:
        """Cohen's kappa: how much the judge's answers agree with the labels, beyond the agreement by chance (1: full
        agreement, 0: no more than by chance). Answers "cannot tell" are left out.
        """
        decided = [(call.answer, decision.outcome is Outcome.PASSED) for call, decision in self.answers
                   if decision.outcome is not Outcome.UNKNOWN]  # fmt: skip
        if not decided:
            return 0.0
        n = len(decided)
        observed = sum(label == given for label, given in decided) / n
        labels, given = sum(label for label, _ in decided) / n, sum(answer for _, answer in decided) / n
        chance = labels * given + (1 - labels) * (1 - given)
        return 1.0 if chance == 1 else (observed - chance) / (1 - chance)

    def to_json(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "is_stand_in": self.is_stand_in,
            "right": self.right,
            "unknown": self.unknown,
            "total": len(self.answers),
            "agreement": [round(self.agreement.low, 4), round(self.agreement.high, 4)],
            "kappa": round(self.kappa, 4),
            "wrong": [
                {
                    "name": call.name,
                    "label": call.answer,
                    "outcome": decision.outcome,
                    "judge": decision.why,
                    "why": call.why,
                }
                for call, decision in self.answers
                if not _is_right(call, decision)
            ],
        }

    def to_text(self) -> str:
        lines = [f"Judge: {self.judge}"]
        kinds = list(dict.fromkeys(call.question for call, _ in self.answers))
        for question in kinds:
            group = [(call, decision) for call, decision in self.answers if call.question == question]
            lines.append(f"  {sum(_is_right(*each) for each in group)} of {len(group)}  {question}")
        low, high = self.agreement.low, self.agreement.high
        lines.append(
            f"{self.right} of {len(self.answers)} answers agree with the labels ({low:.0%} to {high:.0%}), "
            f"{self.unknown} cannot tell, kappa {self.kappa:.2f}."
        )
        for call, decision in self.answers:
            if not _is_right(call, decision):
                label = "yes" if call.answer else "no"
                lines.append(
                    f"  {call.name}: the label is {label}: {call.why} The judge: {decision.outcome}, {decision.why}"
                )
        if self.is_stand_in:
            lines.append("This judge is a stand-in by rules, no AI. Set TELEPHONY_TEXT_MODEL_URL for a text model.")
        return "\n".join(lines)


def calibrate(judge: Judge, *, votes: int = 3, on_call: Callable[[], None] = lambda: None) -> Calibration:
    """Asks the judge the questions about all labelled calls of the package (calls with a question whose correct answer
    is known). Returns the answers of the judge together with the correct answers. `votes` is the number of votes for
    each call. `on_call` is called after each call.
    """
    calls = list(labelled_calls())

    def ask(call: LabelledCall) -> CriterionDecision:
        decision = decide(judge, Criterion(name=call.name, judge=call.question, votes=votes), call.evidence)
        on_call()
        return decision

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return Calibration(judge.name, judge.is_stand_in, list(zip(calls, pool.map(ask, calls), strict=True)))


def labelled_calls() -> Iterator[LabelledCall]:
    """Yields the calls that come with the package to test a judge. Each of these calls has a question about it, and the
    correct answer (the label) that a person has given.
    """
    document = tomllib.loads((files(__package__) / "data" / "calibration.toml").read_text("utf-8"))
    for call in document["call"]:
        yield LabelledCall(
            call["name"], call["question"], call["answer"] == "yes", call["why"], _evidence(call["lines"])
        )


def _evidence(texts: Sequence[str]) -> Evidence:
    lines: list[Line] = []
    tools: list[ToolCall] = []
    for n, text in enumerate(texts):
        who, _, words = text.partition(": ")
        at_ms = n * _SECOND_MS
        if who == "tool" and (found := _TOOL.fullmatch(words)):
            tools.append(ToolCall(found[1], json.loads(found[2]), found[3], at_ms, 0.0))
        else:
            heard = _NOT_HEARD.sub("", words).strip()
            said = _NOT_HEARD.sub(lambda found: found[1], words).strip()
            lines.append(Line(at_ms, at_ms + _SECOND_MS, who, said, heard))
    return Evidence(ended="hung up", lines=lines, tools=tools)


def _is_right(call: LabelledCall, decision: CriterionDecision) -> bool:
    return decision.outcome is (Outcome.PASSED if call.answer else Outcome.FAILED)
