"""The events that a session emits.

The attribute `type` of an event is its name as a text: `"agent_start"` for `RealtimeAgentStartEvent`. `info.context` is
the run context. `RealtimeSessionEvent` contains the fifteen events of the OpenAI Agents SDK's realtime layer. `async
for event in session` yields only these events, so code that rejects unknown events works. `RealtimeAnyEvent` also
contains the additional events of this package. Handlers, `session.events()` and `session.subscribe()` deliver all
events.

The SDK's classes take the same positional arguments as in the SDK. Additional fields of this package are keyword-only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from .model_events import OWN_MODEL_EVENTS

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .connection import Close
    from .guardrails import InputGuardrailResult, OutputGuardrailResult
    from .items import RealtimeItem
    from .model_events import RealtimeConnectionStatus, RealtimeModelEvent
    from .playback import HeardItem, Truncation
    from .run_context import RunContextWrapper
    from .tools import HostedTool, Tool
    from .user_code import UserCode

__all__ = [
    "AudioData",
    "RealtimeAgentEndEvent",
    "RealtimeAgentStartEvent",
    "RealtimeAnyEvent",
    "RealtimeAudio",
    "RealtimeAudioEnd",
    "RealtimeAudioInterrupted",
    "RealtimeConnectionStatusEvent",
    "RealtimeDtmf",
    "RealtimeError",
    "RealtimeEventInfo",
    "RealtimeGuardrailTripped",
    "RealtimeHandoffEvent",
    "RealtimeHistoryAdded",
    "RealtimeHistoryUpdated",
    "RealtimeInputAudioTimeoutTriggered",
    "RealtimeInputAudioTranscriptionDelta",
    "RealtimeInputAudioTranscriptionFailed",
    "RealtimeRateLimits",
    "RealtimeRawModelEvent",
    "RealtimeResponseFailed",
    "RealtimeResponseIncomplete",
    "RealtimeSessionEnded",
    "RealtimeSessionEvent",
    "RealtimeSpeechStarted",
    "RealtimeSpeechStopped",
    "RealtimeToolApprovalRequired",
    "RealtimeToolEnd",
    "RealtimeToolStart",
    "RealtimeTranscriptDelta",
    "is_sdk_event",
]


@dataclass
class RealtimeEventInfo:
    """The data that all events have: `context`, the run context of the session."""

    context: RunContextWrapper[Any]


class AudioData(bytes):
    """A piece of the agent's audio: bytes, with the ids of the response and the conversation item, and the index of the
    content part in the item.

    Both `play(event.audio)` and `event.audio.data` are possible.
    """

    item_id: str
    response_id: str
    content_index: int

    def __new__(cls, data: bytes, *, item_id: str = "", response_id: str = "", content_index: int = 0) -> AudioData:
        self = super().__new__(cls, data)
        self.item_id = item_id
        self.response_id = response_id
        self.content_index = content_index
        return self

    @property
    def data(self) -> bytes:
        """The audio in the session's output format."""
        return self

    @property
    def type(self) -> Literal["audio"]:
        return "audio"


@dataclass
class RealtimeAgentStartEvent:
    """An agent began a response."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_start"] = "agent_start"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeAgentEndEvent:
    """A response of an agent ended: completed, cancelled, incomplete or failed."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_end"] = "agent_end"
    response_id: str = field(default="", kw_only=True)
    status: str = field(default="completed", kw_only=True)


@dataclass
class RealtimeHandoffEvent:
    """One agent handed the conversation over to another."""

    from_agent: RealtimeAgent[Any]
    to_agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["handoff"] = "handoff"


@dataclass
class RealtimeToolStart:
    """A tool is about to run. `arguments` has the arguments of the call as JSON text. For a `HostedTool`, which runs on
    the model's server, `call_id` is the id of the tool's item.
    """

    agent: RealtimeAgent[Any]
    tool: Tool | HostedTool
    arguments: str
    info: RealtimeEventInfo
    type: Literal["tool_start"] = "tool_start"
    call_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeToolEnd:
    """A tool ran and its output was sent. `output` is the tool's result, or the text for the model after a failure.
    `silent` is True if no response was requested. `error` is the exception. For a `HostedTool`, the output and the text
    of the error come from the model's server.
    """

    agent: RealtimeAgent[Any]
    tool: Tool | HostedTool
    arguments: str
    output: Any
    info: RealtimeEventInfo
    type: Literal["tool_end"] = "tool_end"
    call_id: str = field(default="", kw_only=True)
    duration_s: float = field(default=0.0, kw_only=True)
    silent: bool = field(default=False, kw_only=True)
    error: BaseException | None = field(default=None, kw_only=True)


