"""The configuration of a session, as TypedDicts: every key may be absent.

Keys and defaults are those that users of the OpenAI Agents SDK's realtime layer know. Settings come both flat
(`input_audio_format`) and nested as the protocol has them (`audio.input.format`); nested ones win.
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
    """A client event of the protocol; `other_data` are its fields besides `type`."""

    type: str
    other_data: NotRequired[dict[str, Any]]


class RealtimeInputAudioTranscriptionConfig(TypedDict, total=False):
    """Transcription of the caller's speech: a service of its own beside the model; what it writes comes late."""

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
    """Who speaks when. `server_vad` goes by loudness, `semantic_vad` by what is said."""

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
    """A voice of one's own, by its id."""

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
    """Settings of the model's session. An explicit None switches off what can be switched off (turn detection, ...)."""

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
    """Both formats in one."""
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
    """Output guardrails run each time this many more characters were said (default 100), and always once at the end of
    a response; -1: only at the end."""
    feedback: str | None
    """What the model is told (as system text) when a guardrail has stopped it, `{names}` standing for the guardrails;
    None: nothing, and no other answer is made."""


ToolFiller = Callable[["ToolContext[Any]"], "str | Awaitable[str | None] | None"]
"""What to say while a tool takes its time: instructions for one short response, or None for silence."""


class RealtimeToolExecutionConfig(TypedDict, total=False):
    pre_approval_tool_input_guardrails: bool
    """Run a tool's input guardrails before its approval is asked for, too."""
    max_concurrent: int
    """How many tools of one session may run at once (default 8). Calls that wait for approval do not count."""
    timeout_seconds: float
    """For tools that name no time-out of their own, and for handoffs."""
    filler: str | ToolFiller
    """Said once while a tool runs longer than `filler_after_seconds`."""
    filler_after_seconds: float
    """Default 3."""


class RealtimeQueueSettings(TypedDict, total=False):
    """Bounds of each consumer's event queue (`async for` and `subscribe`)."""

    audio_ms: float
    """Audio not yet taken; beyond it the oldest is dropped and counted. Default 60,000."""
    raw_events: int
    """Raw model events and text deltas not yet taken; beyond it the oldest are dropped and counted. Default 256."""
    control_events: int
    """Everything else is lossless; a consumer that lets more than this gather (default 10,000) is given up with
    `EventsOverflowed`."""


@dataclass(frozen=True, slots=True)
class ToolErrorFormatterArgs:
    """What `tool_error_formatter` is given."""

    kind: Literal["approval_rejected"]
    tool_type: Literal["function"]
    tool_name: str
    call_id: str
    default_message: str
    run_context: RunContextWrapper[Any]
    error: Exception | None = None
    """Always None for a rejected approval, the one kind there is."""


ToolErrorFormatter = Callable[[ToolErrorFormatterArgs], "str | Awaitable[str | None] | None"]
"""Returns the text for the model, or None for the default."""


class RealtimeRunConfig(TypedDict, total=False):
    """What holds for all agents of a session."""

    model_settings: RealtimeSessionModelSettings
    output_guardrails: Sequence[OutputGuardrail[Any]]
    input_guardrails: Sequence[InputGuardrail[Any]]
    """Run on the transcripts of the caller, which come after the reply has begun: they cut it short, no more."""
    guardrails_settings: RealtimeGuardrailsSettings
    hooks: RealtimeRunHooks[Any]
    tracing_disabled: bool
    async_tool_calls: bool
    """False: one tool after another, in the order of the calls. Neither holds the session up."""
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
