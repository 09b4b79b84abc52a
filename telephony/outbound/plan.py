"""What a call is to be, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ..audio.files import Clip, load_words

if TYPE_CHECKING:
    from ..call.options import AgentSource

__all__ = ["GREETING", "AnsweredBy", "CallPlan", "CallResult", "LeaveMessage", "Line", "Status"]

T = TypeVar("T")

GREETING = "Greet the person you are calling, say who you are and why you call."

Status = Literal["completed", "busy", "no-answer", "failed", "canceled", "refused"]
"""Twilio's, and `refused`: the call was not asked for (`CallResult.error` says why)."""

AnsweredBy = Literal["", "human", "machine", "screening", "fax", "unknown"]
"""`screening`: an assistant that asks who calls, and did not put the call through."""


@dataclass(frozen=True, slots=True)
class LeaveMessage:
    """What a voicemail gets, after its beep and to its end: words for the model to say, or a clip (an audio file's path
    or bytes, or mu-law at 8 kHz), which becomes mu-law. Raises `AudioFileError`."""

    message: str | Clip

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", load_words(self.message, "LeaveMessage"))


@dataclass(frozen=True, slots=True)
class Line:
    """Somebody said this. `heard` is what reached the callee of it, where that was less."""

    who: Literal["agent", "callee"]
    text: str
    heard: str | None = None


@dataclass(frozen=True, slots=True)
class CallResult(Generic[T]):
    """How a call ended. It always says what happened, whatever went wrong.

    `output` is the filled-in result model, or None where the conversation did not give it. `cost` is what Twilio says,
    in `currency`, where it has said so already (it takes some minutes).
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

    @property
    def reached(self) -> bool:
        """Did we speak with somebody?"""
        return self.status == "completed" and self.answered_by in ("human", "unknown")


@dataclass(frozen=True, slots=True)
class CallPlan:
    """One call to make. `agent` None: the server's own."""

    to: str
    agent: AgentSource | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    result: type[Any] | Mapping[str, Any] | None = None
    """A pydantic model, or the JSON schema of an object."""
    machine: LeaveMessage | None = None
    """None: a machine is hung up on."""
    greeting: str = GREETING
    max_s: float | None = 600.0
    ring_s: int = 30
    secrets: Mapping[str, Any] = field(default_factory=dict)
    """As `data`, but for tools alone: the model is not told."""
    detect: bool = True
    """Find out who answered before a word is said."""
    timezone: str | None = None
    """The callee's, for quiet hours; None: by the number."""

    def told(self) -> dict[str, Any]:
        """For the call's journal, so that it can be replayed: JSON, and no secret. A clip is told by its length."""
        message = None if self.machine is None else self.machine.message
        return {
            "greeting": self.greeting,
            "message": len(message) if isinstance(message, bytes) else message,
            "detect": self.detect,
            "facts": {name: str(value) for name, value in self.data.items()},
        }

    @classmethod
    def retold(cls, told: Mapping[str, Any]) -> CallPlan:
        """The plan that was `told`, as far as it was."""
        message = told.get("message")
        clip_or_words = b"\xff" * max(message, 1) if isinstance(message, int) else message
        return cls(
            to="",
            data=dict(told.get("facts") or {}),
            machine=None if clip_or_words is None else LeaveMessage(clip_or_words),
            greeting=str(told.get("greeting", GREETING)),
            detect=bool(told.get("detect", True)),
        )
