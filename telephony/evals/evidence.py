"""The evidence of one call: its transcript, tools, result and measurements, as plain data. Pure.

A judge gets no other data about the call. The evidence can be written as JSON, so a saved run can be compared with
later runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from ..journal.transcript import Turn
from ..replay.call import HeardCall, ToolCall
from .caller_actions import CallerAction, CallerActionKind
from .measures import measure

__all__ = ["Evidence", "Line", "evidence_of"]


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of a call: speech of the caller or of the agent (`speaker`). `said` has all words of the turn, from the
    transcript. For a turn of the agent, `heard` has only the words that the caller heard. For a turn of the caller,
    `heard` is the same as `said`. Times are in milliseconds since the start of the call.
    """

    start_ms: float
    end_ms: float
    speaker: str
    said: str
    heard: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """The data of one call of an eval, from which the criteria are decided: the words of both sides, the tool calls,
    the result and the measurements. If the call could not be made, `error` contains the reason, and the other fields
    are empty.
    """

    error: str = ""
    is_callers_error: bool = False
    """Whether `error` came from the simulated caller. Such an error says nothing about the agent."""
    ended: str = ""
    duration_ms: float = 0.0
    lines: Sequence[Line] = ()
    tools: Sequence[ToolCall] = ()
    acts: Sequence[CallerAction] = ()
    result: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    recorded_tools: Sequence[tuple[str, Any]] = ()
    """The tool calls of the recorded call with their arguments, for a recorded caller."""
    measures: Mapping[str, float] = field(default_factory=dict)
    """The measurements of the call by name. A value that cannot be measured in this call is missing."""
    tokens: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        parts = {
            "lines": tuple(Line(**each) for each in data.get("lines", ())),
            "tools": tuple(ToolCall(**each) for each in data.get("tools", ())),
            "acts": tuple(
                CallerAction(**{**each, "kind": CallerActionKind(each["kind"])}) for each in data.get("acts", ())
            ),
            "recorded_tools": tuple((name, arguments) for name, arguments in data.get("recorded_tools", ())),
        }
        return cls(**{**data, **parts})

    @property
    def heard_by_caller(self) -> str:
        """All words of the agent that the caller heard."""
        return " ".join(line.heard for line in self.lines if line.speaker == "agent")


def evidence_of(
    call: HeardCall,
    acts: Sequence[CallerAction],
    *,
    result: Any = None,
    facts: Mapping[str, Any] | None = None,
    recorded_tools: Sequence[tuple[str, Any]] = (),
    cost_usd: float | None = None,
) -> Evidence:
    """Returns the evidence of a finished call: everything by which an eval decides whether the call meets its criteria.
    `acts` are the actions that the simulated caller has reported. `result` is the result object of the call. `facts`
    are the values from the persona's file to which criteria can refer, such as the day of a booking. `recorded_tools`
    are the tool calls of the recorded call that the eval repeats. `cost_usd` is the cost of the call, if known.
    """
    lines = [
        Line(round(turn.start_ms), round(turn.end_ms), turn.speaker, turn.said, turn.heard)
        for turn in call.events
        if isinstance(turn, Turn)
    ]
    return Evidence(
        ended=call.ended,
        duration_ms=call.duration_ms,
        lines=tuple(lines),
        tools=tuple(replace(t, at_ms=round(t.at_ms)) for t in call.tools),
        acts=tuple(acts),
        result=result,
        facts=facts or {},
        recorded_tools=tuple(recorded_tools),
        measures=measure(call, acts, cost_usd),
        tokens=dict(call.usage.tokens),
    )
