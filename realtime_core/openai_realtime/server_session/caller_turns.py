"""Handles the server's events about the caller: speech, turns, transcripts and keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ... import model_events as emitted
from ...capabilities import ModelCapabilities
from ...deadlines import earliest
from ...turn_policy import TurnAction, TurnPolicy
from .. import server_events as wire
from .audio_parts import AudioParts
from .items import ConversationItems
from .known_facts import KnownFacts
from .open_transcripts import OpenTranscripts
from .requests import ResponseRequests
from .steps import Steps
from .tool_gate import CallerSpeech, ToolGate
from .updates import SessionUpdates

__all__ = ["CallerTurns"]

_SEGMENT = "conversation.item.input_audio_transcription.segment"
Emit = Callable[[emitted.RealtimeModelEvent], None]


class CallerTurns:
    """Reacts to the server's events about the caller: speech, turns, transcripts and keys. Emits these events of the
    caller as model events. The turn policy decides what happens to the agent, for example whether the caller's speech
    interrupts it or whether a response is requested. This class executes the decision.
    """

    def __init__(
        self,
        policy: TurnPolicy,
        speech: CallerSpeech,
        requests: ResponseRequests,
        audio: AudioParts,
        gate: ToolGate,
        updates: SessionUpdates,
        items: ConversationItems,
        known: KnownFacts,
        emit: Emit,
        steps: Steps,
        capabilities: ModelCapabilities,
    ) -> None:
        self._policy = policy
        self._speech = speech
        self._requests = requests
        self._responses = requests.responses
        self._audio = audio
        self._gate = gate
        self._updates = updates
        self._items = items
        self._known = known
        self._emit = emit
        self._steps = steps
        self._capabilities = capabilities
        self._transcripts = OpenTranscripts()
        self.commits: deque[str] = deque(maxlen=64)
        """Event ids of the client's `input_audio_buffer.commit` events without an answer."""
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            wire.SpeechStarted: self._speech_started,
            wire.SpeechStopped: self._speech_stopped,
            wire.Committed: self._committed,
            wire.TimeoutTriggered: self._timeout_triggered,
            wire.TranscriptionDelta: self._transcription_delta,
            wire.TranscriptionCompleted: self._transcription_completed,
            wire.TranscriptionFailed: self._transcription_failed,
            wire.Dtmf: self._dtmf,
        }

    def on_time(self, now: float) -> None:
        self._emit_if(self._act(self._policy.on_time(now)))
        self._complete_transcripts()

    @property
    def deadline(self) -> float | None:
        """The time at which `on_time` must be called, or None."""
        return earliest(self._policy.deadline, self._transcripts.deadline)

    def end(self) -> None:
        """Emits the transcripts that are not complete, because the connection has ended."""
        self._complete_transcripts(ends=True)

    def response_over(self) -> None:
        """Marks the turns of the caller as over, because a response has ended. A turn in which the caller still speaks
        is not over.
        """
        self._transcripts.turns_over(self._steps.now, except_id=self._speech.item_id if self._speech.is_active else "")

    def _act(self, actions: Sequence[TurnAction]) -> emitted.RealtimeModelEvent | None:
        """Executes actions of the policy, except `RESPOND`, which needs the item of the turn."""
        interrupted = None
        if self._capabilities.full_duplex:
            return None  # the model hears the caller and decides whether to stop
        if self._responses.paused:
            return None  # the agent is silent, and the caller may hear another voice
        for action in actions:
            if action is TurnAction.INTERRUPT:
                interrupted = self._requests.interrupt()
                if self._updates.config.effective.interrupt_response:
                    self._responses.cancelled_by_server()
                elif self._capabilities.cancels:
                    self._requests.cancel(mute=True)
            elif action is TurnAction.HOLD:
                self._audio.hold(self._policy.duck_db)
            elif action is TurnAction.RELEASE:
                self._audio.release()
        return interrupted

    def _emit_if(self, event: emitted.RealtimeModelEvent | None) -> None:
        if event is not None:
            self._emit(event)

    # Speech.

    def _speech_started(self, event: wire.SpeechStarted) -> None:
        if event.item_id and not self._known.add(event.audio_start_ms, wire.SpeechStarted, event.item_id):
            return
        has_stopped = bool(event.item_id) and self._known.has(wire.SpeechStopped, event.item_id)
        now = self._steps.now
        agent_active = self._requests.agent_active
        self._speech.is_active = True
        self._speech.item_id, self._speech.start_ms = event.item_id, event.audio_start_ms
        self._gate.close()
        self._responses.speech_started(now)
        self._transcripts.turns_over(now, except_id=event.item_id)
        interrupted = self._act(self._policy.speech_started(now, agent_active=agent_active))
        self._emit(emitted.RealtimeModelSpeechStartedEvent(event.item_id, event.audio_start_ms))
        self._emit_if(interrupted)
        if has_stopped:  # the server reported the end before the beginning
            self._known.forget(wire.SpeechStopped, event.item_id)
            self._speech_stopped(wire.SpeechStopped(event.item_id, event.audio_start_ms))

    def _speech_stopped(self, event: wire.SpeechStopped) -> None:
        began_id = self._speech.item_id
        if event.item_id and not self._known.add(True, wire.SpeechStopped, event.item_id):
            return
        if self._speech.is_active and event.item_id and began_id and began_id != event.item_id:
            return  # the end of an earlier speech
        now = self._steps.now
        self._speech.is_active = False
        interrupted = self._act(self._policy.speech_stopped(now))
        self._emit(emitted.RealtimeModelSpeechStoppedEvent(event.item_id, event.audio_end_ms))
        self._emit_if(interrupted)
        self._requests.perform(self._responses.speech_stopped(now))

    def _end_speech(self) -> None:
        """Ends the speech because the turn is over, even if the server has not reported the end of the speech."""
        if self._speech.is_active:
            self._speech.is_active = False
            self._known.add(True, wire.SpeechStopped, self._speech.item_id)
            self._emit(emitted.RealtimeModelSpeechStoppedEvent(self._speech.item_id, self._speech.start_ms))

    # Turns.

    def _committed(self, event: wire.Committed) -> None:
        previous = self._items.places.previous(wire.Committed, event.item_id, event.previous_item_id)
        self._turn_taken(event.item_id, previous)

    def item_added(self, item: Mapping[str, Any], previous_item_id: str | None) -> None:
        """Handles a new conversation item of the caller whose `committed` event was lost or arrives later. The item
        is handled as if its `committed` event had arrived: it is a turn of the caller. If the server does not answer
        turns by itself, the client requests the answer. A later `committed` event for the item is ignored.
        `previous_item_id` is the id of the item before it ("" if there is none, None if it is not known).
        """
        item_id, content = str(item.get("id") or ""), item.get("content")
        is_audio = isinstance(content, list) and any(
            isinstance(part, Mapping) and part.get("type") == "input_audio" for part in content
        )
        if not item_id or not is_audio or item.get("role") != "user" or item_id in self._items.unconfirmed:
            return
        if self.commits or not self._responses.server_responds:
            self._turn_taken(item_id, previous_item_id)

    def _turn_taken(self, item_id: str, previous_item_id: str | None) -> None:
        """Registers that the conversation contains a turn of the caller."""
        if item_id and not self._known.add(True, wire.Committed, item_id):
            return
        now = self._steps.now
        self._transcripts.turn_over(now, item_id)
        by_client = bool(self.commits)
        if by_client:
            self.commits.popleft()
        self._end_speech()
        actions = self._policy.committed(now)
        interrupted = self._act(actions)
        self._emit(emitted.RealtimeModelInputAudioCommittedEvent(item_id, previous_item_id))
        self._emit_if(interrupted)
        self._requests.perform(self._responses.committed(now, by_client=by_client))
        # Without turn detection, the application decides when the model responds, as in the Agents SDK.
        wants_answer = by_client and self._updates.config.effective.detects_turns
        if wants_answer or TurnAction.RESPOND in actions or self._gate.is_closed:
            self._requests.perform(self._responses.request_answer(now, item_id or None, acknowledged=True))

    def _timeout_triggered(self, event: wire.TimeoutTriggered) -> None:
        if event.item_id and not self._known.add(event.audio_end_ms, wire.TimeoutTriggered, event.item_id):
            return
        self._emit(
            emitted.RealtimeModelInputAudioTimeoutTriggeredEvent(
                event.item_id, event.audio_start_ms, event.audio_end_ms
            )
        )

    # Transcripts and keys.

    def _transcription_delta(self, event: wire.TranscriptionDelta) -> None:
        part = event.item_id, event.content_index
        if self._is_transcribed(event) or self._items.is_deleted(event.item_id) or self._known.has(_SEGMENT, *part):
            return
        self._known.add(True, wire.TranscriptionDelta, *part)
        self._transcript_piece(event.item_id, event.content_index, event.delta)

    def _transcript_piece(self, item_id: str, content_index: int, piece: str) -> None:
        self._transcripts.add(self._steps.now, item_id, content_index, piece)
        self._emit(emitted.RealtimeModelInputAudioTranscriptionDeltaEvent(item_id, piece, content_index))

    def _complete_transcripts(self, *, ends: bool = False) -> None:
        """Emits the transcripts of which the server has sent all pieces and no event with the whole text."""
        for item_id, index, text in self._transcripts.due(self._steps.now, ends=ends):
            self._emit_pieces(item_id, index, text)

    def _emit_pieces(self, item_id: str, index: int, text: str) -> None:
        if text and not self._items.is_deleted(item_id):
            self._known.add(text, OpenTranscripts, item_id, index)
            self._emit(wire.TranscriptionCompleted(item_id, index, text, None, [], []).model_event())

    def notice(self, event: wire.Notice | wire.Unknown) -> None:
        """Adds a segment of the caller's transcript to the text, unless the text comes in deltas. Some servers send the
        text only in segments. Any other event has no effect.

        Source: https://developers.openai.com/api/reference/resources/realtime/server-events
        """
        if event.type != _SEGMENT:
            return
        item_id, index, text, segment_id = (event.data.get(key) for key in ("item_id", "content_index", "text", "id"))
        index = index if isinstance(index, int) else 0
        if not isinstance(item_id, str) or not isinstance(text, str) or not text.strip():
            return
        said = wire.TranscriptionDelta(item_id, index, text)
        has_deltas = self._known.has(wire.TranscriptionDelta, item_id, index)
        if self._is_transcribed(said) or self._items.is_deleted(item_id) or has_deltas:
            return
        if segment_id is not None and not self._known.add(True, _SEGMENT, item_id, index, str(segment_id)):
            return
        separator = " " if self._known.has(_SEGMENT, item_id, index) and not text[0].isspace() else ""
        self._known.add(True, _SEGMENT, item_id, index)
        self._transcript_piece(item_id, index, separator + text)

    def _transcription_completed(self, event: wire.TranscriptionCompleted) -> None:
        key = wire.TranscriptionCompleted, event.item_id, event.content_index
        if self._items.is_deleted(event.item_id) or (not event.transcript and self._known.value(*key)):
            return
        if not self._known.add(event.transcript, *key):
            return
        pieces = self._transcripts.close(event.item_id, event.content_index)
        reported = self._known.value(OpenTranscripts, event.item_id, event.content_index)
        transcript = event.transcript or pieces or reported or ""
        if transcript != reported or event.usage is not None:
            self._emit(event._replace(transcript=transcript).model_event())

    def item_transcribed(self, item: Mapping[str, Any]) -> None:
        """Emits the transcripts that an item of the caller has, except transcripts that were already emitted. Some
        compatible servers send no other event with the transcript.
        """
        content = item.get("content") if item.get("role") == "user" else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            transcript = part.get("transcript") if isinstance(part, Mapping) else None
            if not isinstance(transcript, str) or not transcript or part.get("type") != "input_audio":
                continue
            said = wire.TranscriptionCompleted(str(item.get("id") or ""), index, transcript, None, [], [])
            if not self._is_transcribed(said) and not self._items.is_deleted(said.item_id):
                self._known.add(transcript, wire.ItemDone, said.item_id, index)
                self._transcripts.close(said.item_id, index)
                if self._known.value(OpenTranscripts, said.item_id, index) != transcript:
                    self._emit(said.model_event())

    def _transcription_failed(self, event: wire.TranscriptionFailed) -> None:
        key = wire.TranscriptionFailed, event.item_id, event.content_index
        if self._is_transcribed(event) or not self._known.add(True, *key):
            return
        pieces = self._transcripts.close(event.item_id, event.content_index)
        self._emit_pieces(event.item_id, event.content_index, pieces)
        self._emit(
            emitted.RealtimeModelInputAudioTranscriptionFailedEvent(event.item_id, event.error, event.content_index)
        )

    def _is_transcribed(
        self, event: wire.TranscriptionDelta | wire.TranscriptionCompleted | wire.TranscriptionFailed
    ) -> bool:
        """Returns whether the whole transcript is already known, from an event of its own or from the item."""
        part = event.item_id, event.content_index
        return self._known.has(wire.TranscriptionCompleted, *part) or self._known.has(wire.ItemDone, *part)

    def _dtmf(self, event: wire.Dtmf) -> None:
        if event.received_at is not None and not self._known.add(event.digit, wire.Dtmf, event.received_at):
            return
        self._emit(emitted.RealtimeModelDtmfEvent(event.digit))
