"""What is done with what the server tells of the caller: speech, turns, transcripts, keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .. import model_events as emitted
from ..turns import TurnAction
from . import server_events as wire

if TYPE_CHECKING:
    from .dialogue import Dialogue

__all__ = ["TURN_EVENTS", "committed"]


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
    committed(dialogue, event.item_id, dialogue.places.previous(wire.Committed, event.item_id, event.previous_item_id))


def committed(dialogue: Dialogue, item_id: str, previous_item_id: str | None) -> None:
    """A turn of the caller is in the conversation."""
    if item_id and not dialogue.told.news(True, wire.Committed, item_id):
        return
    now = dialogue.setup.now()
    by_hand = bool(dialogue.commits_by_hand)
    if by_hand:
        dialogue.commits_by_hand.popleft()
    dialogue.end_speech()  # some servers report no end of speech
    actions = dialogue.setup.policy.committed(now)
    interrupted = dialogue.act(actions)
    dialogue.emit(emitted.RealtimeModelInputAudioCommittedEvent(item_id, previous_item_id))
    if interrupted:
        dialogue.emit(interrupted)
    dialogue.perform(dialogue.responses.committed(now, by_hand=by_hand))
    if by_hand or TurnAction.RESPOND in actions or dialogue.holds_answers:
        dialogue.perform(dialogue.responses.want(now, item_id or None, acknowledged=True))


def _timeout_triggered(dialogue: Dialogue, event: wire.TimeoutTriggered) -> None:
    if event.item_id and not dialogue.told.news(event.audio_end_ms, wire.TimeoutTriggered, event.item_id):
        return
    dialogue.emit(
        emitted.RealtimeModelInputAudioTimeoutTriggeredEvent(event.item_id, event.audio_start_ms, event.audio_end_ms)
    )


def _transcription_delta(dialogue: Dialogue, event: wire.TranscriptionDelta) -> None:
    if _is_transcribed(dialogue, event) or dialogue.is_deleted(event.item_id):
        return
    dialogue.emit(
        emitted.RealtimeModelInputAudioTranscriptionDeltaEvent(event.item_id, event.delta, event.content_index)
    )


def _transcription_completed(dialogue: Dialogue, event: wire.TranscriptionCompleted) -> None:
    key = wire.TranscriptionCompleted, event.item_id, event.content_index
    if dialogue.is_deleted(event.item_id) or not dialogue.told.news(event.transcript, *key):
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


TURN_EVENTS: Mapping[type, Callable[[Dialogue, Any], None]] = {
    wire.SpeechStarted: _speech_started,
    wire.SpeechStopped: _speech_stopped,
    wire.Committed: _committed,
    wire.TimeoutTriggered: _timeout_triggered,
    wire.TranscriptionDelta: _transcription_delta,
    wire.TranscriptionCompleted: _transcription_completed,
    wire.TranscriptionFailed: _transcription_failed,
    wire.Dtmf: _dtmf,
}
