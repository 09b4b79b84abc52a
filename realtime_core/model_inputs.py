"""The inputs that a session sends to a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    "as_sent",
]


class RealtimeModelRawClientMessage(TypedDict):
    """A client event of the protocol. `other_data` has the fields other than `type`."""

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
    """A complete message. `role` is `user`, or `system` for text that does not come from the caller."""

    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[RealtimeModelInputTextContent | RealtimeModelInputImageContent]


RealtimeModelUserInput = str | RealtimeModelUserInputMessage


@dataclass
class RealtimeModelSendRawMessage:
    """An input that sends a client event of the protocol unchanged."""

    message: RealtimeModelRawClientMessage


@dataclass
class RealtimeModelSendUserInput:
    """An input that adds a message to the conversation. If `respond` is True, the model answers the message."""

    user_input: RealtimeModelUserInput
    respond: bool = True


@dataclass
class RealtimeModelSendAudio:
    """An input with audio of the caller in the session's input format. If `commit` is True, the caller's turn ends
    after this audio.

    `ulaw` is the same audio as mu-law at 8 kHz, if `audio` is the result of `Upsampler3.push_ulaw(ulaw)`. A model that
    keeps the audio for a later session may keep `ulaw` instead, which is a sixth of the size.
    """

    audio: bytes
    commit: bool = False
    ulaw: bytes | None = None


@dataclass
class RealtimeModelSendToolOutput:
    """An input with the result of a tool call. If `start_response` is True, the model responds to the result."""

    tool_call: RealtimeModelToolCallEvent
    output: str
    start_response: bool = True


@dataclass
class RealtimeModelSendMcpApproval:
    """The answer to a `RealtimeModelMcpApprovalRequestEvent`. The model gets the `reason`. The model responds to a
    refusal immediately, and to an approved call after the tool has run.
    """

    request_id: str
    approve: bool
    reason: str | None = None


@dataclass
class RealtimeModelSendInterrupt:
    """An input that stops the agent's speech: playback, and the response if it is in progress.

    With `response_id`, only the response with this id is stopped. With `playback_only`, the playback stops and the
    response continues. With `cancel_response_only`, the response is cancelled and the playback continues.
    `force_response_cancel` is accepted for compatibility, because an interrupt always cancels.
    """

    force_response_cancel: bool = False
    response_id: str | None = None
    cancel_response_only: bool = False
    playback_only: bool = False


@dataclass
class RealtimeModelSendSessionUpdate:
    """An input that changes the session's settings. Only the differences from the acknowledged settings are sent.

    `previous` has the settings that `session_settings` replace, for example the settings of the agent before a handoff.
    A setting that is equal in `previous` and `session_settings` is not sent, because the user may have changed this
    setting in the meantime. A setting that only `previous` has is reset.
    """

    session_settings: RealtimeSessionModelSettings
    previous: RealtimeSessionModelSettings | None = field(default=None, compare=False, repr=False)
    answered: Callable[[Exception | None], None] | None = field(default=None, compare=False, repr=False)
    """A function that is called once by a model with `confirms_settings` (see `ModelCapabilities`): with None if the
    server accepted the settings, or with the exception if the server refused the settings.
    """


@dataclass
class RealtimeModelSendResponseCreate:
    """An input that requests a response. `options` are the fields of the protocol's `response` object (`instructions`,
    `conversation`, `metadata`, ...).
    """

    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class RealtimeModelSendResponseCancel:
    """An input that cancels the response in progress. Playback continues."""

    response_id: str | None = None


@dataclass
class RealtimeModelSendPauseResponses:
    """An input that pauses or resumes responses. If `paused` is True, the model hears the caller and makes no response,
    and requests for responses wait. If `paused` is False, the model responds again: to the waiting requests, and to
    later turns of the caller.

    Only for a model with `pauses_responses` (see `ModelCapabilities`).
    """

    paused: bool
    answered: Callable[[Exception | None], None] | None = field(default=None, compare=False, repr=False)
    """A function that is called once: with None if the server has accepted the pause or the end of the pause, or with
    the exception if the server refused.
    """


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


def as_sent(event: RealtimeModelSendEvent) -> RealtimeModelSendEvent:
    """Returns the input with copies of its dicts. An input may wait for a connection or for the end of a response, and
    the application may change its dict in the meantime.
    """
    match event:
        case RealtimeModelSendUserInput():
            return replace(event, user_input=copy.deepcopy(event.user_input))
        case RealtimeModelSendRawMessage():
            return replace(event, message=copy.deepcopy(event.message))
        case RealtimeModelSendResponseCreate():
            return replace(event, options=copy.deepcopy(event.options))
        case _:
            return event
