"""What is done with each server event: one function per event, in one table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..errors import UserError
from ..items import RealtimeToolCallItem, item_from_dict
from ..outcomes import Outcome, items_of
from ..responses import COLLISION, echo_of
from ..turns import TurnAction
from . import hosted_tools
from . import server_events as wire
from .server_errors import COMMIT_EMPTY, KNOWN_CODES, Fault, classify, code_of, exception
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
        if not dialogue.told.knows(wire.ResponseCreated, response_id):
            dialogue.unannounced_id = response_id
    _HANDLERS[type(event)](dialogue, event)


def _response_of(event: wire.ServerEvent) -> str | None:
    """The response that the event is a part of."""
    if isinstance(event, wire.Notice):
        response_id = event.data.get("response_id")
        return response_id if isinstance(response_id, str) else None
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
    is_told = bool(event.event_id) and not dialogue.told.news(error.message, wire.ServerError, event.event_id)
    if _refused_commit(dialogue, event):
        dialogue.emit(emitted.RealtimeModelErrorEvent(error))  # whoever has ended the turn waits for an answer
    elif fault in (Fault.BENIGN, Fault.OURS):
        dialogue.setup.swallowed[code_of(event) or fault.value] += 1
        _logger.debug("The server's %s error was expected: %s", event.code, event.message)
    elif fault is not Fault.EXPIRED and not is_told:
        dialogue.emit(emitted.RealtimeModelErrorEvent(error))
    reason = code_of(event) or event.type
    if reason == COLLISION:
        dialogue.announce()
    dialogue.perform(dialogue.responses.refused(dialogue.setup.now(), event.event_id, reason, error))
    if fault is Fault.EXPIRED:
        dialogue.expired = True
        dialogue.connection.close(1000, "session expired")


def _refused_commit(dialogue: Dialogue, event: wire.ServerError) -> bool:
    """The error refuses a turn that was ended by hand."""
    commits = dialogue.commits_by_hand
    if event.event_id in commits:
        commits.remove(event.event_id)
        return True
    if commits and not event.event_id and event.code == COMMIT_EMPTY:
        commits.popleft()
        return True
    return False


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
    if event.item_id and not dialogue.told.news(event.audio_start_ms, wire.SpeechStarted, event.item_id):
        return
    stopped = bool(event.item_id) and dialogue.told.knows(wire.SpeechStopped, event.item_id)
    now = dialogue.setup.now()
    active = dialogue.agent_active
    dialogue.caller_speaks = True
    dialogue.speech_began = event.item_id, event.audio_start_ms
    dialogue.hold_answers()
    dialogue.responses.speech_started(now)
    interrupted = dialogue.act(dialogue.setup.policy.speech_started(now, agent_active=active))
    dialogue.emit(emitted.RealtimeModelSpeechStartedEvent(event.item_id, event.audio_start_ms))
    if interrupted:
        dialogue.emit(interrupted)
    if stopped:  # the end was told before the beginning
        dialogue.told.forget(wire.SpeechStopped, event.item_id)
        _speech_stopped(dialogue, wire.SpeechStopped(event.item_id, event.audio_start_ms))


def _speech_stopped(dialogue: Dialogue, event: wire.SpeechStopped) -> None:
    began_id = dialogue.speech_began[0]
    if event.item_id and not dialogue.told.news(True, wire.SpeechStopped, event.item_id):
        return
    if dialogue.caller_speaks and event.item_id and began_id and began_id != event.item_id:
        return  # the end of an earlier speech
    now = dialogue.setup.now()
    dialogue.caller_speaks = False
    interrupted = dialogue.act(dialogue.setup.policy.speech_stopped(now))
    dialogue.emit(emitted.RealtimeModelSpeechStoppedEvent(event.item_id, event.audio_end_ms))
    if interrupted:
        dialogue.emit(interrupted)
    dialogue.perform(dialogue.responses.speech_stopped(now))


def _committed(dialogue: Dialogue, event: wire.Committed) -> None:
    if event.item_id and not dialogue.told.news(True, wire.Committed, event.item_id):
        return
    now = dialogue.setup.now()
    by_hand = bool(dialogue.commits_by_hand)
    if by_hand:
        dialogue.commits_by_hand.popleft()
    dialogue.end_speech()  # some servers report no end of speech
    actions = dialogue.setup.policy.committed(now)
    interrupted = dialogue.act(actions)
    dialogue.emit(emitted.RealtimeModelInputAudioCommittedEvent(event.item_id, event.previous_item_id))
    if interrupted:
        dialogue.emit(interrupted)
    dialogue.perform(dialogue.responses.committed(now, by_hand=by_hand))
    if by_hand or TurnAction.RESPOND in actions or dialogue.holds_answers:
        dialogue.perform(dialogue.responses.want(now, event.item_id or None, acknowledged=True))


def _timeout_triggered(dialogue: Dialogue, event: wire.TimeoutTriggered) -> None:
    if event.item_id and not dialogue.told.news(event.audio_end_ms, wire.TimeoutTriggered, event.item_id):
        return
    dialogue.emit(
        emitted.RealtimeModelInputAudioTimeoutTriggeredEvent(event.item_id, event.audio_start_ms, event.audio_end_ms)
    )


def _transcription_delta(dialogue: Dialogue, event: wire.TranscriptionDelta) -> None:
    if _is_transcribed(dialogue, event) or _is_deleted(dialogue, event.item_id):
        return
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionDeltaEvent(event.item_id, event.delta, event.content_index)
    )


def _transcription_completed(dialogue: Dialogue, event: wire.TranscriptionCompleted) -> None:
    key = wire.TranscriptionCompleted, event.item_id, event.content_index
    if _is_deleted(dialogue, event.item_id) or not dialogue.told.news(event.transcript, *key):
        return
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
    key = wire.TranscriptionFailed, event.item_id, event.content_index
    if _is_transcribed(dialogue, event) or not dialogue.told.news(True, *key):
        return
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionFailedEvent(event.item_id, event.error, event.content_index)
    )


def _is_transcribed(dialogue: Dialogue, event: wire.TranscriptionDelta | wire.TranscriptionFailed) -> bool:
    """The whole transcript was told already."""
    return dialogue.told.knows(wire.TranscriptionCompleted, event.item_id, event.content_index)


def _dtmf(dialogue: Dialogue, event: wire.Dtmf) -> None:
    if event.received_at is not None and not dialogue.told.news(event.digit, wire.Dtmf, event.received_at):
        return
    dialogue.emit(emitted.RealtimeModelDtmfEvent(event.digit))


# Responses and what they say.


def _response_created(dialogue: Dialogue, event: wire.ResponseCreated) -> None:
    active_id, told = dialogue.responses.active_id, dialogue.told
    if event.response_id == active_id or _is_told_again(dialogue, event):
        return
    told.news(echo_of(event.response), wire.ResponseCreated, event.response_id)
    told.forget(wire.ResponseDone, event.response_id)
    dialogue.finished.pop(event.response_id, None)
    dialogue.ledger.forget_heard(dialogue.player.heard())
    effects = dialogue.responses.created(dialogue.setup.now(), event.response_id, event.response)
    if active_id not in (None, dialogue.responses.active_id):
        # The server makes one response at a time: the end of the last one got lost, or comes late.
        dialogue.finish(active_id)
        dialogue.emit(
            emitted.RealtimeModelTurnEndedEvent(response_id=active_id, status="incomplete", reason="not_told")
        )
    if dialogue.responses.is_out_of_band(event.response_id):
        dialogue.emit(emitted.RealtimeModelOtherEvent({"type": "response.created", "response": event.response}))
    else:
        dialogue.emit(emitted.RealtimeModelTurnStartedEvent(response_id=event.response_id))
    dialogue.perform(effects)


def _is_told_again(dialogue: Dialogue, event: wire.ResponseCreated) -> bool:
    """The response was told before. Some servers use an id again, for another response that is due."""
    if not dialogue.told.knows(wire.ResponseCreated, event.response_id):
        return False
    echo = echo_of(event.response)
    if echo is not None:
        return bool(echo == dialogue.told.fact(wire.ResponseCreated, event.response_id))
    return not dialogue.responses.expects_unnamed(dialogue.setup.now())


def _response_done(dialogue: Dialogue, event: wire.ResponseDone) -> None:
    if not dialogue.told.news(True, wire.ResponseDone, event.response_id):
        return  # told twice, or given up
    if not dialogue.told.knows(wire.ResponseCreated, event.response_id) and dialogue.responses.active_id is None:
        _response_created(dialogue, wire.ResponseCreated(event.response_id, event.response))  # it got lost
        dialogue.told.news(True, wire.ResponseDone, event.response_id)
        if event.response_id in dialogue.speaking_of.values():
            dialogue.responses.spoke(event.response_id)
    was_ended = event.response_id in dialogue.finished
    outcome = Outcome.of(event.response)
    out_of_band = dialogue.responses.is_out_of_band(event.response_id)
    if not out_of_band:
        _items_of(dialogue, event)
    dialogue.finish(event.response_id)
    if isinstance(usage := event.response.get("usage"), Mapping):
        dialogue.emit(usage_event(event.response_id, usage))
    if out_of_band:
        dialogue.emit(emitted.RealtimeModelOtherEvent({"type": "response.done", "response": event.response}))
    elif not was_ended:
        dialogue.emit(
            emitted.RealtimeModelTurnEndedEvent(
                response_id=event.response_id, status=outcome.status, reason=outcome.reason, error=outcome.error
            )
        )
    for item_id in hosted_tools.spoken_about(event.response):
        dialogue.told.news(True, hosted_tools.spoken_about, item_id)
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
    dialogue.end_part(event.item_id, event.content_index)


def _is_talk(
    dialogue: Dialogue, event: wire.TranscriptDelta | wire.TranscriptDone | wire.TextDelta | wire.TextDone
) -> bool:
    """What is said in the response belongs to the conversation. (What is said beside it, its `response.done` tells.)"""
    is_heard = event.response_id not in dialogue.muted and not _is_deleted(dialogue, event.item_id)
    return is_heard and not dialogue.responses.is_out_of_band(event.response_id)


def _transcript_delta(dialogue: Dialogue, event: wire.TranscriptDelta) -> None:
    is_complete = dialogue.told.knows(wire.TranscriptDone, event.item_id, event.content_index)
    if _is_talk(dialogue, event) and not is_complete:
        dialogue.emit(
            emitted.RealtimeModelTranscriptDeltaEvent(
                event.item_id, event.delta, event.response_id, content_index=event.content_index
            )
        )


def _transcript_done(dialogue: Dialogue, event: wire.TranscriptDone) -> None:
    key = wire.TranscriptDone, event.item_id, event.content_index
    if _is_talk(dialogue, event) and event.transcript and dialogue.told.news(event.transcript, *key):
        dialogue.emit(
            emitted.RealtimeModelTranscriptDoneEvent(
                event.item_id, event.transcript, event.response_id, event.content_index
            )
        )


def _text_delta(dialogue: Dialogue, event: wire.TextDelta) -> None:
    is_complete = dialogue.told.knows(wire.TextDone, event.item_id, event.content_index)
    if _is_talk(dialogue, event) and not is_complete:
        dialogue.emit(
            emitted.RealtimeModelOutputTextDeltaEvent(
                event.item_id, event.delta, event.response_id, content_index=event.content_index
            )
        )


def _text_done(dialogue: Dialogue, event: wire.TextDone) -> None:
    key = wire.TextDone, event.item_id, event.content_index
    if _is_talk(dialogue, event) and event.text and dialogue.told.news(event.text, *key):
        dialogue.emit(
            emitted.RealtimeModelOutputTextDoneEvent(
                event.item_id, event.text, event.response_id, content_index=event.content_index
            )
        )


# Items.


def _is_deleted(dialogue: Dialogue, item_id: str) -> bool:
    return dialogue.told.knows(wire.ItemDeleted, item_id)


def _item_added(dialogue: Dialogue, event: wire.ItemAdded) -> None:
    _turn_not_told(dialogue, event)
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, event.previous_item_id)


def _turn_not_told(dialogue: Dialogue, event: wire.ItemAdded) -> None:
    """A turn of the caller shows in the conversation whose `committed` got lost or comes later. Where the server does
    not answer it by itself, somebody has to."""
    item_id, content = str(event.item.get("id") or ""), event.item.get("content")
    is_audio = isinstance(content, list) and any(
        isinstance(p, Mapping) and p.get("type") == "input_audio" for p in content
    )
    if not item_id or not is_audio or event.item.get("role") != "user" or item_id in dialogue.unacknowledged:
        return
    if dialogue.commits_by_hand or not dialogue.responses.server_responds:
        _committed(dialogue, wire.Committed(item_id, event.previous_item_id))


def _item_done(dialogue: Dialogue, event: wire.ItemDone) -> None:
    dialogue.completes_items = True
    hosted_tools.item_done(dialogue, event.item)
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, event.previous_item_id)


def _item_acknowledged(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    if isinstance(item_id := item.get("id"), str):
        dialogue.unacknowledged.pop(item_id, None)
        dialogue.responses.acknowledged(item_id)


def _item_retrieved(dialogue: Dialogue, event: wire.ItemRetrieved) -> None:
    _item_updated(dialogue, event.item, None)


def _output_item_added(dialogue: Dialogue, event: wire.OutputItemAdded) -> None:
    dialogue.responses.began_item(event.response_id)


def _output_item_done(dialogue: Dialogue, event: wire.OutputItemDone) -> None:
    if dialogue.responses.is_out_of_band(event.response_id):
        return
    dialogue.responses.completed_item(dialogue.setup.now(), event.response_id)
    _final_texts(dialogue, event.response_id, event.item)
    if event.item.get("type") == "function_call":
        _tool_call(dialogue, event.response_id, event.item)
        return
    hosted_tools.item_done(dialogue, event.item)
    if not dialogue.completes_items:
        _item_updated(dialogue, event.item, None)


def _item_updated(dialogue: Dialogue, item: Mapping[str, Any], previous_item_id: str | None) -> None:
    """Messages only: a tool call is told when it is complete, and again with its output."""
    item_id = item.get("id")
    if item.get("type") != "message" or item_id in dialogue.hidden_items or _is_deleted(dialogue, str(item_id)):
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
    if call_id not in dialogue.called:
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


def _items_of(dialogue: Dialogue, event: wire.ResponseDone) -> None:
    """Some compatible servers tell of a tool call, and of an item's final text and status, only where their response
    ends."""
    for item in items_of(event.response):
        if item.get("type") != "function_call":
            _final_texts(dialogue, event.response_id, item)
            _item_updated(dialogue, item, None)
        elif str(item.get("call_id")) not in dialogue.called:
            _tool_call(dialogue, event.response_id, item)


def _final_texts(dialogue: Dialogue, response_id: str, item: Mapping[str, Any]) -> None:
    """The whole text of each part of a message, as far as it was not told."""
    item_id, parts = str(item.get("id") or ""), item.get("content")
    for index, part in enumerate(parts if isinstance(parts, list) else ()):
        if not isinstance(part, Mapping) or item.get("role") != "assistant":
            continue
        transcript, is_known = part.get("transcript"), dialogue.told.knows(wire.TranscriptDone, item_id, index)
        if isinstance(transcript, str) and transcript and not is_known:
            _transcript_done(dialogue, wire.TranscriptDone(response_id, item_id, index, transcript))
        text, is_known = part.get("text"), dialogue.told.knows(wire.TextDone, item_id, index)
        if isinstance(text, str) and text and not is_known:
            _text_done(dialogue, wire.TextDone(response_id, item_id, index, text))


def _item_deleted(dialogue: Dialogue, event: wire.ItemDeleted) -> None:
    dialogue.told.news(True, wire.ItemDeleted, event.item_id)
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
    wire.TextDone: _text_done,
    wire.ItemAdded: _item_added,
    wire.ItemDone: _item_done,
    wire.ItemRetrieved: _item_retrieved,
    wire.OutputItemAdded: _output_item_added,
    wire.OutputItemDone: _output_item_done,
    wire.ItemDeleted: _item_deleted,
    wire.ItemTruncated: _item_truncated,
    wire.Notice: _other,
    wire.Unknown: _other,
    wire.Malformed: _malformed,
}
