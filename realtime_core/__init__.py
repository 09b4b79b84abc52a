"""A session engine for voice agents on speech models with a Realtime API.

The names are those of the OpenAI Agents SDK's realtime layer:

    runner = RealtimeRunner(RealtimeAgent(name="Assistant", instructions="Short sentences."))
    async with await runner.run() as session:
        await session.send_message("Hello, agent!")
        async for event in session:
            print(event.type)

Each name is imported on first use (PEP 562), so `import realtime_core` is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

# ruff: noqa: I001, RUF022 - one line each would be 500 lines
# fmt: off
if TYPE_CHECKING:
    from .agent import RealtimeAgent, RealtimeAgentHooks, RealtimeRunHooks
    from .config import (
        RealtimeAudioConfig, RealtimeAudioFormat, RealtimeAudioInputConfig, RealtimeAudioOutputConfig,
        RealtimeClientMessage, RealtimeCustomVoice, RealtimeGuardrailsSettings, RealtimeInputAudioNoiseReductionConfig,
        RealtimeInputAudioTranscriptionConfig, RealtimeModelName, RealtimeModelTracingConfig, RealtimeQueueSettings,
        RealtimeReasoningConfig, RealtimeReasoningEffort, RealtimeRunConfig, RealtimeSessionModelSettings,
        RealtimeToolExecutionConfig, RealtimeTurnDetectionConfig, RealtimeUserInput, RealtimeUserInputImage,
        RealtimeUserInputMessage, RealtimeUserInputText, RealtimeVoice, ToolErrorFormatter, ToolErrorFormatterArgs,
    )
    from .errors import (
        ConnectFailed, ConnectionLost, HostedToolFailed, ModelBehaviorError, RealtimeCoreError, ServerRejected,
        SessionExpired, TransportError, UserError,
    )
    from .event_streams import EventStream, EventsOverflowed
    from .events import (
        AudioData, RealtimeAgentEndEvent, RealtimeAgentStartEvent, RealtimeAnyEvent, RealtimeAudio, RealtimeAudioEnd,
        RealtimeAudioInterrupted, RealtimeConnectionStatusEvent, RealtimeDtmf, RealtimeError, RealtimeEventInfo,
        RealtimeGuardrailTripped, RealtimeHandoffEvent, RealtimeHistoryAdded, RealtimeHistoryUpdated,
        RealtimeInputAudioTimeoutTriggered, RealtimeInputAudioTranscriptionDelta, RealtimeInputAudioTranscriptionFailed,
        RealtimeRateLimits, RealtimeRawModelEvent, RealtimeResponseFailed, RealtimeResponseIncomplete,
        RealtimeSessionEnded, RealtimeSessionEvent, RealtimeSpeechStarted, RealtimeSpeechStopped,
        RealtimeToolApprovalRequired, RealtimeToolEnd, RealtimeToolStart, RealtimeTranscriptDelta,
    )
    from .exceptions import AgentsException
    from .guardrails import (
        GuardrailFunctionOutput, InputGuardrail, InputGuardrailResult, OutputGuardrail, OutputGuardrailResult,
        ToolGuardrailFunctionOutput, ToolInputGuardrail, ToolInputGuardrailData, ToolInputGuardrailTripwireTriggered,
        ToolOutputGuardrail, ToolOutputGuardrailData, ToolOutputGuardrailTripwireTriggered, input_guardrail,
        output_guardrail, tool_input_guardrail, tool_output_guardrail,
    )
    from .handoffs import Handoff, realtime_handoff
    from .items import (
        AssistantAudio, AssistantMessageItem, AssistantText, InputAudio, InputImage, InputText, RealtimeItem,
        RealtimeMessageItem, RealtimeResponse, RealtimeToolCallItem, SystemMessageItem, UserMessageItem, item_from_dict,
    )
    from .model import (
        RealtimeModel, RealtimeModelConfig, RealtimeModelListener, RealtimePlaybackState, RealtimePlaybackTracker,
    )
    from .model_events import (
        RealtimeConnectionStatus, RealtimeModelAudioDoneEvent, RealtimeModelAudioEvent,
        RealtimeModelAudioInterruptedEvent, RealtimeModelCachedTokensDetails, RealtimeModelConnectionStatusEvent,
        RealtimeModelDtmfEvent, RealtimeModelEndOfStreamEvent, RealtimeModelErrorEvent, RealtimeModelEvent,
        RealtimeModelExceptionEvent, RealtimeModelInputAudioCommittedEvent,
        RealtimeModelInputAudioTimeoutTriggeredEvent, RealtimeModelInputAudioTranscriptionCompletedEvent,
        RealtimeModelInputAudioTranscriptionDeltaEvent, RealtimeModelInputAudioTranscriptionFailedEvent,
        RealtimeModelInputTokensDetails, RealtimeModelItemDeletedEvent, RealtimeModelItemTruncatedEvent,
        RealtimeModelItemUpdatedEvent, RealtimeModelMcpApprovalRequestEvent, RealtimeModelMcpCallEvent,
        RealtimeModelOtherEvent, RealtimeModelOtherItemEvent, RealtimeModelOutputTextDeltaEvent,
        RealtimeModelOutputTextDoneEvent,
        RealtimeModelOutputTokensDetails, RealtimeModelOwnEvent,
        RealtimeModelRateLimitsEvent, RealtimeModelRawServerEvent, RealtimeModelResponseFailedEvent,
        RealtimeModelSpeechStartedEvent, RealtimeModelSpeechStoppedEvent, RealtimeModelToolCallEvent,
        RealtimeModelTranscriptDeltaEvent, RealtimeModelTranscriptDoneEvent, RealtimeModelTurnEndedEvent,
        RealtimeModelTurnStartedEvent, RealtimeModelUsageEvent,
    )
    from .model_inputs import (
        RealtimeModelInputImageContent, RealtimeModelInputTextContent, RealtimeModelRawClientMessage,
        RealtimeModelSendAudio, RealtimeModelSendEvent, RealtimeModelSendInterrupt, RealtimeModelSendMcpApproval,
        RealtimeModelSendPauseResponses, RealtimeModelSendRawMessage, RealtimeModelSendResponseCancel,
        RealtimeModelSendResponseCreate, RealtimeModelSendSessionUpdate, RealtimeModelSendToolOutput,
        RealtimeModelSendUserInput, RealtimeModelUserInput, RealtimeModelUserInputMessage,
    )
    from .openai_realtime import (
        DEFAULT_MODEL_SETTINGS, OpenAIRealtimeSIPModel, OpenAIRealtimeWebSocketModel, ReconnectPolicy, TransportConfig,
        get_api_key,
    )
    from .response_outcome import RetryPolicy
    from .playback import ClockPlayer, HeardItem, PlaybackLedger, Player, Truncation
    from .run_context import RunContextWrapper, TContext, ToolContext
    from .runner import RealtimeRunner
    from .session import RealtimeSession
    from .sources import Sources
    from .tools import (
        FunctionTool, HostedTool, SilentResult, Tool, ToolTimeoutError, default_tool_error_function, function_tool,
    )
    from .transcription import TranscriptionSession
    from .turn_policy import OurTurns, ServerTurns, TurnAction, TurnPolicy
    from .usage import CostEstimate, ModalityTokens, PRICES_PER_MILLION, Prices, Usage, UsageEntry

_EXPORTS: dict[str, tuple[str, ...]] = {
    "agent": ("RealtimeAgent", "RealtimeAgentHooks", "RealtimeRunHooks",),
    "config": (
        "RealtimeAudioConfig", "RealtimeAudioFormat", "RealtimeAudioInputConfig", "RealtimeAudioOutputConfig",
        "RealtimeClientMessage", "RealtimeCustomVoice", "RealtimeGuardrailsSettings",
        "RealtimeInputAudioNoiseReductionConfig", "RealtimeInputAudioTranscriptionConfig", "RealtimeModelName",
        "RealtimeModelTracingConfig", "RealtimeQueueSettings", "RealtimeReasoningConfig", "RealtimeReasoningEffort",
        "RealtimeRunConfig", "RealtimeSessionModelSettings", "RealtimeToolExecutionConfig",
        "RealtimeTurnDetectionConfig", "RealtimeUserInput", "RealtimeUserInputImage", "RealtimeUserInputMessage",
        "RealtimeUserInputText", "RealtimeVoice", "ToolErrorFormatter", "ToolErrorFormatterArgs",
    ),
    "errors": (
        "ConnectFailed", "ConnectionLost", "HostedToolFailed", "ModelBehaviorError", "RealtimeCoreError",
        "ServerRejected",
        "SessionExpired", "TransportError", "UserError",
    ),
    "event_streams": ("EventStream", "EventsOverflowed",),
    "events": (
        "AudioData", "RealtimeAgentEndEvent", "RealtimeAgentStartEvent", "RealtimeAnyEvent", "RealtimeAudio",
        "RealtimeAudioEnd", "RealtimeAudioInterrupted", "RealtimeConnectionStatusEvent", "RealtimeDtmf",
        "RealtimeError", "RealtimeEventInfo", "RealtimeGuardrailTripped", "RealtimeHandoffEvent",
        "RealtimeHistoryAdded", "RealtimeHistoryUpdated", "RealtimeInputAudioTimeoutTriggered",
        "RealtimeInputAudioTranscriptionDelta", "RealtimeInputAudioTranscriptionFailed", "RealtimeRateLimits",
        "RealtimeRawModelEvent", "RealtimeResponseFailed", "RealtimeResponseIncomplete", "RealtimeSessionEnded",
        "RealtimeSessionEvent", "RealtimeSpeechStarted", "RealtimeSpeechStopped", "RealtimeToolApprovalRequired",
        "RealtimeToolEnd", "RealtimeToolStart", "RealtimeTranscriptDelta",
    ),
    "exceptions": ("AgentsException",),
    "guardrails": (
        "GuardrailFunctionOutput", "InputGuardrail", "InputGuardrailResult", "OutputGuardrail", "OutputGuardrailResult",
        "ToolGuardrailFunctionOutput", "ToolInputGuardrail", "ToolInputGuardrailData",
        "ToolInputGuardrailTripwireTriggered", "ToolOutputGuardrail", "ToolOutputGuardrailData",
        "ToolOutputGuardrailTripwireTriggered", "input_guardrail", "output_guardrail", "tool_input_guardrail",
        "tool_output_guardrail",
    ),
    "handoffs": ("Handoff", "realtime_handoff",),
    "items": (
        "AssistantAudio", "AssistantMessageItem", "AssistantText", "InputAudio", "InputImage", "InputText",
        "RealtimeItem", "RealtimeMessageItem", "RealtimeResponse", "RealtimeToolCallItem", "SystemMessageItem",
        "UserMessageItem", "item_from_dict",
    ),
    "model": (
        "RealtimeModel", "RealtimeModelConfig", "RealtimeModelListener", "RealtimePlaybackState",
        "RealtimePlaybackTracker",
    ),
    "model_events": (
        "RealtimeConnectionStatus", "RealtimeModelAudioDoneEvent", "RealtimeModelAudioEvent",
        "RealtimeModelAudioInterruptedEvent", "RealtimeModelCachedTokensDetails", "RealtimeModelConnectionStatusEvent",
        "RealtimeModelDtmfEvent", "RealtimeModelEndOfStreamEvent", "RealtimeModelErrorEvent", "RealtimeModelEvent",
        "RealtimeModelExceptionEvent", "RealtimeModelInputAudioCommittedEvent",
        "RealtimeModelInputAudioTimeoutTriggeredEvent", "RealtimeModelInputAudioTranscriptionCompletedEvent",
        "RealtimeModelInputAudioTranscriptionDeltaEvent", "RealtimeModelInputAudioTranscriptionFailedEvent",
        "RealtimeModelInputTokensDetails", "RealtimeModelItemDeletedEvent", "RealtimeModelItemTruncatedEvent",
        "RealtimeModelItemUpdatedEvent", "RealtimeModelMcpApprovalRequestEvent", "RealtimeModelMcpCallEvent",
        "RealtimeModelOtherEvent", "RealtimeModelOtherItemEvent",
        "RealtimeModelOutputTextDeltaEvent", "RealtimeModelOutputTextDoneEvent",
        "RealtimeModelOutputTokensDetails", "RealtimeModelOwnEvent",
        "RealtimeModelRateLimitsEvent", "RealtimeModelRawServerEvent", "RealtimeModelResponseFailedEvent",
        "RealtimeModelSpeechStartedEvent", "RealtimeModelSpeechStoppedEvent", "RealtimeModelToolCallEvent",
        "RealtimeModelTranscriptDeltaEvent", "RealtimeModelTranscriptDoneEvent", "RealtimeModelTurnEndedEvent",
        "RealtimeModelTurnStartedEvent", "RealtimeModelUsageEvent",
    ),
    "model_inputs": (
        "RealtimeModelInputImageContent", "RealtimeModelInputTextContent", "RealtimeModelRawClientMessage",
        "RealtimeModelSendAudio", "RealtimeModelSendEvent", "RealtimeModelSendInterrupt",
        "RealtimeModelSendMcpApproval", "RealtimeModelSendPauseResponses", "RealtimeModelSendRawMessage",
        "RealtimeModelSendResponseCancel", "RealtimeModelSendResponseCreate", "RealtimeModelSendSessionUpdate",
        "RealtimeModelSendToolOutput", "RealtimeModelSendUserInput", "RealtimeModelUserInput",
        "RealtimeModelUserInputMessage",
    ),
    "openai_realtime": (
        "DEFAULT_MODEL_SETTINGS", "OpenAIRealtimeSIPModel", "OpenAIRealtimeWebSocketModel", "ReconnectPolicy",
        "TransportConfig", "get_api_key",
    ),
    "response_outcome": ("RetryPolicy",),
    "playback": ("ClockPlayer", "HeardItem", "PlaybackLedger", "Player", "Truncation",),
    "run_context": ("RunContextWrapper", "TContext", "ToolContext",),
    "runner": ("RealtimeRunner",),
    "session": ("RealtimeSession",),
    "sources": ("Sources",),
    "tools": (
        "FunctionTool", "HostedTool", "SilentResult", "Tool", "ToolTimeoutError", "default_tool_error_function",
        "function_tool",
    ),
    "transcription": ("TranscriptionSession",),
    "turn_policy": ("OurTurns", "ServerTurns", "TurnAction", "TurnPolicy",),
    "usage": ("CostEstimate", "ModalityTokens", "PRICES_PER_MILLION", "Prices", "Usage", "UsageEntry",),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "AgentsException", "AssistantAudio", "AssistantMessageItem", "AssistantText", "AudioData", "ClockPlayer",
    "ConnectFailed", "ConnectionLost", "CostEstimate", "DEFAULT_MODEL_SETTINGS", "EventStream", "EventsOverflowed",
    "FunctionTool", "GuardrailFunctionOutput", "Handoff", "HeardItem", "HostedTool", "HostedToolFailed", "InputAudio",
    "InputGuardrail",
    "InputGuardrailResult", "InputImage", "InputText", "ModalityTokens", "ModelBehaviorError", "OpenAIRealtimeSIPModel",
    "OpenAIRealtimeWebSocketModel", "OurTurns", "OutputGuardrail", "OutputGuardrailResult", "PRICES_PER_MILLION",
    "PlaybackLedger", "Player", "Prices", "RealtimeAgent", "RealtimeAgentEndEvent", "RealtimeAgentHooks",
    "RealtimeAgentStartEvent", "RealtimeAnyEvent", "RealtimeAudio", "RealtimeAudioConfig", "RealtimeAudioEnd",
    "RealtimeAudioFormat", "RealtimeAudioInputConfig", "RealtimeAudioInterrupted", "RealtimeAudioOutputConfig",
    "RealtimeClientMessage", "RealtimeConnectionStatus", "RealtimeConnectionStatusEvent", "RealtimeCoreError",
    "RealtimeCustomVoice", "RealtimeDtmf", "RealtimeError", "RealtimeEventInfo", "RealtimeGuardrailTripped",
    "RealtimeGuardrailsSettings", "RealtimeHandoffEvent", "RealtimeHistoryAdded", "RealtimeHistoryUpdated",
    "RealtimeInputAudioNoiseReductionConfig", "RealtimeInputAudioTimeoutTriggered",
    "RealtimeInputAudioTranscriptionConfig", "RealtimeInputAudioTranscriptionDelta",
    "RealtimeInputAudioTranscriptionFailed", "RealtimeItem", "RealtimeMessageItem", "RealtimeModel",
    "RealtimeModelAudioDoneEvent", "RealtimeModelAudioEvent", "RealtimeModelAudioInterruptedEvent",
    "RealtimeModelCachedTokensDetails", "RealtimeModelConfig", "RealtimeModelConnectionStatusEvent",
    "RealtimeModelDtmfEvent", "RealtimeModelEndOfStreamEvent", "RealtimeModelErrorEvent", "RealtimeModelEvent",
    "RealtimeModelExceptionEvent", "RealtimeModelInputAudioCommittedEvent",
    "RealtimeModelInputAudioTimeoutTriggeredEvent", "RealtimeModelInputAudioTranscriptionCompletedEvent",
    "RealtimeModelInputAudioTranscriptionDeltaEvent", "RealtimeModelInputAudioTranscriptionFailedEvent",
    "RealtimeModelInputImageContent", "RealtimeModelInputTextContent", "RealtimeModelInputTokensDetails",
    "RealtimeModelItemDeletedEvent", "RealtimeModelItemTruncatedEvent", "RealtimeModelItemUpdatedEvent",
    "RealtimeModelListener", "RealtimeModelMcpApprovalRequestEvent", "RealtimeModelMcpCallEvent", "RealtimeModelName",
    "RealtimeModelOtherEvent", "RealtimeModelOtherItemEvent",
    "RealtimeModelOutputTextDeltaEvent", "RealtimeModelOutputTextDoneEvent",
    "RealtimeModelOutputTokensDetails", "RealtimeModelOwnEvent",
    "RealtimeModelRateLimitsEvent", "RealtimeModelRawClientMessage", "RealtimeModelRawServerEvent",
    "RealtimeModelResponseFailedEvent", "RealtimeModelSendAudio", "RealtimeModelSendEvent",
    "RealtimeModelSendInterrupt", "RealtimeModelSendMcpApproval", "RealtimeModelSendPauseResponses",
    "RealtimeModelSendRawMessage", "RealtimeModelSendResponseCancel", "RealtimeModelSendResponseCreate",
    "RealtimeModelSendSessionUpdate",
    "RealtimeModelSendToolOutput", "RealtimeModelSendUserInput", "RealtimeModelSpeechStartedEvent",
    "RealtimeModelSpeechStoppedEvent", "RealtimeModelToolCallEvent", "RealtimeModelTracingConfig",
    "RealtimeModelTranscriptDeltaEvent", "RealtimeModelTranscriptDoneEvent", "RealtimeModelTurnEndedEvent",
    "RealtimeModelTurnStartedEvent", "RealtimeModelUsageEvent", "RealtimeModelUserInput",
    "RealtimeModelUserInputMessage", "RealtimePlaybackState", "RealtimePlaybackTracker", "RealtimeQueueSettings",
    "RealtimeRateLimits", "RealtimeRawModelEvent", "RealtimeReasoningConfig", "RealtimeReasoningEffort",
    "RealtimeResponse", "RealtimeResponseFailed", "RealtimeResponseIncomplete", "RealtimeRunConfig", "RealtimeRunHooks",
    "RealtimeRunner", "RealtimeSession", "RealtimeSessionEnded", "RealtimeSessionEvent", "RealtimeSessionModelSettings",
    "RealtimeSpeechStarted", "RealtimeSpeechStopped", "RealtimeToolApprovalRequired", "RealtimeToolCallItem",
    "RealtimeToolEnd", "RealtimeToolExecutionConfig", "RealtimeToolStart", "RealtimeTranscriptDelta",
    "RealtimeTurnDetectionConfig", "RealtimeUserInput", "RealtimeUserInputImage", "RealtimeUserInputMessage",
    "RealtimeUserInputText", "RealtimeVoice", "ReconnectPolicy", "RetryPolicy", "RunContextWrapper", "ServerRejected",
    "ServerTurns", "SessionExpired", "SilentResult", "Sources", "SystemMessageItem", "TContext", "Tool", "ToolContext",
    "ToolErrorFormatter", "ToolErrorFormatterArgs", "ToolGuardrailFunctionOutput", "ToolInputGuardrail",
    "ToolInputGuardrailData", "ToolInputGuardrailTripwireTriggered", "ToolOutputGuardrail", "ToolOutputGuardrailData",
    "ToolOutputGuardrailTripwireTriggered", "ToolTimeoutError", "TranscriptionSession", "TransportConfig",
    "TransportError", "Truncation",
    "TurnAction", "TurnPolicy", "Usage", "UsageEntry", "UserError", "UserMessageItem", "default_tool_error_function",
    "function_tool", "get_api_key", "input_guardrail", "item_from_dict", "output_guardrail", "realtime_handoff",
    "tool_input_guardrail", "tool_output_guardrail",
]
# fmt: on


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
