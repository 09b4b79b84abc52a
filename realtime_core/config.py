"""The configuration of a session, as TypedDicts with optional keys.

Keys and defaults are those of the OpenAI Agents SDK's realtime layer. Settings can be flat (`input_audio_format`) or
nested as in the protocol (`audio.input.format`). Nested settings have precedence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from .agent import RealtimeRunHooks
    from .guardrails import InputGuardrail, OutputGuardrail
    from .handoffs import Handoff
    from .run_context import RunContextWrapper, ToolContext
    from .tools import Tool

__all__ = [
    "RealtimeAudioConfig",
    "RealtimeAudioFormat",
    "RealtimeAudioInputConfig",
    "RealtimeAudioOutputConfig",
    "RealtimeClientMessage",
    "RealtimeCustomVoice",
    "RealtimeGuardrailsSettings",
    "RealtimeInputAudioNoiseReductionConfig",
    "RealtimeInputAudioTranscriptionConfig",
    "RealtimeModelName",
    "RealtimeModelTracingConfig",
    "RealtimeQueueSettings",
    "RealtimeReasoningConfig",
    "RealtimeReasoningEffort",
    "RealtimeRunConfig",
    "RealtimeSessionModelSettings",
    "RealtimeToolExecutionConfig",
    "RealtimeTurnDetectionConfig",
    "RealtimeUserInput",
    "RealtimeUserInputImage",
    "RealtimeUserInputMessage",
    "RealtimeUserInputText",
    "RealtimeVoice",
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
    "ToolFiller",
]

RealtimeModelName = (
    Literal[
        "gpt-realtime",
        "gpt-realtime-1.5",
        "gpt-realtime-2",
        "gpt-realtime-2.1",
        "gpt-realtime-2.1-mini",
        "gpt-realtime-mini",
    ]
    | str
)

RealtimeAudioFormat = Literal["pcm16", "g711_ulaw", "g711_alaw"] | str | Mapping[str, Any]
"""A flat name, or the protocol's object: `{"type": "audio/pcm", "rate": 24000}`, `audio/pcmu`, `audio/pcma`."""


class RealtimeClientMessage(TypedDict):
    """A client event of the protocol. `other_data` holds its fields besides `type`."""

    type: str
    other_data: NotRequired[dict[str, Any]]


class RealtimeInputAudioTranscriptionConfig(TypedDict, total=False):
    """Transcription of the caller's speech. A separate service transcribes, so transcripts come late."""

    language: str
    languages: list[str]
    model: str
    prompt: str
    keywords: list[str]
    delay: str


class RealtimeInputAudioNoiseReductionConfig(TypedDict, total=False):
    type: Literal["near_field", "far_field"]
    strength: float


class RealtimeTurnDetectionConfig(TypedDict, total=False):
    """Turn detection by the server. `server_vad` uses loudness, `semantic_vad` uses the meaning of the words."""

    type: Literal["semantic_vad", "server_vad"]
    create_response: bool
    interrupt_response: bool
    eagerness: Literal["auto", "low", "medium", "high"]
    prefix_padding_ms: int
    silence_duration_ms: int
    threshold: float
    idle_timeout_ms: int
    model_version: str


class RealtimeAudioInputConfig(TypedDict, total=False):
    format: RealtimeAudioFormat | None
    noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    transcription: RealtimeInputAudioTranscriptionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | None


class RealtimeCustomVoice(TypedDict):
    """A custom voice, by its id."""

    id: str


RealtimeVoice = str | RealtimeCustomVoice


class RealtimeAudioOutputConfig(TypedDict, total=False):
    format: RealtimeAudioFormat | None
    voice: RealtimeVoice
    speed: float


class RealtimeAudioConfig(TypedDict, total=False):
    input: RealtimeAudioInputConfig
    output: RealtimeAudioOutputConfig


class RealtimeModelTracingConfig(TypedDict, total=False):
    workflow_name: str
    group_id: str
    metadata: dict[str, Any]


RealtimeReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"] | str


class RealtimeReasoningConfig(TypedDict, total=False):
    effort: RealtimeReasoningEffort


