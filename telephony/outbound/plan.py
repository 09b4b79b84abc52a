"""An outgoing call: the plan (who is called, by which agent, within which limits), and the result of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from realtime_core.errors import UserError

from ..argument_types import Rule, check_fields
from ..audio.files import Clip, load_words

if TYPE_CHECKING:
    from realtime_core import FunctionTool

    from ..call.options import AgentSource
    from ..outcomes.transcript import Line

__all__ = ["GREETING", "AnsweredBy", "CallPlan", "CallResult", "LeaveMessage", "Status"]

T = TypeVar("T")

GREETING = "Greet the person you are calling, say who you are and why you call."

Status = Literal["completed", "busy", "no-answer", "failed", "canceled", "refused"]
"""Twilio's final statuses, and `refused` for a call that the dialing rules, the do-not-call list or a budget did not
permit. `CallResult.error` contains the reason.
"""

AnsweredBy = Literal["", "human", "machine", "screening", "fax", "unknown"]
"""The kinds of answers. `screening` means that a screening service answered and did not connect the call. An empty text
means that there was no answer.
"""


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """The message for a voicemail, which is played after the beep. The message is a text that the model says, or a
    clip: an audio file (its path or its bytes), or mu-law at 8 kHz. Raises `AudioFileError` for an unusable clip, and
    `UserError` for an empty text.
    """

    message: str | Clip

    def __post_init__(self) -> None:
        if isinstance(self.message, str) and not self.message.strip():
            raise UserError("LeaveMessage: the message is empty. Give a text or a clip, or leave out the LeaveMessage.")
        object.__setattr__(self, "message", load_words(self.message, "LeaveMessage"))


@dataclass(frozen=True)  # with slots, CallResult[Model](...) raises TypeError on Python 3.11
class CallResult(Generic[T]):
    """The result of a placed call. Every call has a result, also after a failure.

    `output` is the filled-in result model, or None if the conversation did not complete the result. `cost` is Twilio's
    price in `currency`. Twilio needs some minutes to compute the price. Until then `cost` is None.
    """

    to: str
    status: Status
    answered_by: AnsweredBy = ""
    output: T | None = None
    message_left: bool = False
    transcript: tuple[Line, ...] = ()
    duration_s: int = 0
    cost: float | None = None
    currency: str = ""
    sid: str | None = None
    error: str = ""
    summary: str = ""
    """The summary of the call from a text model (TELEPHONY_TEXT_MODEL_URL, TELEPHONY_SUMMARIES). The text is empty if
    no summary was written.
    """
    silence_s: float | None = None
    """The time in seconds for which a person who answered waited for the agent's first words. The time counts from the
    end of the person's first words until the agent's first words or the end of the call. None if no person answered.
    """

    @property
    def reached(self) -> bool:
        """Whether the agent spoke with a person."""
        return self.status == "completed" and self.answered_by in ("human", "unknown")


_RULES: Mapping[str, Rule] = {
    "data": (Mapping, "a mapping"),
    "secrets": (Mapping, "a mapping"),
    "machine": (LeaveMessage | None, "a LeaveMessage"),
    "greeting": (str, "a text"),
    "max_s": (int | float | None, "a number of seconds"),
    "ring_s": (int, "a whole number of seconds"),
    "detect": (bool, "True or False"),
    "timezone": (str | None, "the name of a time zone, like Europe/Berlin"),
}


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The plan of one placed call: who is called, by which agent, with which data, messages and limits. Without an
    `agent`, the server's own agent speaks. Raises `UserError` if a field has a wrong type.
    """

    to: str
    agent: AgentSource | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    result: type[Any] | Mapping[str, Any] | None = None
    """The type of the result: a pydantic model, a dataclass, a TypedDict, or the JSON schema of an object."""
    machine: LeaveMessage | None = None
    """The message for a voicemail. With None, the call is hung up if a machine answers."""
    greeting: str = GREETING
    max_s: float | None = 600.0
    ring_s: int = 30
    secrets: Mapping[str, Any] = field(default_factory=dict)
    """Data about this call for tools only. The model does not get this data. (`data` is for the model and for
    tools.)
    """
    detect: bool = True
    """Whether the program finds out who has answered (a person or a machine) before the agent speaks."""
    timezone: str | None = None
    """The time zone of the callee, for quiet hours. With None, the time zone is derived from the number."""
    extension: str = ""
    """Keys that Twilio presses after the answer, such as `42`."""
    tools: tuple[FunctionTool, ...] = ()
    """The tools for this call, in addition to the tools of the agent."""

    def __post_init__(self) -> None:
        check_fields("A call", _RULES, self)

    def to_journal(self) -> dict[str, Any]:
        """Returns the plan of the call as JSON values without secrets, for the journal of the call. A clip is replaced
        by its length.
        """
        message = None if self.machine is None else self.machine.message
        return {
            "greeting": self.greeting,
            "message": len(message) if isinstance(message, bytes) else message,
            "detect": self.detect,
            "facts": {name: str(value) for name, value in self.data.items()},
        }

    @classmethod
    def from_journal(cls, recorded: Mapping[str, Any]) -> CallPlan:
        """Returns the plan with which a recorded call is replayed: the greeting, the message for a voicemail, and the
        data of the call. `recorded` is what `to_journal` wrote to the journal. A recorded clip is replaced by silence
        of the same length.
        """
        message = recorded.get("message")
        clip_or_words = b"\xff" * max(message, 1) if isinstance(message, int) else str(message or "")
        return cls(
            to="",
            data=dict(recorded.get("facts") or {}),
            machine=LeaveMessage(clip_or_words) if clip_or_words.strip() else None,
            greeting=str(recorded.get("greeting", GREETING)),
            detect=bool(recorded.get("detect", True)),
        )
