"""What is done with each server event: one function per event, in one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..errors import UserError
from ..items import RealtimeToolCallItem, item_from_dict
from ..outcomes import Outcome, items_of
from ..turns import TurnAction
from . import hosted_tools
from . import server_events as wire
from .server_errors import KNOWN_CODES, Fault, classify, code_of, exception
from .settings_ledger import Refusal
from .usage import usage_event

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = ["handle"]

_logger = logging.getLogger(__name__)


def handle(dialogue: Dialogue, event: wire.ServerEvent) -> None:
    """Change the dialogue's state, send what is to be sent, emit what is to be told: in this one step."""
    if (response_id := _response_of(event)) is not None:
        dialogue.responses.progress(dialogue.setup.now(), response_id)
    _HANDLERS[type(event)](dialogue, event)


def _response_of(event: wire.ServerEvent) -> str | None:
    """The response that the event is a part of."""
    if isinstance(event, wire.Notice):
        return event.data.get("response_id")
    return getattr(event, "response_id", None)


# The session.


def _session_created(dialogue: Dialogue, event: wire.SessionCreated) -> None:
    expires_at = event.session.get("expires_at")
    dialogue.expires_at = float(expires_at) if isinstance(expires_at, int | float) and expires_at else None
    dialogue.config.created(event.session)
    if not dialogue.created.done():
        dialogue.created.set_result(None)


def _session_updated(dialogue: Dialogue, event: wire.SessionUpdated) -> None:
    dialogue.session_taken(event.session)


def _error(dialogue: Dialogue, event: wire.ServerError) -> None:
    error, fault = exception(event), classify(event)
    if dialogue.reject_configuration(error):
        return
    if (refusal := _refused_update(dialogue, event)) is not None:
        dialogue.session_refused(refusal, error)
        return
    if (item_id := dialogue.created_items.pop(event.event_id, None)) is not None:
        dialogue.item_refused(item_id)
    if event.event_id in dialogue.commits_by_hand:
        dialogue.commits_by_hand.remove(event.event_id)
    if fault in (Fault.BENIGN, Fault.OURS):
        dialogue.setup.swallowed[code_of(event) or fault.value] += 1
        _logger.debug("The server's %s error was expected: %s", event.code, event.message)
    elif fault is not Fault.EXPIRED:
        dialogue.emit(emitted.RealtimeModelErrorEvent(error))
    reason = code_of(event) or event.type
    dialogue.perform(dialogue.responses.refused(dialogue.setup.now(), event.event_id, reason, error))
    if fault is Fault.EXPIRED:
        dialogue.expired = True
        dialogue.connection.close(1000, "session expired")


def _refused_update(dialogue: Dialogue, event: wire.ServerError) -> Refusal | None:
    """The `session.update` that the error refuses. An error without an event id refuses one where it names a setting,
    or where nothing else is under way that could be meant."""
    is_ours = bool(event.event_id) or classify(event) is Fault.CONFIGURATION
    if not is_ours and (event.param or code_of(event) in KNOWN_CODES or dialogue.waits_for_answers):
        return None
    return dialogue.config.refused(event.event_id, event.param, event.code)


def _rate_limits(dialogue: Dialogue, event: wire.RateLimits) -> None:
    dialogue.emit(emitted.RealtimeModelRateLimitsEvent(event.rate_limits))


# What the caller says.


def _speech_started(dialogue: Dialogue, event: wire.SpeechStarted) -> None:
    now = dialogue.setup.now()
    active = dialogue.agent_active
    dialogue.caller_speaks = True
    dialogue.hold_answers()
    dialogue.responses.speech_started(now)
    interrupted = dialogue.act(dialogue.setup.policy.speech_started(now, agent_active=active))
    dialogue.emit(emitted.RealtimeModelSpeechStartedEvent(event.item_id, event.audio_start_ms))
    if interrupted:
        dialogue.emit(interrupted)


