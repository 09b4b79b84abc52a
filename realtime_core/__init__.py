"""A voice-agent session engine for speech models with a Realtime API.

The names are those that users of the OpenAI Agents SDK's realtime layer know:

    runner = RealtimeRunner(RealtimeAgent(name="Assistant", instructions="Short sentences."))
    async with await runner.run() as session:
        await session.send_message("Hello, agent!")
        async for event in session:
            print(event.type)

Names are imported when they are first used (PEP 562), so that `import realtime_core` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import RealtimeAgent as RealtimeAgent
    from .agent import RealtimeAgentHooks as RealtimeAgentHooks
    from .agent import RealtimeRunHooks as RealtimeRunHooks
    from .config import RealtimeAudioConfig as RealtimeAudioConfig
    from .config import RealtimeAudioFormat as RealtimeAudioFormat
    from .config import RealtimeAudioInputConfig as RealtimeAudioInputConfig
    from .config import RealtimeAudioOutputConfig as RealtimeAudioOutputConfig
    from .config import RealtimeClientMessage as RealtimeClientMessage
    from .config import RealtimeGuardrailsSettings as RealtimeGuardrailsSettings
    from .config import RealtimeInputAudioNoiseReductionConfig as RealtimeInputAudioNoiseReductionConfig
    from .config import RealtimeInputAudioTranscriptionConfig as RealtimeInputAudioTranscriptionConfig
    from .config import RealtimeModelName as RealtimeModelName
    from .config import RealtimeModelTracingConfig as RealtimeModelTracingConfig
    from .config import RealtimeQueueSettings as RealtimeQueueSettings
    from .config import RealtimeRunConfig as RealtimeRunConfig
    from .config import RealtimeSessionModelSettings as RealtimeSessionModelSettings
    from .config import RealtimeToolExecutionConfig as RealtimeToolExecutionConfig
    from .config import RealtimeTurnDetectionConfig as RealtimeTurnDetectionConfig
    from .config import RealtimeUserInput as RealtimeUserInput
    from .config import RealtimeUserInputImage as RealtimeUserInputImage
    from .config import RealtimeUserInputMessage as RealtimeUserInputMessage
    from .config import RealtimeUserInputText as RealtimeUserInputText
    from .errors import ConnectFailed as ConnectFailed
    from .errors import ConnectionLost as ConnectionLost
    from .errors import ModelBehaviorError as ModelBehaviorError
    from .errors import RealtimeCoreError as RealtimeCoreError
    from .errors import ScriptError as ScriptError
    from .errors import ServerRejected as ServerRejected
    from .errors import SessionExpired as SessionExpired
    from .errors import TransportError as TransportError
    from .errors import UserError as UserError
    from .event_streams import EventsOverflowed as EventsOverflowed
    from .event_streams import EventStream as EventStream
    from .events import AudioData as AudioData
    from .events import RealtimeAgentEndEvent as RealtimeAgentEndEvent
    from .events import RealtimeAgentStartEvent as RealtimeAgentStartEvent
    from .events import RealtimeAudio as RealtimeAudio
    from .events import RealtimeAudioEnd as RealtimeAudioEnd
    from .events import RealtimeAudioInterrupted as RealtimeAudioInterrupted
    from .events import RealtimeConnectionStatusEvent as RealtimeConnectionStatusEvent
    from .events import RealtimeDtmf as RealtimeDtmf
    from .events import RealtimeError as RealtimeError
    from .events import RealtimeEventInfo as RealtimeEventInfo
    from .events import RealtimeGuardrailTripped as RealtimeGuardrailTripped
    from .events import RealtimeHandoffEvent as RealtimeHandoffEvent
    from .events import RealtimeHistoryAdded as RealtimeHistoryAdded
    from .events import RealtimeHistoryUpdated as RealtimeHistoryUpdated
    from .events import RealtimeInputAudioTimeoutTriggered as RealtimeInputAudioTimeoutTriggered
    from .events import RealtimeInputAudioTranscriptionDelta as RealtimeInputAudioTranscriptionDelta
    from .events import RealtimeInputAudioTranscriptionFailed as RealtimeInputAudioTranscriptionFailed
    from .events import RealtimeRateLimits as RealtimeRateLimits
    from .events import RealtimeRawModelEvent as RealtimeRawModelEvent
    from .events import RealtimeResponseFailed as RealtimeResponseFailed
    from .events import RealtimeResponseIncomplete as RealtimeResponseIncomplete
    from .events import RealtimeSessionEnded as RealtimeSessionEnded
    from .events import RealtimeSessionEvent as RealtimeSessionEvent
    from .events import RealtimeSpeechStarted as RealtimeSpeechStarted
    from .events import RealtimeSpeechStopped as RealtimeSpeechStopped
    from .events import RealtimeToolApprovalRequired as RealtimeToolApprovalRequired
    from .events import RealtimeToolEnd as RealtimeToolEnd
    from .events import RealtimeToolStart as RealtimeToolStart
    from .events import RealtimeTranscriptDelta as RealtimeTranscriptDelta
    from .guardrails import GuardrailFunctionOutput as GuardrailFunctionOutput
    from .guardrails import InputGuardrail as InputGuardrail
    from .guardrails import InputGuardrailResult as InputGuardrailResult
    from .guardrails import OutputGuardrail as OutputGuardrail
    from .guardrails import OutputGuardrailResult as OutputGuardrailResult
    from .guardrails import ToolGuardrailFunctionOutput as ToolGuardrailFunctionOutput
    from .guardrails import ToolInputGuardrail as ToolInputGuardrail
    from .guardrails import ToolInputGuardrailData as ToolInputGuardrailData
    from .guardrails import ToolInputGuardrailTripwireTriggered as ToolInputGuardrailTripwireTriggered
    from .guardrails import input_guardrail as input_guardrail
    from .guardrails import output_guardrail as output_guardrail
    from .guardrails import tool_input_guardrail as tool_input_guardrail
    from .handoffs import Handoff as Handoff
    from .handoffs import realtime_handoff as realtime_handoff
    from .items import AssistantAudio as AssistantAudio
    from .items import AssistantContent as AssistantContent
    from .items import AssistantMessageItem as AssistantMessageItem
    from .items import AssistantText as AssistantText
    from .items import InputAudio as InputAudio
    from .items import InputImage as InputImage
    from .items import InputText as InputText
    from .items import ItemStatus as ItemStatus
    from .items import RealtimeItem as RealtimeItem
    from .items import RealtimeMessageItem as RealtimeMessageItem
    from .items import RealtimeResponse as RealtimeResponse
    from .items import RealtimeToolCallItem as RealtimeToolCallItem
    from .items import SystemMessageItem as SystemMessageItem
    from .items import UserContent as UserContent
    from .items import UserMessageItem as UserMessageItem
    from .items import item_from_dict as item_from_dict
    from .model import RealtimeModel as RealtimeModel
    from .model import RealtimeModelConfig as RealtimeModelConfig
    from .model import RealtimeModelListener as RealtimeModelListener
    from .model_events import RealtimeConnectionStatus as RealtimeConnectionStatus
    from .model_events import RealtimeModelAudioDoneEvent as RealtimeModelAudioDoneEvent
    from .model_events import RealtimeModelAudioEvent as RealtimeModelAudioEvent
    from .model_events import RealtimeModelAudioInterruptedEvent as RealtimeModelAudioInterruptedEvent
    from .model_events import RealtimeModelConnectionStatusEvent as RealtimeModelConnectionStatusEvent
    from .model_events import RealtimeModelDtmfEvent as RealtimeModelDtmfEvent
    from .model_events import RealtimeModelEndOfStreamEvent as RealtimeModelEndOfStreamEvent
    from .model_events import RealtimeModelErrorEvent as RealtimeModelErrorEvent
    from .model_events import RealtimeModelEvent as RealtimeModelEvent
    from .model_events import RealtimeModelExceptionEvent as RealtimeModelExceptionEvent
    from .model_events import RealtimeModelInputAudioCommittedEvent as RealtimeModelInputAudioCommittedEvent
    from .model_events import (
        RealtimeModelInputAudioTimeoutTriggeredEvent as RealtimeModelInputAudioTimeoutTriggeredEvent,
    )
    from .model_events import (
        RealtimeModelInputAudioTranscriptionCompletedEvent as RealtimeModelInputAudioTranscriptionCompletedEvent,
    )
    from .model_events import (
        RealtimeModelInputAudioTranscriptionDeltaEvent as RealtimeModelInputAudioTranscriptionDeltaEvent,
    )
    from .model_events import (
        RealtimeModelInputAudioTranscriptionFailedEvent as RealtimeModelInputAudioTranscriptionFailedEvent,
    )
    from .model_events import RealtimeModelItemDeletedEvent as RealtimeModelItemDeletedEvent
    from .model_events import RealtimeModelItemTruncatedEvent as RealtimeModelItemTruncatedEvent
    from .model_events import RealtimeModelItemUpdatedEvent as RealtimeModelItemUpdatedEvent
    from .model_events import RealtimeModelOtherEvent as RealtimeModelOtherEvent
    from .model_events import RealtimeModelOutputTextDeltaEvent as RealtimeModelOutputTextDeltaEvent
    from .model_events import RealtimeModelRateLimitsEvent as RealtimeModelRateLimitsEvent
    from .model_events import RealtimeModelRawServerEvent as RealtimeModelRawServerEvent
    from .model_events import RealtimeModelSpeechStartedEvent as RealtimeModelSpeechStartedEvent
    from .model_events import RealtimeModelSpeechStoppedEvent as RealtimeModelSpeechStoppedEvent
    from .model_events import RealtimeModelToolCallEvent as RealtimeModelToolCallEvent
    from .model_events import RealtimeModelTranscriptDeltaEvent as RealtimeModelTranscriptDeltaEvent
    from .model_events import RealtimeModelTranscriptDoneEvent as RealtimeModelTranscriptDoneEvent
    from .model_events import RealtimeModelTurnEndedEvent as RealtimeModelTurnEndedEvent
    from .model_events import RealtimeModelTurnStartedEvent as RealtimeModelTurnStartedEvent
    from .model_events import RealtimeModelUsageEvent as RealtimeModelUsageEvent
    from .model_inputs import RealtimeModelInputImageContent as RealtimeModelInputImageContent
    from .model_inputs import RealtimeModelInputTextContent as RealtimeModelInputTextContent
    from .model_inputs import RealtimeModelRawClientMessage as RealtimeModelRawClientMessage
    from .model_inputs import RealtimeModelSendAudio as RealtimeModelSendAudio
    from .model_inputs import RealtimeModelSendEvent as RealtimeModelSendEvent
    from .model_inputs import RealtimeModelSendInterrupt as RealtimeModelSendInterrupt
    from .model_inputs import RealtimeModelSendRawMessage as RealtimeModelSendRawMessage
    from .model_inputs import RealtimeModelSendResponseCancel as RealtimeModelSendResponseCancel
    from .model_inputs import RealtimeModelSendResponseCreate as RealtimeModelSendResponseCreate
    from .model_inputs import RealtimeModelSendSessionUpdate as RealtimeModelSendSessionUpdate
    from .model_inputs import RealtimeModelSendToolOutput as RealtimeModelSendToolOutput
    from .model_inputs import RealtimeModelSendUserInput as RealtimeModelSendUserInput
    from .model_inputs import RealtimeModelUserInput as RealtimeModelUserInput
    from .model_inputs import RealtimeModelUserInputMessage as RealtimeModelUserInputMessage
    from .openai_realtime import OpenAIRealtimeWebSocketModel as OpenAIRealtimeWebSocketModel
    from .playback import ClockPlayer as ClockPlayer
    from .playback import HeardItem as HeardItem
    from .playback import Player as Player
    from .playback import Truncation as Truncation
    from .run_context import RunContextWrapper as RunContextWrapper
    from .run_context import TContext as TContext
    from .run_context import ToolContext as ToolContext
    from .runner import RealtimeRunner as RealtimeRunner
    from .session import RealtimeSession as RealtimeSession
    from .tools import FunctionTool as FunctionTool
    from .tools import SilentResult as SilentResult
    from .tools import Tool as Tool
    from .tools import ToolTimeoutError as ToolTimeoutError
    from .tools import default_tool_error_function as default_tool_error_function
    from .tools import function_tool as function_tool
    from .usage import PRICES_PER_MILLION as PRICES_PER_MILLION
    from .usage import CostEstimate as CostEstimate
    from .usage import ModalityTokens as ModalityTokens
    from .usage import Prices as Prices
    from .usage import Usage as Usage
    from .usage import UsageEntry as UsageEntry

_EXPORTS: dict[str, tuple[str, ...]] = {
    "agent": (
        "RealtimeAgent",
        "RealtimeAgentHooks",
        "RealtimeRunHooks",
    ),
    "config": (
        "RealtimeAudioConfig",
        "RealtimeAudioFormat",
        "RealtimeAudioInputConfig",
        "RealtimeAudioOutputConfig",
        "RealtimeClientMessage",
        "RealtimeGuardrailsSettings",
        "RealtimeInputAudioNoiseReductionConfig",
        "RealtimeInputAudioTranscriptionConfig",
        "RealtimeModelName",
        "RealtimeModelTracingConfig",
        "RealtimeQueueSettings",
        "RealtimeRunConfig",
        "RealtimeSessionModelSettings",
        "RealtimeToolExecutionConfig",
        "RealtimeTurnDetectionConfig",
        "RealtimeUserInput",
        "RealtimeUserInputImage",
        "RealtimeUserInputMessage",
        "RealtimeUserInputText",
    ),
    "errors": (
        "ConnectFailed",
        "ConnectionLost",
        "ModelBehaviorError",
        "RealtimeCoreError",
        "ScriptError",
        "ServerRejected",
        "SessionExpired",
        "TransportError",
        "UserError",
    ),
    "event_streams": (
        "EventStream",
        "EventsOverflowed",
    ),
    "events": (
        "AudioData",
        "RealtimeAgentEndEvent",
        "RealtimeAgentStartEvent",
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
    ),
    "guardrails": (
        "GuardrailFunctionOutput",
        "InputGuardrail",
        "InputGuardrailResult",
        "OutputGuardrail",
        "OutputGuardrailResult",
        "ToolGuardrailFunctionOutput",
        "ToolInputGuardrail",
        "ToolInputGuardrailData",
        "ToolInputGuardrailTripwireTriggered",
        "input_guardrail",
        "output_guardrail",
        "tool_input_guardrail",
    ),
    "handoffs": (
        "Handoff",
        "realtime_handoff",
    ),
    "items": (
        "AssistantAudio",
        "AssistantContent",
        "AssistantMessageItem",
        "AssistantText",
        "InputAudio",
        "InputImage",
        "InputText",
        "ItemStatus",
        "RealtimeItem",
        "RealtimeMessageItem",
        "RealtimeResponse",
        "RealtimeToolCallItem",
        "SystemMessageItem",
        "UserContent",
        "UserMessageItem",
        "item_from_dict",
    ),
    "model": (
        "RealtimeModel",
        "RealtimeModelConfig",
        "RealtimeModelListener",
    ),
    "model_events": (
        "RealtimeConnectionStatus",
        "RealtimeModelAudioDoneEvent",
        "RealtimeModelAudioEvent",
        "RealtimeModelAudioInterruptedEvent",
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
        "RealtimeModelItemDeletedEvent",
        "RealtimeModelItemTruncatedEvent",
        "RealtimeModelItemUpdatedEvent",
        "RealtimeModelOtherEvent",
        "RealtimeModelOutputTextDeltaEvent",
        "RealtimeModelRateLimitsEvent",
        "RealtimeModelRawServerEvent",
        "RealtimeModelSpeechStartedEvent",
        "RealtimeModelSpeechStoppedEvent",
        "RealtimeModelToolCallEvent",
        "RealtimeModelTranscriptDeltaEvent",
        "RealtimeModelTranscriptDoneEvent",
        "RealtimeModelTurnEndedEvent",
        "RealtimeModelTurnStartedEvent",
        "RealtimeModelUsageEvent",
    ),
    "model_inputs": (
        "RealtimeModelInputImageContent",
        "RealtimeModelInputTextContent",
        "RealtimeModelRawClientMessage",
        "RealtimeModelSendAudio",
        "RealtimeModelSendEvent",
        "RealtimeModelSendInterrupt",
        "RealtimeModelSendRawMessage",
        "RealtimeModelSendResponseCancel",
        "RealtimeModelSendResponseCreate",
        "RealtimeModelSendSessionUpdate",
        "RealtimeModelSendToolOutput",
        "RealtimeModelSendUserInput",
        "RealtimeModelUserInput",
        "RealtimeModelUserInputMessage",
    ),
    "openai_realtime": ("OpenAIRealtimeWebSocketModel",),
    "playback": (
        "ClockPlayer",
        "HeardItem",
        "Player",
        "Truncation",
    ),
    "run_context": (
        "RunContextWrapper",
        "TContext",
        "ToolContext",
    ),
    "runner": ("RealtimeRunner",),
    "session": ("RealtimeSession",),
    "tools": (
        "FunctionTool",
        "SilentResult",
        "Tool",
        "ToolTimeoutError",
        "default_tool_error_function",
        "function_tool",
    ),
    "usage": (
        "CostEstimate",
        "ModalityTokens",
        "PRICES_PER_MILLION",
        "Prices",
        "Usage",
        "UsageEntry",
    ),
}
_MODULE_OF = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = [
    "PRICES_PER_MILLION",
    "AssistantAudio",
    "AssistantContent",
    "AssistantMessageItem",
    "AssistantText",
    "AudioData",
    "ClockPlayer",
    "ConnectFailed",
    "ConnectionLost",
    "CostEstimate",
    "EventStream",
    "EventsOverflowed",
    "FunctionTool",
    "GuardrailFunctionOutput",
    "Handoff",
    "HeardItem",
    "InputAudio",
    "InputGuardrail",
    "InputGuardrailResult",
    "InputImage",
    "InputText",
    "ItemStatus",
    "ModalityTokens",
    "ModelBehaviorError",
    "OpenAIRealtimeWebSocketModel",
    "OutputGuardrail",
    "OutputGuardrailResult",
    "Player",
    "Prices",
    "RealtimeAgent",
    "RealtimeAgentEndEvent",
    "RealtimeAgentHooks",
    "RealtimeAgentStartEvent",
    "RealtimeAudio",
    "RealtimeAudioConfig",
    "RealtimeAudioEnd",
    "RealtimeAudioFormat",
    "RealtimeAudioInputConfig",
    "RealtimeAudioInterrupted",
    "RealtimeAudioOutputConfig",
    "RealtimeClientMessage",
    "RealtimeConnectionStatus",
    "RealtimeConnectionStatusEvent",
    "RealtimeCoreError",
    "RealtimeDtmf",
    "RealtimeError",
    "RealtimeEventInfo",
    "RealtimeGuardrailTripped",
    "RealtimeGuardrailsSettings",
    "RealtimeHandoffEvent",
    "RealtimeHistoryAdded",
    "RealtimeHistoryUpdated",
    "RealtimeInputAudioNoiseReductionConfig",
    "RealtimeInputAudioTimeoutTriggered",
    "RealtimeInputAudioTranscriptionConfig",
    "RealtimeInputAudioTranscriptionDelta",
    "RealtimeInputAudioTranscriptionFailed",
    "RealtimeItem",
    "RealtimeMessageItem",
    "RealtimeModel",
    "RealtimeModelAudioDoneEvent",
    "RealtimeModelAudioEvent",
    "RealtimeModelAudioInterruptedEvent",
    "RealtimeModelConfig",
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
    "RealtimeModelInputImageContent",
    "RealtimeModelInputTextContent",
    "RealtimeModelItemDeletedEvent",
    "RealtimeModelItemTruncatedEvent",
    "RealtimeModelItemUpdatedEvent",
    "RealtimeModelListener",
    "RealtimeModelName",
    "RealtimeModelOtherEvent",
    "RealtimeModelOutputTextDeltaEvent",
    "RealtimeModelRateLimitsEvent",
    "RealtimeModelRawClientMessage",
    "RealtimeModelRawServerEvent",
    "RealtimeModelSendAudio",
    "RealtimeModelSendEvent",
    "RealtimeModelSendInterrupt",
    "RealtimeModelSendRawMessage",
    "RealtimeModelSendResponseCancel",
    "RealtimeModelSendResponseCreate",
    "RealtimeModelSendSessionUpdate",
    "RealtimeModelSendToolOutput",
    "RealtimeModelSendUserInput",
    "RealtimeModelSpeechStartedEvent",
    "RealtimeModelSpeechStoppedEvent",
    "RealtimeModelToolCallEvent",
    "RealtimeModelTracingConfig",
    "RealtimeModelTranscriptDeltaEvent",
    "RealtimeModelTranscriptDoneEvent",
    "RealtimeModelTurnEndedEvent",
    "RealtimeModelTurnStartedEvent",
    "RealtimeModelUsageEvent",
    "RealtimeModelUserInput",
    "RealtimeModelUserInputMessage",
    "RealtimeQueueSettings",
    "RealtimeRateLimits",
    "RealtimeRawModelEvent",
    "RealtimeResponse",
    "RealtimeResponseFailed",
    "RealtimeResponseIncomplete",
    "RealtimeRunConfig",
    "RealtimeRunHooks",
    "RealtimeRunner",
    "RealtimeSession",
    "RealtimeSessionEnded",
    "RealtimeSessionEvent",
    "RealtimeSessionModelSettings",
    "RealtimeSpeechStarted",
    "RealtimeSpeechStopped",
    "RealtimeToolApprovalRequired",
    "RealtimeToolCallItem",
    "RealtimeToolEnd",
    "RealtimeToolExecutionConfig",
    "RealtimeToolStart",
    "RealtimeTranscriptDelta",
    "RealtimeTurnDetectionConfig",
    "RealtimeUserInput",
    "RealtimeUserInputImage",
    "RealtimeUserInputMessage",
    "RealtimeUserInputText",
    "RunContextWrapper",
    "ScriptError",
    "ServerRejected",
    "SessionExpired",
    "SilentResult",
    "SystemMessageItem",
    "TContext",
    "Tool",
    "ToolContext",
    "ToolGuardrailFunctionOutput",
    "ToolInputGuardrail",
    "ToolInputGuardrailData",
    "ToolInputGuardrailTripwireTriggered",
    "ToolTimeoutError",
    "TransportError",
    "Truncation",
    "Usage",
    "UsageEntry",
    "UserContent",
    "UserError",
    "UserMessageItem",
    "default_tool_error_function",
    "function_tool",
    "input_guardrail",
    "item_from_dict",
    "output_guardrail",
    "realtime_handoff",
    "tool_input_guardrail",
]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
