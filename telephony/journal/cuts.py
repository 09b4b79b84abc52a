"""Why the agent was cut off. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

__all__ = ["CutCause", "cause_of"]


class CutCause(StrEnum):
    """Who or what stopped the agent in mid-sentence. The values stand in journals."""

    CALLER = "caller"
    """The caller spoke."""
    DIGIT = "digit"
    """The caller pressed a key."""
    GUARDRAIL = "guardrail"
    TOOL = "tool"
    """A tool of the agent's asked for it."""
    API = "api"
    """Other code of the application asked for it, such as a handler or a supervisor's page."""
    CALL = "call"
    """The call itself: a voicemail was found, or keys are sent."""

    @property
    def is_callers(self) -> bool:
        """Did the caller do it? Only then is it an interruption that figures count."""
        return self in (CutCause.CALLER, CutCause.DIGIT)

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    CutCause.CALLER: "the caller interrupts",
    CutCause.DIGIT: "a key of the caller stops the agent",
    CutCause.GUARDRAIL: "a guardrail stops the agent",
    CutCause.TOOL: "a tool stops the agent",
    CutCause.API: "the application stops the agent",
    CutCause.CALL: "the call stops the agent",
}


def cause_of(value: Any) -> CutCause:
    """As an `interruption` record says it. Older journals know of no other cause than the caller."""
    try:
        return CutCause(value)
    except ValueError:
        return CutCause.CALLER