def _speech_stopped(dialogue: Dialogue, event: wire.SpeechStopped) -> None:
    now = dialogue.setup.now()
    dialogue.caller_speaks = False
    interrupted = dialogue.act(dialogue.setup.policy.speech_stopped(now))
    dialogue.emit(emitted.RealtimeModelSpeechStoppedEvent(event.item_id, event.audio_end_ms))
    if interrupted:
        dialogue.emit(interrupted)
    dialogue.perform(dialogue.responses.speech_stopped(now))


def _committed(dialogue: Dialogue, event: wire.Committed) -> None:
    now = dialogue.setup.now()
    by_hand = bool(dialogue.commits_by_hand)
    if by_hand:
        dialogue.commits_by_hand.popleft()
    dialogue.caller_speaks = False  # some servers report no end of speech
    actions = dialogue.setup.policy.committed(now)
    interrupted = dialogue.act(actions)
    dialogue.emit(emitted.RealtimeModelInputAudioCommittedEvent(event.item_id, event.previous_item_id))
    if interrupted:
        dialogue.emit(interrupted)
    dialogue.perform(dialogue.responses.committed(now, by_hand=by_hand))
    if by_hand or TurnAction.RESPOND in actions or dialogue.holds_answers:
        dialogue.perform(dialogue.responses.want(now, event.item_id or None, acknowledged=True))


def _timeout_triggered(dialogue: Dialogue, event: wire.TimeoutTriggered) -> None:
    dialogue.emit(
        emitted.RealtimeModelInputAudioTimeoutTriggeredEvent(event.item_id, event.audio_start_ms, event.audio_end_ms)
    )


def _transcription_delta(dialogue: Dialogue, event: wire.TranscriptionDelta) -> None:
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionDeltaEvent(event.item_id, event.delta, event.content_index)
    )


def _transcription_completed(dialogue: Dialogue, event: wire.TranscriptionCompleted) -> None:
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionCompletedEvent(
            event.item_id,
            event.transcript,
            content_index=event.content_index,
            usage=event.usage,
            languages=event.languages,
            logprobs=event.logprobs,
        )
    )


def _transcription_failed(dialogue: Dialogue, event: wire.TranscriptionFailed) -> None:
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionFailedEvent(event.item_id, event.error, event.content_index)
    )


def _dtmf(dialogue: Dialogue, event: wire.Dtmf) -> None:
    dialogue.emit(emitted.RealtimeModelDtmfEvent(event.digit))


# Responses and what they say.


def _response_created(dialogue: Dialogue, event: wire.ResponseCreated) -> None:
    if event.response_id == dialogue.responses.active_id:
        return  # told twice
    dialogue.finished.pop(event.response_id, None)  # some servers use an id again
    dialogue.ledger.forget_heard(dialogue.player.heard())
    effects = dialogue.responses.created(dialogue.setup.now(), event.response_id, event.response)
    if dialogue.responses.is_out_of_band(event.response_id):
        dialogue.emit(emitted.RealtimeModelOtherEvent({"type": "response.created", "response": event.response}))
    else:
        dialogue.emit(emitted.RealtimeModelTurnStartedEvent(response_id=event.response_id))
    dialogue.perform(effects)


def _response_done(dialogue: Dialogue, event: wire.ResponseDone) -> None:
    if event.response_id in dialogue.finished:
        return  # told twice, or given up
    outcome = Outcome.of(event.response)
    out_of_band = dialogue.responses.is_out_of_band(event.response_id)
    if not out_of_band:
        _calls_not_told(dialogue, event)
    dialogue.finish(event.response_id)
    if isinstance(usage := event.response.get("usage"), Mapping):
        dialogue.emit(usage_event(event.response_id, usage))
    if out_of_band:
        dialogue.emit(emitted.RealtimeModelOtherEvent({"type": "response.done", "response": event.response}))
    else:
        dialogue.emit(
            emitted.RealtimeModelTurnEndedEvent(
                response_id=event.response_id, status=outcome.status, reason=outcome.reason, error=outcome.error
            )
        )
    for item_id in hosted_tools.spoken_about(event.response):
        dialogue.responses.unwant(item_id)
    dialogue.perform(dialogue.responses.done(dialogue.setup.now(), event.response_id, outcome))


