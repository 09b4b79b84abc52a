"""What a session emits. Each class carries its name as `type`; `info.context` is the run context.

`RealtimeSessionEvent` are the fifteen events of the OpenAI Agents SDK's realtime layer. `async for event in session`
yields these and no others, so that code which takes every other event for a defect runs. `RealtimeAnyEvent` are those
and ours, which come to handlers and from `session.events()` and `session.subscribe()`.

The classes that the SDK has, too, take the same positional arguments as there. Our own fields come after them and are
given by name.
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
    """What is common to all events."""

    context: RunContextWrapper[Any]


class AudioData(bytes):
    """A piece of the agent's voice: bytes, which also know whose they are.

    Both `play(event.audio)` and `event.audio.data` work.
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
        """The audio itself, in the session's output format."""
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
    """An agent's response is over: completed, cancelled, incomplete or failed."""

    agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["agent_end"] = "agent_end"
    response_id: str = field(default="", kw_only=True)
    status: str = field(default="completed", kw_only=True)


@dataclass
class RealtimeHandoffEvent:
    """One agent handed over to another."""

    from_agent: RealtimeAgent[Any]
    to_agent: RealtimeAgent[Any]
    info: RealtimeEventInfo
    type: Literal["handoff"] = "handoff"


@dataclass
class RealtimeToolStart:
    """A tool is about to run. `arguments` is JSON text. A `HostedTool` runs at the model's server; `call_id` is the id
    of its item."""

    agent: RealtimeAgent[Any]
    tool: Tool | HostedTool
    arguments: str
    info: RealtimeEventInfo
    type: Literal["tool_start"] = "tool_start"
    call_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeToolEnd:
    """A tool has run and its output was sent. `output` is what the tool returned, or what the model was told of its
    failure; `silent`: it wants no response; `error`: what it failed with. Of a `HostedTool`, the output or the error's
    text is what the model's server has told."""

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
    """A tool waits for `session.approve_tool_call(call_id)` or `reject_tool_call(call_id)`."""

    agent: RealtimeAgent[Any]
    tool: Tool | HostedTool
    call_id: str
    arguments: str
    info: RealtimeEventInfo
    type: Literal["tool_approval_required"] = "tool_approval_required"


@dataclass
class RealtimeRawModelEvent:
    """What the model emitted, as it came, before it was acted on."""

    data: RealtimeModelEvent
    info: RealtimeEventInfo
    type: Literal["raw_model_event"] = "raw_model_event"


@dataclass
class RealtimeAudioEnd:
    """All audio of a part has been received (not heard)."""

    info: RealtimeEventInfo
    item_id: str
    content_index: int
    type: Literal["audio_end"] = "audio_end"


@dataclass
class RealtimeAudio:
    """A piece of the agent's voice."""

    audio: AudioData
    item_id: str
    content_index: int
    info: RealtimeEventInfo
    type: Literal["audio"] = "audio"


@dataclass
class RealtimeAudioInterrupted:
    """What was being played was cut; drop what is not played yet. Emitted only when something was really cut.

    `played_ms` is how much of `item_id` was heard; `items` tells it for every part that was playing or queued.
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
    """Something went wrong and the session goes on. `source`: the kind of users' code that failed; None: the model's
    server or the model."""

    error: Any
    info: RealtimeEventInfo
    type: Literal["error"] = "error"
    source: UserCode | None = field(default=None, kw_only=True)


@dataclass
class RealtimeHistoryUpdated:
    """The conversation changed; `history` is all of it."""

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
    """A guardrail objected; `message` is the text that it objected to."""

    guardrail_results: list[OutputGuardrailResult | InputGuardrailResult]
    message: str
    info: RealtimeEventInfo
    type: Literal["guardrail_tripped"] = "guardrail_tripped"
    response_id: str = field(default="", kw_only=True)


@dataclass
class RealtimeInputAudioTimeoutTriggered:
    """The caller has said nothing for `idle_timeout_ms`."""

    info: RealtimeEventInfo
    type: Literal["input_audio_timeout_triggered"] = "input_audio_timeout_triggered"
    item_id: str = field(default="", kw_only=True)
    audio_start_ms: int = field(default=0, kw_only=True)
    audio_end_ms: int = field(default=0, kw_only=True)


@dataclass
class RealtimeSpeechStarted:
    """The caller began to speak, `audio_start_ms` into the session's input audio."""

    info: RealtimeEventInfo
    item_id: str
    audio_start_ms: int
    type: Literal["speech_started"] = "speech_started"


