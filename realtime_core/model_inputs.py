"""What a session sends to a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from .config import RealtimeSessionModelSettings
    from .model_events import RealtimeModelToolCallEvent

__all__ = [
    "RealtimeModelInputImageContent",
    "RealtimeModelInputTextContent",
    "RealtimeModelRawClientMessage",
    "RealtimeModelSendAudio",
    "RealtimeModelSendEvent",
    "RealtimeModelSendInterrupt",
    "RealtimeModelSendMcpApproval",
    "RealtimeModelSendRawMessage",
    "RealtimeModelSendResponseCancel",
    "RealtimeModelSendResponseCreate",
    "RealtimeModelSendSessionUpdate",
    "RealtimeModelSendToolOutput",
    "RealtimeModelSendUserInput",
    "RealtimeModelUserInput",
    "RealtimeModelUserInputMessage",
]


class RealtimeModelRawClientMessage(TypedDict):
    """A client event as the protocol has it; `other_data` are its fields besides `type`."""

    type: str
    other_data: NotRequired[dict[str, Any]]


class RealtimeModelInputTextContent(TypedDict):
    type: Literal["input_text"]
    text: str


class RealtimeModelInputImageContent(TypedDict, total=False):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"]


class RealtimeModelUserInputMessage(TypedDict):
    """One message in full. `role` is `user`, or `system` for what the caller did not say."""

    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[RealtimeModelInputTextContent | RealtimeModelInputImageContent]


RealtimeModelUserInput = str | RealtimeModelUserInputMessage


@dataclass
class RealtimeModelSendRawMessage:
    """Send a client event of the protocol as it is."""

    message: RealtimeModelRawClientMessage


@dataclass
class RealtimeModelSendUserInput:
    """Add a message to the conversation and, with `respond`, have the model answer."""

    user_input: RealtimeModelUserInput
    respond: bool = True


@dataclass
class RealtimeModelSendAudio:
    """The listener's microphone: audio in the session's input format. `commit` ends the turn by hand."""

    audio: bytes
    commit: bool = False


@dataclass
class RealtimeModelSendToolOutput:
    """The result of a tool call and, with `start_response`, a response to it."""

    tool_call: RealtimeModelToolCallEvent
    output: str
    start_response: bool = True


@dataclass
class RealtimeModelSendMcpApproval:
    """The answer to a `RealtimeModelMcpApprovalRequestEvent`. The model is told the `reason`, and speaks about a
    refusal at once, else when the tool has run."""

    request_id: str
    approve: bool
    reason: str | None = None


@dataclass
class RealtimeModelSendInterrupt:
    """Stop what is being said: playback, and the response if it is still being made.

    With `response_id` only that response is meant; `playback_only` leaves the response alone; `cancel_response_only`
    leaves playback alone. `force_response_cancel` is accepted for compatibility: an interrupt always cancels.
    """

    force_response_cancel: bool = False
    response_id: str | None = None
    cancel_response_only: bool = False
    playback_only: bool = False


@dataclass
class RealtimeModelSendSessionUpdate:
    """Change the session's settings; only what differs from what the server has acknowledged is sent.

    `previous`: the settings that these take the place of, one agent's those of another. What is the same in both is not
    asked for again, for it may have been changed since by other means; what only `previous` had is undone.
    """

    session_settings: RealtimeSessionModelSettings
    previous: RealtimeSessionModelSettings | None = field(default=None, compare=False, repr=False)
    answered: Callable[[Exception | None], None] | None = field(default=None, compare=False, repr=False)
    """Called once, by a model that `confirms_settings` (see `ModelCapabilities`): with None when the server has taken
    the settings, with the error when it has refused them."""


@dataclass
class RealtimeModelSendResponseCreate:
    """Ask for a response. `options` are the fields of the protocol's `response` object (`instructions`, `conversation`,
    `metadata`, ...)."""

    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class RealtimeModelSendResponseCancel:
    """Cancel the response that is being made, without touching what is playing."""

    response_id: str | None = None


RealtimeModelSendEvent = (
    RealtimeModelSendRawMessage
    | RealtimeModelSendUserInput
    | RealtimeModelSendAudio
    | RealtimeModelSendToolOutput
    | RealtimeModelSendMcpApproval
    | RealtimeModelSendInterrupt
    | RealtimeModelSendSessionUpdate
    | RealtimeModelSendResponseCreate
    | RealtimeModelSendResponseCancel
)
