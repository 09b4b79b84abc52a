"""The plan of a placed call, and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..audio.files import Clip, load_words

if TYPE_CHECKING:
    from realtime_core import FunctionTool

    from ..call.options import AgentSource
    from ..outcomes.transcript import Line

__all__ = ["GREETING", "AnsweredBy", "CallPlan", "CallResult", "LeaveMessage", "Status"]

T = TypeVar("T")

GREETING = "Greet the person you are calling, say who you are and why you call."

Status = Literal["completed", "busy", "no-answer", "failed", "canceled", "refused"]
"""The final statuses of Twilio, and `refused`: the call was not requested. `CallResult.error` says why."""

AnsweredBy = Literal["", "human", "machine", "screening", "fax", "unknown"]
"""Who answered a call. `screening` means that an assistant screened the call and did not put it through. An empty value
means that no answer.
"""


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """The message for a voicemail, after its beep. It is words for the model to say, or a clip: an audio file (its path
    or its bytes), or mu-law at 8 kHz. Clips are converted to mu-law. Raises `AudioFileError`."""

    message: str | Clip

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", load_words(self.message, "LeaveMessage"))


@dataclass(frozen=True)  # with slots, CallResult[Model](...) raises TypeError on Python 3.11
class CallResult(Generic[T]):
    """How a call ended. A call always has a result, also after a failure.

    `output` is the filled-in result model, or None if the conversation did not fill it in. `cost` is Twilio's price in
    `currency`. Twilio needs some minutes to compute it; until then `cost` is None.
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
    """What a text model wrote about the call (TELEPHONY_TEXT_MODEL_URL, TELEPHONY_SUMMARIES)."""
    silence_s: float | None = None
    """How long a person who answered waited for the agent's first words, in seconds: from the end of what the person
    said, until the words or the end of the call. None means no person answered.
    """

    @property
    def reached(self) -> bool:
        """Whether the agent spoke with a person."""
        return self.status == "completed" and self.answered_by in ("human", "unknown")


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call to place. Without an `agent` the server's own agent speaks."""

    to: str
    agent: AgentSource | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    result: type[Any] | Mapping[str, Any] | None = None
    """The type of the result: a pydantic model, a dataclass, a TypedDict, or the JSON schema of an object."""
    machine: LeaveMessage | None = None
    """The message for a voicemail. None means that hang up on a machine."""
    greeting: str = GREETING
    max_s: float | None = 600.0
    ring_s: int = 30
    secrets: Mapping[str, Any] = field(default_factory=dict)
    """Facts like `data`, but for tools only. The model does not get them."""
    detect: bool = True
    """Whether to find out who answered before the agent speaks."""
    timezone: str | None = None
    """The time zone of the callee, for quiet hours. None means derived from the number."""
    extension: str = ""
    """Keys that Twilio presses after the answer, such as `42`."""
    tools: tuple[FunctionTool, ...] = ()
    """Tools for this call, besides those of the agent."""

    def to_journal(self) -> dict[str, Any]:
        """Returns the plan for the journal of the call, as JSON and without secrets. A clip is replaced by its
        length.
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
        """Returns the plan of a call that is replayed, from its journal."""
        message = recorded.get("message")
        clip_or_words = b"\xff" * max(message, 1) if isinstance(message, int) else message
        return cls(
            to="",
            data=dict(recorded.get("facts") or {}),
            machine=None if clip_or_words is None else LeaveMessage(clip_or_words),
            greeting=str(recorded.get("greeting", GREETING)),
            detect=bool(recorded.get("detect", True)),
        )
