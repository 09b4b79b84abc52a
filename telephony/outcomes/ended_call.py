"""An ended call, as `on_end` of the application gets it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from .transcript import Line

__all__ = ["EndedCall"]

T = TypeVar("T")


@dataclass(frozen=True)  # with slots, EndedCall[Model](...) raises TypeError on Python 3.11
class EndedCall(Generic[T]):
    """One call that has ended. Numbers are complete here, and what was said is not masked. Dates are in UTC."""

    id: str
    """Our own id of a placed call; the `CallSid` of an inbound call."""
    sid: str | None = None
    """Twilio's `CallSid`. None means Twilio assigned none."""
    direction: str = "inbound"
    """`inbound` or `outbound-api`."""
    caller: str = ""
    called: str = ""
    status: str = "completed"
    """Twilio's final status, or `refused`."""
    ending: str = ""
    """The reason why the call ended, in words. Empty for a call without an answer: its `status` says why."""
    ending_code: str = ""
    """The reason of the end as a code: the name of an `EndReason` in lower case, or the status of a call without an
    answer."""
    ended_at: datetime | None = None
    duration_s: float = 0.0
    answered_by: str = ""
    message_left: bool = False
    error: str = ""
    output: T | None = None
    """The result. None means that the conversation did not give it, or no result was requested."""
    summary: str = ""
    """The summary of a text model. An empty value means that no text model is configured."""
    transcript: tuple[Line, ...] = ()
    """The lines of the conversation, with what was heard of each."""
    agents: tuple[str, ...] = ()
    """The agents that have spoken, in order."""
    turns: tuple[Mapping[str, Any], ...] = ()
    """The agent's turns: `at_ms` since the start, `latency_ms` at the caller's ear (None: not known) and `cut`, if it
    was interrupted."""
    interruptions: int = 0
    """How often the caller interrupted the agent."""
    tools: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The numbers of `calls` and `failures`, by the name of the tool."""
    model: str = ""
    model_cost: float | None = None
    """The cost of the model in US dollars. None means unknown."""
    cost: float | None = None
    """The price of Twilio in `currency`. None: not known yet."""
    currency: str = ""
    journal: str = ""
    """The path of the journal, or its address in object storage, where it is some seconds after the end of the call.
    An empty value means that there is none."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The value of `Call.data` at the end of the call."""