@dataclass
class RealtimeToolApprovalRequired:
    """A tool call waits for `session.approve_tool_call(call_id)` or `reject_tool_call(call_id)`."""

    agent: RealtimeAgent[Any]
    tool: Tool | HostedTool
    call_id: str
    arguments: str
    info: RealtimeEventInfo
    type: Literal["tool_approval_required"] = "tool_approval_required"


@dataclass
class RealtimeRawModelEvent:
    """An event that the model emitted (`data`), before the session has handled it."""

    data: RealtimeModelEvent
    info: RealtimeEventInfo
    type: Literal["raw_model_event"] = "raw_model_event"


@dataclass
class RealtimeAudioEnd:
    """All audio of one content part of an item was received. The audio may not have been played yet."""

    info: RealtimeEventInfo
    item_id: str
    content_index: int
    type: Literal["audio_end"] = "audio_end"


@dataclass
class RealtimeAudio:
    """A piece of the agent's audio."""

    audio: AudioData
    item_id: str
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio"] = "audio"


@dataclass
class RealtimeAudioInterrupted:
    """Playback was cut. The receiver must drop the audio that was not played. This event is emitted only if audio was
    cut.

    `played_ms` is the heard position in the item `item_id`: the milliseconds of its audio that the caller has heard.
    `items` has the heard position of every content part whose audio was playing or queued.
    """

    info: RealtimeEventInfo
    item_id: str
    content_index: int
    type: Literal["audio_interrupted"] = "audio_interrupted"
    played_ms: int = field(default=0, kw_only=True)
    items: tuple[HeardItem, ...] = field(default=(), kw_only=True)
    truncations: tuple[Truncation, ...] = field(default=(), kw_only=True)


@dataclass
class RealtimeError:
    """An error occurred and the session continues. `source` is the kind of users' code that failed, or None for an
    error of the model or its server.
    """

    error: Any
    info: RealtimeEventInfo
    type: Literal["error"] = "error"
    source: UserCode | None = field(default=None, kw_only=True)


@dataclass
class RealtimeHistoryUpdated:
    """The conversation changed. `history` is the whole conversation."""

    history: list[RealtimeItem]
    info: RealtimeEventInfo
    type: Literal["history_updated"] = "history_updated"


@dataclass
class RealtimeHistoryAdded:
    """The conversation has a new item."""

    item: RealtimeItem
    info: RealtimeEventInfo
    type: Literal["history_added"] = "history_added"


@dataclass
class RealtimeGuardrailTripped:
    """A guardrail tripped. `guardrail_results` has its result, and `message` is the text that the guardrail checked."""

    guardrail_results: list[OutputGuardrailResult | InputGuardrailResult]
    message: str
    info: RealtimeEventInfo
    type: Literal["guardrail_tripped"] = "guardrail_tripped"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeInputAudioTimeoutTriggered:
    """The caller said nothing for `idle_timeout_ms` milliseconds (a setting of the turn detection)."""

    info: RealtimeEventInfo
    type: Literal["input_audio_timeout_triggered"] = "input_audio_timeout_triggered"
    item_id: str = field(default="", kw_only=True)
    audio_start_ms: int = field(default=0, kw_only=True)
    audio_end_ms: int = field(default=0, kw_only=True)


@dataclass
class RealtimeSpeechStarted:
    """The caller began to speak. `audio_start_ms` is the position at which the speech begins: the milliseconds of
    caller audio since the session began.
    """

    info: RealtimeEventInfo
    item_id: str
    audio_start_ms: int
    type: Literal["speech_started"] = "speech_started"


@dataclass
class RealtimeSpeechStopped:
    """The caller stopped speaking. `audio_end_ms` is the position at which the speech ends: the milliseconds of caller
    audio since the session began.
    """

    info: RealtimeEventInfo
    item_id: str
    audio_end_ms: int
    type: Literal["speech_stopped"] = "speech_stopped"


@dataclass
class RealtimeTranscriptDelta:
    """A further piece of the text that the agent speaks or writes."""

    info: RealtimeEventInfo
    item_id: str
    delta: str
    response_id: str = ""
    content_index: int = 0
    type: Literal["transcript_delta"] = "transcript_delta"


