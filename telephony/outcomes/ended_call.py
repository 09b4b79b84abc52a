"""An ended call as the application gets it by `on_end`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from .transcript import Line

__all__ = ["EndedCall"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndedCall(Generic[T]):
    """One call that has ended. Numbers are complete here, and what was said is not masked. Dates are in UTC."""

    id: str
    """Our own id of a placed call; the `CallSid` of an inbound call."""
    sid: str | None = None
    """Twilio's `CallSid`. None: Twilio assigned none."""
    direction: str = "inbound"
    """`inbound` or `outbound-api`."""
    caller: str = ""
    called: str = ""
    status: str = "completed"
    """Twilio's final status, or `refused`."""
    ending: str = ""
    """Why the call ended, in words. Empty for a call without an answer: its `status` says why."""
    ending_code: str = ""
    """The same as a code: the name of an `EndReason` in lower case, or the status of a call without an answer."""
    ended_at: datetime | None = None
    duration_s: float = 0.0
    answered_by: str = ""
    message_left: bool = False
    error: str = ""
    output: T | None = None
    """The result. None: the conversation did not give it, or no result was requested."""
    summary: str = ""
    """What a text model wrote about the call, where one is configured."""
    transcript: tuple[Line, ...] = ()
    """What was said, and what of it was heard."""
    agents: tuple[str, ...] = ()
    """The agents that have spoken, in order."""
    turns: tuple[Mapping[str, Any], ...] = ()
    """The agent's turns: `at_ms` since the start, `latency_ms` (None: not known) and `cut`, if it was interrupted."""
    interruptions: int = 0
    """How often the caller interrupted the agent."""
    tools: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By the name of the tool: `calls` and `failures`."""
    model: str = ""
    model_cost: float | None = None
    """What the model costs, in US dollars. None: not known."""
    cost: float | None = None
    """What Twilio charges, in `currency`. None: not known yet."""
    currency: str = ""
    journal: str = ""
    """The path of the journal. Empty: there is none."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """`Call.data` at the end of the call."""
