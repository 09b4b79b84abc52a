"""What a model emits. Each class carries its name as `type`.

The classes that the OpenAI Agents SDK has, too, take the same positional arguments as there. Our own fields come after
them and are given by name.
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
    """The server complained about something and goes on. `error` is a `ServerRejected` or the server's own object."""

    error: Any
    type: Literal["error"] = "error"


@dataclass
class RealtimeModelToolCallEvent:
    """The model calls a tool. `arguments` is JSON text; `id` the item's id."""

    name: str
    call_id: str
    arguments: str
    id: str | None = None
    previous_item_id: str | None = None
    type: Literal["function_call"] = "function_call"
    response_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelMcpApprovalRequestEvent:
    """The model wants to call a tool that the server runs (hosted MCP), and the server asks whether it may.
    `RealtimeModelSendMcpApproval` answers."""

    id: str
    server_label: str
    name: str
    arguments: str
    type: Literal["mcp_approval_request"] = "mcp_approval_request"


@dataclass
class RealtimeModelMcpCallEvent:
    """A call of a tool that the server runs (hosted MCP) has begun or is over. `id` is the item's id; `output` is None
    while the call runs, and where the server did not tell it; `error` is the text of a failure. `silent`: no response
    is asked for, because one is being made or was made already."""

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
    """A piece of the agent's voice, in the session's output format (PCM16 little-endian 24 kHz mono by default)."""

    data: bytes
    response_id: str
    item_id: str
    content_index: int
    type: Literal["audio"] = "audio"


@dataclass
class RealtimeModelAudioInterruptedEvent:
    """What was being played has been cut. `audio_end_ms` is how much of `item_id` was heard; `items` and `truncations`
    tell it for every part that was playing or queued."""

    item_id: str
    content_index: int
    type: Literal["audio_interrupted"] = "audio_interrupted"
    audio_end_ms: int = field(default=0, kw_only=True)
    items: tuple[HeardItem, ...] = field(default=(), kw_only=True)
    truncations: tuple[Truncation, ...] = field(default=(), kw_only=True)
    response_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelAudioDoneEvent:
    """All audio of this part has been received (not heard)."""

    item_id: str
    content_index: int
    type: Literal["audio_done"] = "audio_done"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeModelInputAudioTranscriptionCompletedEvent:
    item_id: str
    transcript: str
    type: Literal["input_audio_transcription_completed"] = "input_audio_transcription_completed"
    content_index: int = field(default=0, kw_only=True)
    usage: dict[str, Any] | None = field(default=None, kw_only=True)
    languages: list[str] = field(default_factory=list, kw_only=True)
    """The languages that were spoken, as the transcription model names them (`en`); empty where it names none."""
    logprobs: list[dict[str, Any]] = field(default_factory=list, kw_only=True)
    """`token`, `logprob` and `bytes` of each token, where the setting `include` asks for them."""


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
    """The caller began to speak, `audio_start_ms` into the input audio of the session."""

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
    """The whole text of a part that the agent writes."""

    item_id: str
    text: str
    response_id: str
    type: Literal["output_text_done"] = "output_text_done"
    content_index: int = field(default=0, kw_only=True)


@dataclass
class RealtimeModelItemUpdatedEvent:
    """An item of the conversation was added or changed. `previous_item_id` orders it (None: unknown, "": first)."""

    item: RealtimeItem
    type: Literal["item_updated"] = "item_updated"
    previous_item_id: str | None = field(default=None, kw_only=True)


@dataclass
class RealtimeModelOtherItemEvent:
    """The conversation has an item that the history does not list, and that keeps its place in the order: a tool's
    output (with its `call_id`), a call that is not complete, a list of a server's tools, reasoning, ... `item_type` is
    the protocol's name."""

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
    """The server confirms a truncation: this much was heard."""

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
    """Nothing more will come, and nothing failed."""

    type: Literal["end_of_stream"] = "end_of_stream"


@dataclass
class RealtimeModelTurnStartedEvent:
    """A response has begun."""

    type: Literal["turn_started"] = "turn_started"
    response_id: str | None = None


@dataclass
class RealtimeModelTurnEndedEvent:
    """A response is over. `status` is the protocol's: completed, cancelled, incomplete, failed; `reason` and `error`
    come from its `status_details`."""

    type: Literal["turn_ended"] = "turn_ended"
    response_id: str | None = None
    status: str = field(default="completed", kw_only=True)
    reason: str | None = field(default=None, kw_only=True)
    error: Any = field(default=None, kw_only=True)


@dataclass
class RealtimeModelResponseFailedEvent:
    """A response did not do what it was made for; comes after its `turn_ended`. `reason` is the protocol's (an error
    code, `max_output_tokens`, `content_filter`), `empty` or `text_only` for a response without audio in an audio
    session, `no_reaction` if the server never answered the request. `response_id` is "" for a response that was refused
    before it began. With `retrying` it is asked for once more; without, nobody will speak unless somebody acts."""

    response_id: str
    status: str
    reason: str
    error: Any = None
    retrying: bool = False
    type: Literal["response_failed"] = "response_failed"


@dataclass
class RealtimeModelCachedTokensDetails:
    """Cached input tokens by modality. None: the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


@dataclass
class RealtimeModelInputTokensDetails:
    """Input tokens by modality. None: the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None
    cached_tokens: int | None = None
    cached_tokens_details: RealtimeModelCachedTokensDetails | None = None


@dataclass
class RealtimeModelOutputTokensDetails:
    """Output tokens by modality. None: the server did not report the number."""

    text_tokens: int | None = None
    audio_tokens: int | None = None


@dataclass
class RealtimeModelUsageEvent:
    """The tokens of one response. The two `details` are None where the server did not break the tokens down."""

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
    """A key on a SIP call held by the server."""

    digit: str
    type: Literal["dtmf"] = "dtmf"


@dataclass
class RealtimeModelOtherEvent:
    data: Any
    type: Literal["other"] = "other"


@dataclass
class RealtimeModelExceptionEvent:
    """Something fatal: the session delivers what is queued, then raises `exception`."""

    exception: Exception
    context: str | None = None
    type: Literal["exception"] = "exception"


@dataclass
class RealtimeModelRawServerEvent:
    """A server event as it came. `data` is the decoded JSON object."""

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
"""Events that the OpenAI Agents SDK does not have. `async for event in session` leaves them out."""

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
