"""The inputs that a session sends to a model."""

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
    "RealtimeModelSendPauseResponses",
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
    """A client event of the protocol. `other_data` holds its fields besides `type`."""

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
    """A complete message. `role` is `user`, or `system` for text that is not the caller's."""

    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[RealtimeModelInputTextContent | RealtimeModelInputImageContent]


RealtimeModelUserInput = str | RealtimeModelUserInputMessage


@dataclass
class RealtimeModelSendRawMessage:
    """Send a client event of the protocol unchanged."""

    message: RealtimeModelRawClientMessage


@dataclass
class RealtimeModelSendUserInput:
    """Add a message to the conversation. With `respond` the model answers it."""

    user_input: RealtimeModelUserInput
    respond: bool = True


@dataclass
class RealtimeModelSendAudio:
    """The caller's audio in the session's input format. `commit` ends the turn."""

    audio: bytes
    commit: bool = False


@dataclass
class RealtimeModelSendToolOutput:
    """The result of a tool call. With `start_response` the model responds to it."""

    tool_call: RealtimeModelToolCallEvent
    output: str
    start_response: bool = True


@dataclass
class RealtimeModelSendMcpApproval:
    """The answer to a `RealtimeModelMcpApprovalRequestEvent`. The model gets the `reason`. It responds to a refusal at
    once, and to an approved call after the tool ran."""

    request_id: str
    approve: bool
    reason: str | None = None


@dataclass
class RealtimeModelSendInterrupt:
    """Stop the agent's speech: playback, and the response if it is in progress.

    With `response_id` only that response is stopped. `playback_only` leaves the response alone; `cancel_response_only`
    leaves playback alone. `force_response_cancel` is accepted for compatibility: an interrupt always cancels.
    """

    force_response_cancel: bool = False
    response_id: str | None = None
    cancel_response_only: bool = False
    playback_only: bool = False


@dataclass
class RealtimeModelSendSessionUpdate:
    """Change the session's settings. Only the differences from the acknowledged settings are sent.

    `previous` is the settings that these replace, for instance those of the former agent. A setting that is the same in
    both is not sent, because it may have been changed by other means. A setting that only `previous` has is undone.
    """

    session_settings: RealtimeSessionModelSettings
    previous: RealtimeSessionModelSettings | None = field(default=None, compare=False, repr=False)
    answered: Callable[[Exception | None], None] | None = field(default=None, compare=False, repr=False)
    """Called once by a model that `confirms_settings` (see `ModelCapabilities`): with None when the server accepted the
    settings, with the error when it refused them."""


@dataclass
class RealtimeModelSendResponseCreate:
    """Request a response. `options` are the fields of the protocol's `response` object (`instructions`, `conversation`,
    `metadata`, ...)."""

    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class RealtimeModelSendResponseCancel:
    """Cancel the response in progress. Playback continues."""

    response_id: str | None = None


@dataclass
class RealtimeModelSendPauseResponses:
    """With `paused`, let the model hear the caller and make no response, whatever asks for one. Requests wait. Without,
    let it respond again: to the requests that wait, and to the turns of the caller from then on.

    Only for a model that `pauses_responses` (see `ModelCapabilities`).
    """

    paused: bool
    answered: Callable[[Exception | None], None] | None = field(default=None, compare=False, repr=False)
    """Called once: with None when the server will make no response by itself (or will make them again), with the error
    when the server refused."""


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
    | RealtimeModelSendPauseResponses
)
