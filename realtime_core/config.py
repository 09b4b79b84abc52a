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
"""An audio format: a flat name, or the protocol's object: `{"type": "audio/pcm", "rate": 24000}`, `audio/pcmu`,
`audio/pcma`.
"""


class RealtimeClientMessage(TypedDict):
    """A client event of the protocol. `other_data` has the fields other than `type`."""

    type: str
    other_data: NotRequired[dict[str, Any]]


class RealtimeInputAudioTranscriptionConfig(TypedDict, total=False):
    """The settings of the transcription of the caller's speech. A separate service transcribes the speech, so
    transcripts arrive late.
    """

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
    """The settings of turn detection by the server. `server_vad` uses loudness, `semantic_vad` uses the meaning of the
    words.
    """

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
    """The settings of the model's session. None switches a feature off if the feature can be switched off (such as turn
    detection).
    """

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
    """The format of both input and output audio. `input_audio_format` and `output_audio_format` have precedence."""
    input_audio_transcription: RealtimeInputAudioTranscriptionConfig | None
    input_audio_noise_reduction: RealtimeInputAudioNoiseReductionConfig | None
    turn_detection: RealtimeTurnDetectionConfig | None
    tool_choice: Any
    parallel_tool_calls: bool
    reasoning: RealtimeReasoningConfig
    truncation: Any
    include: list[str]
    tools: list[Tool | dict[str, Any]]
    """Function tools. A dict is a tool that the server runs, in the protocol's form (hosted MCP)."""
    handoffs: list[Handoff[Any, Any]]
    tracing: RealtimeModelTracingConfig | Literal["auto"] | None


class RealtimeGuardrailsSettings(TypedDict, total=False):
    """The settings for the output guardrails of a session: when they run, and what the model gets after a guardrail has
    stopped it.
    """

    debounce_text_length: int
    """The number of characters after which output guardrails run again (default 100). The guardrails also run at the
    end of a response. With -1 they run only at the end.
    """
    feedback: str | None
    """The system text that the model gets after a guardrail stopped the model. `{names}` is replaced by the names of
    the guardrails. With None, no text is sent, and no other response is requested.
    """


ToolFiller = Callable[["ToolContext[Any]"], "str | Awaitable[str | None] | None"]
"""A function that returns instructions for one short response while a slow tool runs, or None for silence."""


class RealtimeToolExecutionConfig(TypedDict, total=False):
    """The settings for the execution of tools in a session."""

    pre_approval_tool_input_guardrails: bool
    """Whether a tool's input guardrails also run before the request for approval."""
    max_concurrent: int
    """The maximum number of tools of one session that run at the same time (default 8). Calls that wait for approval
    are not counted.
    """
    timeout_seconds: float
    """The time limit in seconds of handoffs and of tools without a time limit of their own."""
    filler: str | ToolFiller
    """Instructions for one short response if a tool runs longer than `filler_after_seconds`, or a function that returns
    them. Without this setting, the agent is silent while a tool runs.
    """
    filler_after_seconds: float
    """If a tool runs longer than this number of seconds, a short response of the model is requested (see `filler`).
    Default 3.
    """


class RealtimeQueueSettings(TypedDict, total=False):
    """The limits of the event queue of each consumer (`async for` and `subscribe`)."""

    audio_ms: float
    """The limit for queued audio in milliseconds (default 60,000). Above the limit the oldest audio is dropped and
    counted.
    """
    raw_events: int
    """The limit for queued raw model events and text deltas (default 256). Above the limit the oldest are dropped and
    counted.
    """
    control_events: int
    """The limit for all other events (default 10,000). These events are never dropped. A consumer with more queued
    events is ended with `EventsOverflowed`.
    """


@dataclass(frozen=True, slots=True)
class ToolErrorFormatterArgs:
    """The argument of `tool_error_formatter`, the user's function for the text that the model gets when a tool call was
    rejected.
    """

    kind: Literal["approval_rejected"]
    tool_type: Literal["function"]
    tool_name: str
    call_id: str
    default_message: str
    run_context: RunContextWrapper[Any]
    error: Exception | None = None
    """The exception that caused the error. Always None, because the formatter is called only for rejected approvals."""


ToolErrorFormatter = Callable[[ToolErrorFormatterArgs], "str | Awaitable[str | None] | None"]
"""A function that returns the text that the model gets when a user rejected a tool call, or None for the default
text.
"""


class RealtimeRunConfig(TypedDict, total=False):
    """The settings for all agents of a session: the settings of the model's session, guardrails, hooks, the execution
    of tools, and the limits of the event queues.
    """

    model_settings: RealtimeSessionModelSettings
    output_guardrails: Sequence[OutputGuardrail[Any]]
    input_guardrails: Sequence[InputGuardrail[Any]]
    """Guardrails for the transcripts of the caller's speech. A transcript arrives after the reply has begun, so a
    guardrail that trips interrupts the reply.
    """
    guardrails_settings: RealtimeGuardrailsSettings
    hooks: RealtimeRunHooks[Any]
    tracing_disabled: bool
    async_tool_calls: bool
    """Whether tools run at the same time. If False, tools run one after another, in the order of the calls. The session
    continues in both cases.
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