@dataclass
class RealtimeInputAudioTranscriptionDelta:
    """A further piece of the transcript of the caller's speech."""

    info: RealtimeEventInfo
    item_id: str
    delta: str
    content_index: int = 0
    type: Literal["input_audio_transcription_delta"] = "input_audio_transcription_delta"


@dataclass
class RealtimeInputAudioTranscriptionFailed:
    """The caller's speech could not be transcribed. The model nevertheless received the audio."""

    info: RealtimeEventInfo
    item_id: str
    error: Any
    content_index: int = 0
    type: Literal["input_audio_transcription_failed"] = "input_audio_transcription_failed"


@dataclass
class RealtimeResponseFailed:
    """A response failed. `reason` is the code or type of the server's error, or one of the reasons that this package
    finds: `empty` or `text_only` (a response without audio) or `no_reaction` (no response). `error` is the protocol's
    error object with type, code and message, or None. If `retrying` is True, the request is sent again. Otherwise the
    agent stays silent until the program acts.
    """

    info: RealtimeEventInfo
    response_id: str
    error: Any = None
    reason: str | None = None
    status: str = "failed"
    retrying: bool = False
    type: Literal["response_failed"] = "response_failed"


@dataclass
class RealtimeResponseIncomplete:
    """A response ended early. `reason` is `max_output_tokens` or `content_filter`."""

    info: RealtimeEventInfo
    response_id: str
    reason: str | None = None
    retrying: bool = False
    type: Literal["response_incomplete"] = "response_incomplete"


@dataclass
class RealtimeRateLimits:
    """The remaining limits of the account, each with name, limit, remaining and reset_seconds."""

    info: RealtimeEventInfo
    rate_limits: list[dict[str, Any]]
    type: Literal["rate_limits"] = "rate_limits"


@dataclass
class RealtimeDtmf:
    """The caller pressed a key in a SIP call whose audio goes directly to the server."""

    info: RealtimeEventInfo
    digit: str
    type: Literal["dtmf"] = "dtmf"


@dataclass
class RealtimeConnectionStatusEvent:
    """The state of the connection to the model changed. `close` says how the connection ended, if it ended."""

    info: RealtimeEventInfo
    status: RealtimeConnectionStatus
    close: Close | None = None
    type: Literal["connection_status"] = "connection_status"


@dataclass
class RealtimeSessionEnded:
    """The last event of a session. `exception` is the error that ended the session, or None if the session ended
    normally.
    """

    info: RealtimeEventInfo
    exception: Exception | None = None
    type: Literal["session_ended"] = "session_ended"


RealtimeSessionEvent = (
    RealtimeAgentStartEvent
    | RealtimeAgentEndEvent
    | RealtimeHandoffEvent
    | RealtimeToolStart
    | RealtimeToolEnd
    | RealtimeToolApprovalRequired
    | RealtimeRawModelEvent
    | RealtimeAudioEnd
    | RealtimeAudio
    | RealtimeAudioInterrupted
    | RealtimeError
    | RealtimeHistoryUpdated
    | RealtimeHistoryAdded
    | RealtimeGuardrailTripped
    | RealtimeInputAudioTimeoutTriggered
)
"""The events that `async for event in session` yields: those of the OpenAI Agents SDK."""

RealtimeAnyEvent = (
    RealtimeSessionEvent
    | RealtimeSpeechStarted
    | RealtimeSpeechStopped
    | RealtimeTranscriptDelta
    | RealtimeInputAudioTranscriptionDelta
    | RealtimeInputAudioTranscriptionFailed
    | RealtimeResponseFailed
    | RealtimeResponseIncomplete
    | RealtimeRateLimits
    | RealtimeDtmf
    | RealtimeConnectionStatusEvent
    | RealtimeSessionEnded
)
"""All events that a session emits."""


def is_sdk_event(event: RealtimeAnyEvent) -> TypeGuard[RealtimeSessionEvent]:
    """Returns whether the OpenAI Agents SDK also has this event. For a raw event, the result depends on the model event
    that it contains.
    """
    if isinstance(event, RealtimeRawModelEvent):
        return not isinstance(event.data, OWN_MODEL_EVENTS)
    return isinstance(event, RealtimeSessionEvent)
