"""The events that a model emits. Each class has its name as `type`.

The OpenAI Agents SDK's classes take the same positional arguments as in the SDK. Additional fields of this package are
keyword-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from .connection import Close
    from .items import RealtimeItem
    from .playback import HeardItem, Truncation
    from .usage import Usage

RealtimeConnectionStatus = Literal["connecting", "connected", "reconnecting", "disconnected"]


@dataclass
class RealtimeModelErrorEvent:
    """The server reported an error and continues. `error` is a `ServerRejected` or the server's error object."""

    error: Any
    type: Literal["error"] = "error"


@dataclass
class RealtimeModelToolCallEvent:
    """The model calls a tool. `arguments` is JSON text. `id` is the id of the item."""

    name: str
    call_id: str
    arguments: str
    id: str | None = None
    previous_item_id: str | None = None
    type: Literal["function_call"] = "function_call"
    response_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelMcpApprovalRequestEvent:
    """The server asks whether the model may call a tool that the server runs (hosted MCP). The answer is a
    `RealtimeModelSendMcpApproval`.
    """

    id: str
    server_label: str
    name: str
    arguments: str
    type: Literal["mcp_approval_request"] = "mcp_approval_request"


@dataclass
class RealtimeModelMcpCallEvent:
    """A call of a tool that the server runs (hosted MCP) began or ended. `id` is the id of the call's item in the
    conversation. `output` is None while the call runs, and if the server did not report the output. `error` is the text
    of a failure. `silent` is True if the session does not have to request a response, because a response is in progress
    or complete.
    """

    id: str
    server_label: str
    name: str
    arguments: str
    status: Literal["in_progress", "completed", "failed"] = "in_progress"
    output: str | None = None
    error: str | None = None
    type: Literal["mcp_call"] = "mcp_call"
    silent: bool = field(default=False, kw_only=True)


@dataclass
class RealtimeModelAudioEvent:
    """A piece of the agent's audio in the session's output format (default PCM16 little-endian 24 kHz mono)."""

    data: bytes
    response_id: str
    item_id: str
    content_index: int
    type: Literal["audio"] = "audio"


@dataclass
class RealtimeModelAudioInterruptedEvent:
    """Playback was cut. `audio_end_ms` is the heard position in the item `item_id`: the milliseconds of its audio that
    the caller has heard. `items` has the heard position of every content part whose audio was playing or queued.
    `truncations` has the commands with which the audio was cut on the server.
    """

    item_id: str
    content_index: int
    type: Literal["audio_interrupted"] = "audio_interrupted"
    audio_end_ms: int = field(default=0, kw_only=True)
    items: tuple[HeardItem, ...] = field(default=(), kw_only=True)
    truncations: tuple[Truncation, ...] = field(default=(), kw_only=True)
    response_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelAudioDoneEvent:
    """All audio of one content part (`item_id` and `content_index`) was received. The caller may not have heard the
    part yet."""

    item_id: str
    content_index: int
    type: Literal["audio_done"] = "audio_done"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeModelInputAudioTranscriptionCompletedEvent:
    """A turn of the caller's speech was transcribed. `transcript` is the whole text of the item's speech."""

    item_id: str
    transcript: str
    type: Literal["input_audio_transcription_completed"] = "input_audio_transcription_completed"
    content_index: int = field(default=0, kw_only=True)
    usage: dict[str, Any] | None = field(default=None, kw_only=True)
    languages: list[str] = field(default_factory=list, kw_only=True)
    """The languages of the speech, as reported by the transcription model (such as `en`). The list is empty if the
    model reports no language.
    """
    logprobs: list[dict[str, Any]] = field(default_factory=list, kw_only=True)
    """The details of each token of the transcript (`token`, `logprob` and `bytes`), if the setting `include` requests
    these details.
    """


@dataclass
class RealtimeModelInputAudioTranscriptionDeltaEvent:
    item_id: str
    delta: str
    content_index: int = 0
    type: Literal["input_audio_transcription_delta"] = "input_audio_transcription_delta"


@dataclass
class RealtimeModelInputAudioTranscriptionFailedEvent:
    item_id: str
    error: Any
    content_index: int = 0
    type: Literal["input_audio_transcription_failed"] = "input_audio_transcription_failed"


@dataclass
class RealtimeModelInputAudioTimeoutTriggeredEvent:
    item_id: str
    audio_start_ms: int
    audio_end_ms: int
    type: Literal["input_audio_timeout_triggered"] = "input_audio_timeout_triggered"


@dataclass
class RealtimeModelSpeechStartedEvent:
    """The caller began to speak. `audio_start_ms` is the position at which the speech begins: the milliseconds of
    caller audio since the session began.
    """

    item_id: str
    audio_start_ms: int
    type: Literal["speech_started"] = "speech_started"


@dataclass
class RealtimeModelSpeechStoppedEvent:
    item_id: str
    audio_end_ms: int
    type: Literal["speech_stopped"] = "speech_stopped"


