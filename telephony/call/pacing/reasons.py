"""The reason why the timers of a call pause, and what the caller waits for. Pure."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["PauseReason", "PendingCause"]


class PauseReason(Enum):
    """The reason why the caller's silence is not counted."""

    ANSWER = auto()
    """An answer is pending."""
    CALLER = auto()
    """The caller speaks."""
    AWAY = auto()
    """The call has no media stream."""
    LISTENING = auto()
    """The agent only listens."""
    HOLD = auto()
    DIGITS = auto()
    """The caller types digits."""
    SENDING_DIGITS = auto()
    TRANSFER = auto()
    HANGING_UP = auto()
    GIVING_UP = auto()
    CONSENT = auto()
    """The caller hears the notice about the recording, or is asked about it."""
    TAKEN_OVER = auto()
    """A supervisor speaks in place of the agent."""


class PendingCause(Enum):
    """The reason why the caller can expect to hear the agent."""

    MODEL = auto()
    """The model is not connected."""
    GREETING = auto()
    TURN = auto()
    """A response was requested, and it has not begun."""
    RESPONSE = auto()
    """A response is being made."""
    TOOL = auto()
    """A tool runs."""