class RealtimeSessionModelSettings(TypedDict, total=False):
    """Settings of the model's session. None switches a feature off where that is possible (turn detection, ...)."""

    model_name: RealtimeModelName
    instructions: str
    prompt: Any
    modalities: list[Literal["text", "audio"]]
    output_modalities: list[Literal["text", "audio"]]
    audio: RealtimeAudioConfig
    voice: RealtimeVoice
    speed: float
    max_output_tokens: int | Literal["inf"]
    input_audio_format: RealtimeAudioFormat
    output_audio_format: RealtimeAudioFormat
    audio_format: RealtimeAudioFormat
    """The format of input and output together."""
    input_audio_transcription: RealtimeInputAudioTranscriptionConfig | None
    input_audio_noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | None
    tool_choice: Any
    parallel_tool_calls: bool
    reasoning: RealtimeReasoningConfig
    truncation: Any
    include: list[str]
    tools: list[Tool | dict[str, Any]]
    """Function tools; a dict is a tool that the server runs, in the protocol's form (hosted MCP)."""
    handoffs: list[Handoff[Any, Any]]
    tracing: RealtimeModelTracingConfig | Literal["auto"] | None


class RealtimeGuardrailsSettings(TypedDict, total=False):
    debounce_text_length: int
    """The number of characters after which output guardrails run again (default 100). They also run at the end of a
    response. -1: only at the end."""
    feedback: str | None
    """The system text for the model after a guardrail stopped it; `{names}` is replaced by the guardrails' names. None
    means that no text is sent, and no other response is requested.
    """


ToolFiller = Callable[["ToolContext[Any]"], "str | Awaitable[str | None] | None"]
"""Instructions for one short response while a slow tool runs, or None for silence."""


class RealtimeToolExecutionConfig(TypedDict, total=False):
    pre_approval_tool_input_guardrails: bool
    """Also run a tool's input guardrails before the request for approval."""
    max_concurrent: int
    """How many tools of one session may run at the same time (default 8). Calls that wait for approval do not count."""
    timeout_seconds: float
    """The time limit of handoffs and of tools without their own limit."""
    filler: str | ToolFiller
    """Instructions for one response when a tool runs longer than `filler_after_seconds`."""
    filler_after_seconds: float
    """The time after which the filler is requested. Default 3."""


class RealtimeQueueSettings(TypedDict, total=False):
    """Bounds of each consumer's event queue (`async for` and `subscribe`)."""

    audio_ms: float
    """The limit for queued audio (default 60,000). Beyond the limit the oldest audio is dropped and counted."""
    raw_events: int
    """The limit for queued raw model events and text deltas (default 256). Beyond it the oldest are dropped and
    counted."""
    control_events: int
    """The limit for all other events (default 10,000). They are never dropped; a consumer with more queued events is
    ended with `EventsOverflowed`."""


@dataclass(frozen=True, slots=True)
class ToolErrorFormatterArgs:
    """The argument of `tool_error_formatter`."""

    kind: Literal["approval_rejected"]
    tool_type: Literal["function"]
    tool_name: str
    call_id: str
    default_message: str
    run_context: RunContextWrapper[Any]
    error: Exception | None = None
    """Always None. A rejected approval is the only kind of error."""


ToolErrorFormatter = Callable[[ToolErrorFormatterArgs], "str | Awaitable[str | None] | None"]
"""Returns the text for the model, or None for the default."""


class RealtimeRunConfig(TypedDict, total=False):
    """Settings for all agents of a session."""

    model_settings: RealtimeSessionModelSettings
    output_guardrails: Sequence[OutputGuardrail[Any]]
    input_guardrails: Sequence[InputGuardrail[Any]]
    """Guardrails for the caller's transcripts. A transcript comes after the reply has begun, so a tripped guardrail
    cuts the reply short."""
    guardrails_settings: RealtimeGuardrailsSettings
    hooks: RealtimeRunHooks[Any]
    tracing_disabled: bool
    async_tool_calls: bool
    """Whether tools run at the same time. False means that tools run one after another, in the order of the calls. The
    session continues in both cases.
    """
    tool_execution: RealtimeToolExecutionConfig
    tool_error_formatter: ToolErrorFormatter
    queues: RealtimeQueueSettings


class RealtimeUserInputText(TypedDict):
    type: Literal["input_text"]
    text: str


class RealtimeUserInputImage(TypedDict, total=False):
    type: Literal["input_image"]
    image_url: str
    detail: Literal["auto", "low", "high"]


class RealtimeUserInputMessage(TypedDict):
    type: Literal["message"]
    role: Literal["user", "system"]
    content: list[RealtimeUserInputText | RealtimeUserInputImage]


RealtimeUserInput = str | RealtimeUserInputMessage
