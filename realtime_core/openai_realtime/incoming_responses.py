"""What is done with what the server tells of its responses and of the items of the conversation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..errors import UserError
from ..items import RealtimeItem, RealtimeToolCallItem, item_from_dict
from ..outcomes import Outcome, items_of
from ..responses import echo_of
from . import hosted_tools
from . import server_events as wire
from .incoming_turns import committed
from .usage import usage_event

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = ["RESPONSE_EVENTS"]

_logger = logging.getLogger(__name__)

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
        hosted_tools.answer_began(dialogue, event.response_id)
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
        hosted_tools.was_spoken_about(dialogue, item_id, event.response_id)
    hosted_tools.answer_over(dialogue, event.response_id)
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
    is_heard = event.response_id not in dialogue.muted and not dialogue.is_deleted(event.item_id)
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


def _item_added(dialogue: Dialogue, event: wire.ItemAdded) -> None:
    previous = _previous(dialogue, event)
    _turn_not_told(dialogue, event, previous)
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, previous)


def _previous(dialogue: Dialogue, event: wire.ItemAdded | wire.ItemDone) -> str | None:
    return dialogue.places.previous(type(event), str(event.item.get("id") or ""), event.previous_item_id)


def _turn_not_told(dialogue: Dialogue, event: wire.ItemAdded, previous_item_id: str | None) -> None:
    """A turn of the caller shows in the conversation whose `committed` got lost or comes later. Where the server does
    not answer it by itself, somebody has to."""
    item_id, content = str(event.item.get("id") or ""), event.item.get("content")
    is_audio = isinstance(content, list) and any(
        isinstance(p, Mapping) and p.get("type") == "input_audio" for p in content
    )
    if not item_id or not is_audio or event.item.get("role") != "user" or item_id in dialogue.unacknowledged:
        return
    if dialogue.commits_by_hand or not dialogue.responses.server_responds:
        committed(dialogue, item_id, previous_item_id)


def _item_done(dialogue: Dialogue, event: wire.ItemDone) -> None:
    dialogue.completes_items = True
    _item_acknowledged(dialogue, event.item)
    _item_updated(dialogue, event.item, _previous(dialogue, event))
    hosted_tools.item_done(dialogue, event.item)


def _item_acknowledged(dialogue: Dialogue, item: Mapping[str, Any]) -> None:
    if isinstance(item_id := item.get("id"), str):
        dialogue.unacknowledged.pop(item_id, None)
        if item_id in dialogue.restored:
            dialogue.restored[item_id] = True
        dialogue.responses.acknowledged(item_id)


def _item_retrieved(dialogue: Dialogue, event: wire.ItemRetrieved) -> None:
    item_id = str(event.item.get("id") or "")
    if event.item.get("type") == "mcp_call" and item_id not in dialogue.hosted:
        dialogue.restored[item_id] = True  # it has run before
    _item_updated(dialogue, event.item, None)


def _output_item_added(dialogue: Dialogue, event: wire.OutputItemAdded) -> None:
    dialogue.responses.began_item(event.response_id)
    if event.item.get("type") == "mcp_call" and not dialogue.responses.is_out_of_band(event.response_id):
        _item_updated(dialogue, event.item, None)


def _output_item_done(dialogue: Dialogue, event: wire.OutputItemDone) -> None:
    if dialogue.responses.is_out_of_band(event.response_id):
        return
    dialogue.responses.completed_item(dialogue.setup.now(), event.response_id)
    _final_texts(dialogue, event.response_id, event.item)
    if event.item.get("type") == "function_call":
        _tool_call(dialogue, event.response_id, event.item)
        return
    if not dialogue.completes_items or event.item.get("type") == "mcp_call":
        _item_updated(dialogue, event.item, None)
    hosted_tools.item_done(dialogue, event.item)


def _item_updated(dialogue: Dialogue, item: Mapping[str, Any], previous_item_id: str | None) -> None:
    """Messages and complete tool calls are listed in the history. Every other item keeps its place there; the output of
    a tool belongs to its call."""
    item_id, kind = str(item.get("id") or ""), str(item.get("type") or "")
    if dialogue.is_deleted(item_id):
        return
    is_hidden = item_id in dialogue.hidden_items
    if kind == "mcp_call" and not is_hidden:
        hosted_tools.item_seen(dialogue, item, previous_item_id)
    elif not is_hidden and (known := _listed_item(item, kind)) is not None:
        dialogue.emit(emitted.RealtimeModelItemUpdatedEvent(known, previous_item_id=previous_item_id))
    elif item_id:
        call_id, output = (item.get(key) if kind == "function_call_output" else None for key in ("call_id", "output"))
        dialogue.emit(
            emitted.RealtimeModelOtherItemEvent(
                item_id,
                kind,
                previous_item_id=previous_item_id,
                call_id=call_id if isinstance(call_id, str) else None,
                output=output if isinstance(output, str) else None,
            )
        )


def _listed_item(item: Mapping[str, Any], kind: str) -> RealtimeItem | None:
    """The item as the history lists it; None for one that it does not list."""
    if kind == "function_call":
        is_complete = item.get("status", "completed" if item.get("arguments") else "in_progress") == "completed"
        # Complete is here what the model has called; the history's call is complete when it has its output.
        return item_from_dict({**item, "status": "in_progress"}) if is_complete else None
    if kind != "message":
        return None
    try:
        return item_from_dict(item)
    except UserError as error:
        _logger.info("An item of the conversation is left out: %s", error)
        return None


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
            hosted_tools.item_done(dialogue, item)
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
    if dialogue.restored.get(event.item_id) is not False:  # else the client has asked for an item of that id meanwhile
        dialogue.told.news(True, wire.ItemDeleted, event.item_id)
    dialogue.emit(emitted.RealtimeModelItemDeletedEvent(event.item_id))


def _item_truncated(dialogue: Dialogue, event: wire.ItemTruncated) -> None:
    dialogue.emit(emitted.RealtimeModelItemTruncatedEvent(event.item_id, event.content_index, event.audio_end_ms))


RESPONSE_EVENTS: Mapping[type, Callable[[Dialogue, Any], None]] = {
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
}