@dataclass
class RealtimeModelInputAudioCommittedEvent:
    item_id: str
    previous_item_id: str | None = None
    type: Literal["input_audio_committed"] = "input_audio_committed"


@dataclass
class RealtimeModelTranscriptDeltaEvent:
    item_id: str
    delta: str
    response_id: str
    type: Literal["transcript_delta"] = "transcript_delta"
    content_index: int = field(default=0, kw_only=True)


@dataclass
class RealtimeModelTranscriptDoneEvent:
    item_id: str
    transcript: str
    response_id: str
    content_index: int = 0
    type: Literal["transcript_done"] = "transcript_done"


@dataclass
class RealtimeModelOutputTextDeltaEvent:
    item_id: str
    delta: str
    response_id: str
    type: Literal["output_text_delta"] = "output_text_delta"
    content_index: int = field(default=0, kw_only=True)


@dataclass
class RealtimeModelOutputTextDoneEvent:
    """The whole text of a content part that the agent wrote."""

    item_id: str
    text: str
    response_id: str
    type: Literal["output_text_done"] = "output_text_done"
    content_index: int = field(default=0, kw_only=True)


@dataclass
class RealtimeModelItemUpdatedEvent:
    """An item was added to the conversation or was changed. `previous_item_id` defines the order (None: unknown, "":
    the first item).
    """

    item: RealtimeItem
    type: Literal["item_updated"] = "item_updated"
    previous_item_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelOtherItemEvent:
    """The conversation has an item that the history does not list. The item keeps its place in the order. Examples are
    a tool's output (with its `call_id`), an incomplete call, a list of a server's tools, and reasoning. `item_type` is
    the protocol's name.
    """

    item_id: str
    item_type: str
    type: Literal["other_item"] = "other_item"
    previous_item_id: str | None = field(default=None, kw_only=True)
    call_id: str | None = field(default=None, kw_only=True)
    output: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelItemDeletedEvent:
    item_id: str
    type: Literal["item_deleted"] = "item_deleted"


@dataclass
class RealtimeModelItemTruncatedEvent:
    """The server confirmed that the audio of an item was truncated. The server keeps the first `audio_end_ms`
    milliseconds of the content part, which the caller has heard.
    """

    item_id: str
    content_index: int
    audio_end_ms: int
    type: Literal["item_truncated"] = "item_truncated"


@dataclass
class RealtimeModelConnectionStatusEvent:
    status: RealtimeConnectionStatus
    type: Literal["connection_status"] = "connection_status"
    close: Close | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelEndOfStreamEvent:
    """The model emits no more events, because the connection ended without an error."""

    type: Literal["end_of_stream"] = "end_of_stream"


@dataclass
class RealtimeModelTurnStartedEvent:
    """A response began."""

    type: Literal["turn_started"] = "turn_started"
    response_id: str | None = None


@dataclass
class RealtimeModelTurnEndedEvent:
    """A response ended. `status` is the protocol's status: completed, cancelled, incomplete or failed. `reason` and
    `error` come from its `status_details`.
    """

    type: Literal["turn_ended"] = "turn_ended"
    response_id: str | None = None
    status: str = field(default="completed", kw_only=True)
    reason: str | None = field(default=None, kw_only=True)
    error: Any = field(default=None, kw_only=True)


@dataclass
class RealtimeModelResponseFailedEvent:
    """A response failed. This event follows the `turn_ended` event of the response.

    `reason` is the protocol's reason (an error code, `max_output_tokens`, `content_filter`), `empty` or `text_only` for
    a response without audio in an audio session, or `no_reaction` if the server never answered the request.
    `response_id` is "" if the response was refused before it began. If `retrying` is True, the request is sent again.
    Otherwise the agent stays silent until the program acts.
    """

    response_id: str
    status: str
    reason: str
    error: Any = None
    retrying: bool = False
    type: Literal["response_failed"] = "response_failed"


@dataclass
class RealtimeModelCachedTokensDetails:
    """Cached input tokens by modality. None means that the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


@dataclass
class RealtimeModelInputTokensDetails:
    """Input tokens by modality. None means that the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: RealtimeModelCachedTokensDetails | None = None