def _audio_delta(dialogue: Dialogue, event: wire.AudioDelta) -> None:
    if event.response_id in dialogue.muted:
        return
    part = event.item_id, event.content_index
    # An out-of-band response leaves no item that could be truncated.
    if not dialogue.responses.is_out_of_band(event.response_id):
        dialogue.ledger.received(*part, len(event.audio))
    if part not in dialogue.open_parts:
        dialogue.open_parts[part] = event.response_id
        dialogue.speaking_of[event.item_id] = event.response_id
        dialogue.responses.spoke(event.response_id)
        dialogue.config.voice_frozen = True
    dialogue.player.play(*part, event.audio)
    dialogue.emit(emitted.RealtimeModelAudioEvent(event.audio, event.response_id, *part))
    if event.response_id in dialogue.finished:
        dialogue.end_part(*part)  # it came late, and nothing else will end it


def _audio_done(dialogue: Dialogue, event: wire.AudioDone) -> None:
    if (event.item_id, event.content_index) not in dialogue.open_parts:
        return
    dialogue.end_part(event.item_id, event.content_index)
    if event.response_id not in dialogue.muted:
        dialogue.emit(
            emitted.RealtimeModelAudioDoneEvent(event.item_id, event.content_index, response_id=event.response_id)
        )


def _is_talk(dialogue: Dialogue, response_id: str) -> bool:
    """What is said in the response belongs to the conversation. (What is said beside it, its `response.done` tells.)"""
    return response_id not in dialogue.muted and not dialogue.responses.is_out_of_band(response_id)


def _transcript_delta(dialogue: Dialogue, event: wire.TranscriptDelta) -> None:
    if _is_talk(dialogue, event.response_id):
        dialogue.emit(
            emitted.RealtimeModelTranscriptDeltaEvent(
                event.item_id, event.delta, event.response_id, content_index=event.content_index
            )
        )


def _transcript_done(dialogue: Dialogue, event: wire.TranscriptDone) -> None:
    if _is_talk(dialogue, event.response_id):
        dialogue.emit(
            emitted.RealtimeModelTranscriptDoneEvent(
                event.item_id, event.transcript, event.response_id, event.content_index
            )
        )


def _text_delta(dialogue: Dialogue, event: wire.TextDelta) -> None:
    if _is_talk(dialogue, event.response_id):
        dialogue.emit(
            emitted.RealtimeModelOutputTextDeltaEvent(
                event.item_id, event.delta, event.response_id, content_index=event.content_index
            )
        )


# Items.


def _item_added(dialogue: Dialogue, event: wire.ItemAdded) -> None:
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, event.previous_item_id)


def _item_done(dialogue: Dialogue, event: wire.ItemDone) -> None:
    dialogue.completes_items = True
    if event.item.get("type") == "mcp_approval_request":
        hosted_tools.approval_request(dialogue, event.item)
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, event.previous_item_id)


