"""An ended call, as it is passed to `on_end` of the application. Pure."""

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
    """What the callback `on_end` of the application gets about a call that has ended. Phone numbers are complete, and
    the conversation is not masked. Dates are in UTC.
    """

    id: str
    """The id: this application's own id for a placed call, and the `CallSid` for an inbound call."""
    sid: str | None = None
    """Twilio's `CallSid`, or None if Twilio assigned no SID."""
    direction: str = "inbound"
    """`inbound` for a call to this application, or `outbound-api` for a call that this application placed."""
    caller: str = ""
    called: str = ""
    status: str = "completed"
    """Twilio's final status (`completed`, `busy`, `no-answer`, `failed` or `canceled`), or `refused` if the call was
    not permitted.
    """
    ending: str = ""
    """The reason why the call ended, as text. The text is empty for a call without an answer, for which `status` is the
    reason.
    """
    ending_code: str = ""
    """The reason why the call ended, as a code: the name of an `EndReason` in lower case, or the status of a call
    without an answer.
    """
    ended_at: datetime | None = None
    duration_s: float = 0.0
    answered_by: str = ""
    message_left: bool = False
    error: str = ""
    output: T | None = None
    """The structured result. None if the conversation did not complete the result, or if no result was requested."""
    summary: str = ""
    """The summary from a text model. The text is empty if no text model is configured."""
    transcript: tuple[Line, ...] = ()
    """The lines of the conversation, with the heard part of each line."""
    agents: tuple[str, ...] = ()
    """The names of the agents that have spoken, in order."""
    turns: tuple[Mapping[str, Any], ...] = ()
    """The agent's turns. Each turn has `at_ms` (milliseconds since the start of the call), `latency_ms` (the response
    latency in milliseconds that the caller experienced, or None), and `cut` if the turn was interrupted.
    """
    interruptions: int = 0
    """The number of times that the caller interrupted the agent."""
    tools: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """The number of `calls` and of `failures` of each tool, by the name of the tool."""
    model: str = ""
    model_cost: float | None = None
    """The cost of the model in US dollars, or None if the cost is unknown."""
    cost: float | None = None
    """The price of the call at Twilio, in `currency`, or None if the price is not known yet."""
    currency: str = ""
    journal: str = ""
    """The path of the journal, or its URL in object storage. The journal is at this URL some seconds after the end of
    the call. The text is empty if there is no journal.
    """
    data: Mapping[str, Any] = field(default_factory=dict)
    """The value of `Call.data` at the end of the call."""