@dataclass
class RealtimeModelOutputTokensDetails:
    """Output tokens by modality. None means that the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


@dataclass
class RealtimeModelUsageEvent:
    """The number of tokens of one response. `input_tokens_details` and `output_tokens_details` are None if the server
    did not report the tokens by modality.
    """

    usage: Usage
    input_tokens_details: RealtimeModelInputTokensDetails | None = None
    output_tokens_details: RealtimeModelOutputTokensDetails | None = None
    type: Literal["usage"] = "usage"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeModelRateLimitsEvent:
    rate_limits: list[dict[str, Any]]
    type: Literal["rate_limits"] = "rate_limits"


@dataclass
class RealtimeModelDtmfEvent:
    """The caller pressed a key in a SIP call whose audio goes directly to the server."""

    digit: str
    type: Literal["dtmf"] = "dtmf"


@dataclass
class RealtimeModelOtherEvent:
    data: Any
    type: Literal["other"] = "other"


@dataclass
class RealtimeModelExceptionEvent:
    """A fatal error. The session delivers the queued events, and then raises `exception`."""

    exception: Exception
    context: str | None = None
    type: Literal["exception"] = "exception"


@dataclass
class RealtimeModelRawServerEvent:
    """An event of the server, unchanged. `data` is the decoded JSON object."""

    data: Any
    type: Literal["raw_server_event"] = "raw_server_event"


RealtimeModelOwnEvent = (
    RealtimeModelMcpApprovalRequestEvent
    | RealtimeModelMcpCallEvent
    | RealtimeModelOtherItemEvent
    | RealtimeModelInputAudioTranscriptionDeltaEvent
    | RealtimeModelInputAudioTranscriptionFailedEvent
    | RealtimeModelSpeechStartedEvent
    | RealtimeModelSpeechStoppedEvent
    | RealtimeModelInputAudioCommittedEvent
    | RealtimeModelTranscriptDoneEvent
    | RealtimeModelOutputTextDoneEvent
    | RealtimeModelItemTruncatedEvent
    | RealtimeModelResponseFailedEvent
    | RealtimeModelRateLimitsEvent
    | RealtimeModelDtmfEvent
)
"""The model's events that the OpenAI Agents SDK does not have. `async for event in session` does not yield these
events. Handlers of the session get each of them as the `data` of a `RealtimeRawModelEvent`.
"""

OWN_MODEL_EVENTS = get_args(RealtimeModelOwnEvent)

RealtimeModelEvent = (
    RealtimeModelErrorEvent
    | RealtimeModelToolCallEvent
    | RealtimeModelAudioEvent
    | RealtimeModelAudioInterruptedEvent
    | RealtimeModelAudioDoneEvent
    | RealtimeModelInputAudioTimeoutTriggeredEvent
    | RealtimeModelInputAudioTranscriptionCompletedEvent
    | RealtimeModelTranscriptDeltaEvent
    | RealtimeModelOutputTextDeltaEvent
    | RealtimeModelItemUpdatedEvent
    | RealtimeModelItemDeletedEvent
    | RealtimeModelConnectionStatusEvent
    | RealtimeModelEndOfStreamEvent
    | RealtimeModelTurnStartedEvent
    | RealtimeModelUsageEvent
    | RealtimeModelTurnEndedEvent
    | RealtimeModelOtherEvent
    | RealtimeModelExceptionEvent
    | RealtimeModelRawServerEvent
    | RealtimeModelOwnEvent
)

__all__ = [
    "OWN_MODEL_EVENTS",
    "RealtimeConnectionStatus",
    "RealtimeModelAudioDoneEvent",
    "RealtimeModelAudioEvent",
    "RealtimeModelAudioInterruptedEvent",
    "RealtimeModelCachedTokensDetails",
    "RealtimeModelConnectionStatusEvent",
    "RealtimeModelDtmfEvent",
    "RealtimeModelEndOfStreamEvent",
    "RealtimeModelErrorEvent",
    "RealtimeModelEvent",
    "RealtimeModelExceptionEvent",
    "RealtimeModelInputAudioCommittedEvent",
    "RealtimeModelInputAudioTimeoutTriggeredEvent",
    "RealtimeModelInputAudioTranscriptionCompletedEvent",
    "RealtimeModelInputAudioTranscriptionDeltaEvent",
    "RealtimeModelInputAudioTranscriptionFailedEvent",
    "RealtimeModelInputTokensDetails",
    "RealtimeModelItemDeletedEvent",
    "RealtimeModelItemTruncatedEvent",
    "RealtimeModelItemUpdatedEvent",
    "RealtimeModelMcpApprovalRequestEvent",
    "RealtimeModelMcpCallEvent",
    "RealtimeModelOtherEvent",
    "RealtimeModelOtherItemEvent",
    "RealtimeModelOutputTextDeltaEvent",
    "RealtimeModelOutputTextDoneEvent",
    "RealtimeModelOutputTokensDetails",
    "RealtimeModelOwnEvent",
    "RealtimeModelRateLimitsEvent",
    "RealtimeModelRawServerEvent",
    "RealtimeModelResponseFailedEvent",
    "RealtimeModelSpeechStartedEvent",
    "RealtimeModelSpeechStoppedEvent",
    "RealtimeModelToolCallEvent",
    "RealtimeModelTranscriptDeltaEvent",
    "RealtimeModelTranscriptDoneEvent",
    "RealtimeModelTurnEndedEvent",
    "RealtimeModelTurnStartedEvent",
    "RealtimeModelUsageEvent",
]
