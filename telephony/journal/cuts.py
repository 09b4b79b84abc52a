"""The causes of an interruption of the agent. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

__all__ = ["CutCause", "cause_of"]


class CutCause(StrEnum):
    """The causes of an interruption. Journals contain these values."""

    CALLER = "caller"
    """The caller spoke."""
    DIGIT = "digit"
    """The caller pressed a key."""
    GUARDRAIL = "guardrail"
    TOOL = "tool"
    """A tool of the agent interrupted the agent."""
    API = "api"
    """Other code of the application interrupted the agent, such as an event handler."""
    CALL = "call"
    """The call itself interrupted the agent, because the call detected a voicemail or sends keys."""
    SUPERVISOR = "supervisor"
    """A supervisor took over."""

    @property
    def is_callers(self) -> bool:
        """Whether the caller interrupted the agent. The measurements of a call count only interruptions by the
        caller.
        """
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
    CutCause.SUPERVISOR: "a supervisor takes over",
}


def cause_of(value: Any) -> CutCause:
    """Returns the cause in an `interruption` record. Older journals contain no cause, and their interruptions count as
    interruptions by the caller.
    """
    try:
        return CutCause(value)
    except ValueError:
        return CutCause.CALLER