def _item_acknowledged(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    if isinstance(item_id := item.get("id"), str):
        dialogue.unacknowledged.pop(item_id, None)
        dialogue.responses.acknowledged(item_id)


def _item_retrieved(dialogue: Dialogue, event: wire.ItemRetrieved) -> None:
    _item_updated(dialogue, event.item, None)


def _output_item_done(dialogue: Dialogue, event: wire.OutputItemDone) -> None:
    if dialogue.responses.is_out_of_band(event.response_id):
        return
    if event.item.get("type") == "function_call":
        _tool_call(dialogue, event.response_id, event.item)
    elif event.item.get("type") == "mcp_approval_request":
        hosted_tools.approval_request(dialogue, event.item)
    elif not dialogue.completes_items:
        _item_updated(dialogue, event.item, None)


def _item_updated(dialogue: Dialogue, item: Mapping[str, Any], previous_item_id: str | None) -> None:
    """Messages only: a tool call is told when it is complete, and again with its output."""
    if item.get("type") != "message" or item.get("id") in dialogue.hidden_items:
        return
    try:
        known = item_from_dict(item)
    except UserError as error:
        _logger.info("An item of the conversation is left out: %s", error)
        return
    dialogue.emit(emitted.RealtimeModelItemUpdatedEvent(known, previous_item_id=previous_item_id))


def _tool_call(dialogue: Dialogue, response_id: str, item: Mapping[str, Any]) -> None:
    if item.get("status", "completed") != "completed":
        return  # cut off in the middle of its arguments
    name, call_id, arguments = (str(item.get(key) or "") for key in ("name", "call_id", "arguments"))
    item_id = str(item.get("id") or call_id)
    dialogue.called[call_id] = True
    dialogue.open_calls.add(call_id)
    if dialogue.caller_speaks:
        dialogue.hold_answers()
    dialogue.emit(
        emitted.RealtimeModelItemUpdatedEvent(
            RealtimeToolCallItem(item_id=item_id, call_id=call_id, name=name, arguments=arguments)
        )
    )
    dialogue.emit(
        emitted.RealtimeModelToolCallEvent(name, call_id, arguments, id=item_id, response_id=response_id or None)
    )


def _calls_not_told(dialogue: Dialogue, event: wire.ResponseDone) -> None:
    """Some compatible servers tell of a tool call only where their response ends."""
    for item in items_of(event.response):
        if item.get("type") == "function_call" and str(item.get("call_id")) not in dialogue.called:
            _tool_call(dialogue, event.response_id, item)


def _item_deleted(dialogue: Dialogue, event: wire.ItemDeleted) -> None:
    dialogue.emit(emitted.RealtimeModelItemDeletedEvent(event.item_id))


def _item_truncated(dialogue: Dialogue, event: wire.ItemTruncated) -> None:
    dialogue.emit(emitted.RealtimeModelItemTruncatedEvent(event.item_id, event.content_index, event.audio_end_ms))


# The rest.


def _nothing(dialogue: Dialogue, event: wire.ServerEvent) -> None:
    pass


def _other(dialogue: Dialogue, event: wire.Notice | wire.Unknown) -> None:
    dialogue.emit(emitted.RealtimeModelOtherEvent(event.data))
    hosted_tools.notice(dialogue, event)


def _malformed(dialogue: Dialogue, event: wire.Malformed) -> None:
    dialogue.setup.swallowed["malformed"] += 1
    _logger.warning("A message of the server is left out: %s", event.reason)
    dialogue.emit(emitted.RealtimeModelOtherEvent(event))


_HANDLERS: Mapping[type, Callable[[Dialogue, Any], None]] = {
    wire.SessionCreated: _session_created,
    wire.SessionUpdated: _session_updated,
    wire.ServerError: _error,
    wire.RateLimits: _rate_limits,
    wire.SpeechStarted: _speech_started,
    wire.SpeechStopped: _speech_stopped,
    wire.Committed: _committed,
    wire.Cleared: _nothing,
    wire.TimeoutTriggered: _timeout_triggered,
    wire.TranscriptionDelta: _transcription_delta,
    wire.TranscriptionCompleted: _transcription_completed,
    wire.TranscriptionFailed: _transcription_failed,
    wire.Dtmf: _dtmf,
    wire.ResponseCreated: _response_created,
    wire.ResponseDone: _response_done,
    wire.AudioDelta: _audio_delta,
    wire.AudioDone: _audio_done,
    wire.TranscriptDelta: _transcript_delta,
    wire.TranscriptDone: _transcript_done,
    wire.TextDelta: _text_delta,
    wire.TextDone: _nothing,
    wire.ItemAdded: _item_added,
    wire.ItemDone: _item_done,
    wire.ItemRetrieved: _item_retrieved,
    wire.OutputItemAdded: _nothing,
    wire.OutputItemDone: _output_item_done,
    wire.ItemDeleted: _item_deleted,
    wire.ItemTruncated: _item_truncated,
    wire.Notice: _other,
    wire.Unknown: _other,
    wire.Malformed: _malformed,
}
