"""The reasons why the timers of a call pause, and the causes for which a caller waits. Pure."""

from __future__ import annotations

from enum import Enum, auto

__all__ = ["PauseReason", "PendingCause"]


class PauseReason(Enum):
    """The reasons to pause the measurement of the caller's silence. Without a measurement the caller gets no silence
    prompt.
    """

    ANSWER = auto()
    """An answer is pending."""
    CALLER = auto()
    """The caller speaks."""
    AWAY = auto()
    """The call has no media stream, for example during a transfer."""
    LISTENING = auto()
    """The agent only listens (`Call.listening`)."""
    HOLD = auto()
    DIGITS = auto()
    """The agent waits for digits that the caller types, so the caller's silence is not measured."""
    SENDING_DIGITS = auto()
    TRANSFER = auto()
    HANGING_UP = auto()
    GIVING_UP = auto()
    CONSENT = auto()
    """The caller hears the notice about the recording, or must answer the question about the recording."""
    TAKEN_OVER = auto()
    """A supervisor speaks in place of the agent."""


class PendingCause(Enum):
    """The reasons why the caller waits for the voice of the agent."""

    MODEL = auto()
    """The connection to the model is not open yet, or is lost, so no answer can begin."""
    GREETING = auto()
    TURN = auto()
    """A response was requested and has not begun."""
    RESPONSE = auto()
    """The model produces a response, which the caller may not hear yet."""
    TOOL = auto()
    """A tool call of the model is running."""