@dataclass
class RealtimeSpeechStopped:
    """The caller stopped, `audio_end_ms` into the session's input audio."""

    info: RealtimeEventInfo
    item_id: str
    audio_end_ms: int
    type: Literal["speech_stopped"] = "speech_stopped"


@dataclass
class RealtimeTranscriptDelta:
    """More of what the agent says or writes."""

    info: RealtimeEventInfo
    item_id: str
    delta: str
    response_id: str = ""
    content_index: int = 0
    type: Literal["transcript_delta"] = "transcript_delta"


@dataclass
class RealtimeInputAudioTranscriptionDelta:
    """More of what the caller says, as it is transcribed."""

    info: RealtimeEventInfo
    item_id: str
    delta: str
    content_index: int = 0
    type: Literal["input_audio_transcription_delta"] = "input_audio_transcription_delta"


@dataclass
class RealtimeInputAudioTranscriptionFailed:
    """What the caller said could not be transcribed; the model has heard it all the same."""

    info: RealtimeEventInfo
    item_id: str
    error: Any
    content_index: int = 0
    type: Literal["input_audio_transcription_failed"] = "input_audio_transcription_failed"


@dataclass
class RealtimeResponseFailed:
    """A response did not do what it was made for. `error` is the protocol's: type, code, message; `reason` also tells
    of a response without audio (`empty`, `text_only`) or of none at all (`no_reaction`). With `retrying` it is asked
    for once more; without, nobody speaks unless somebody acts."""

    info: RealtimeEventInfo
    response_id: str
    error: Any = None
    reason: str | None = None
    status: str = "failed"
    retrying: bool = False
    type: Literal["response_failed"] = "response_failed"


@dataclass
class RealtimeResponseIncomplete:
    """A response ended early: `reason` is `max_output_tokens` or `content_filter`."""

    info: RealtimeEventInfo
    response_id: str
    reason: str | None = None
    retrying: bool = False
    type: Literal["response_incomplete"] = "response_incomplete"


@dataclass
class RealtimeRateLimits:
    """What is left of the account's limits: name, limit, remaining, reset_seconds."""

    info: RealtimeEventInfo
    rate_limits: list[dict[str, Any]]
    type: Literal["rate_limits"] = "rate_limits"


@dataclass
class RealtimeDtmf:
    """A key was pressed (SIP calls held by the server)."""

    info: RealtimeEventInfo
    digit: str
    type: Literal["dtmf"] = "dtmf"


@dataclass
class RealtimeConnectionStatusEvent:
    """The connection to the model changed; `close` tells how it ended."""

    info: RealtimeEventInfo
    status: RealtimeConnectionStatus
    close: Close | None = None
    type: Literal["connection_status"] = "connection_status"


@dataclass
class RealtimeSessionEnded:
    """The last event: the model's stream ended (`exception` None), or failed."""

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
"""What `async for event in session` yields: the events of the OpenAI Agents SDK."""

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
"""Everything that a session emits."""


def is_sdk_event(event: RealtimeAnyEvent) -> TypeGuard[RealtimeSessionEvent]:
    """Whether the OpenAI Agents SDK has this event, too. Of raw events that depends on the model's event in it."""
    if isinstance(event, RealtimeRawModelEvent):
        return not isinstance(event.data, OWN_MODEL_EVENTS)
    return isinstance(event, RealtimeSessionEvent)
