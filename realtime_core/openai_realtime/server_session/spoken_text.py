"""Emits the transcripts and texts of the agent, and plays audio that only a complete part contains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import model_events as emitted
from ...responses import Responses
from .. import server_events as wire
from ..protocol import part_audio
from .audio_parts import AudioParts
from .items import ConversationItems
from .known_facts import KnownFacts

__all__ = ["SpokenText"]


class SpokenText:
    """Emits the texts that the agent says in the conversation. The text of a response outside of the conversation is in
    its `response.done`. `play` is called with the audio of each complete part. `play` ignores audio that it has already
    received.
    """

    def __init__(
        self,
        responses: Responses,
        audio: AudioParts,
        items: ConversationItems,
        known: KnownFacts,
        emit: Callable[[emitted.RealtimeModelEvent], None],
        play: Callable[[wire.AudioDelta], None],
    ) -> None:
        self._responses = responses
        self._audio = audio
        self._items = items
        self._known = known
        self._emit = emit
        self._play = play
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            wire.TranscriptDelta: self._transcript_delta,
            wire.TranscriptDone: self._transcript_done,
            wire.TextDelta: self._text_delta,
            wire.TextDone: self._text_done,
        }

    def final(self, response_id: str, item: Mapping[str, Any]) -> None:
        """Emits the complete text of each part of a complete message, except texts that were already emitted, and plays
        its audio if no other event had the audio. `item` is the message in the protocol's form.
        """
        item_id, parts = str(item.get("id") or ""), item.get("content")
        for index, part in enumerate(parts if isinstance(parts, list) else ()):
            if not isinstance(part, Mapping) or item.get("role") != "assistant":
                continue
            if audio := part_audio(dict(part)):
                said = wire.AudioDelta(response_id, item_id, index, audio)
                if self._is_spoken(said):
                    self._play(said)
            transcript, is_known = part.get("transcript"), self._known.has(wire.TranscriptDone, item_id, index)
            if isinstance(transcript, str) and transcript and not is_known:
                self._transcript_done(wire.TranscriptDone(response_id, item_id, index, transcript))
            text, is_known = part.get("text"), self._known.has(wire.TextDone, item_id, index)
            if isinstance(text, str) and text and not is_known:
                self._text_done(wire.TextDone(response_id, item_id, index, text))

    def final_part(self, data: Mapping[str, Any]) -> None:
        """Emits the complete text of a content part, except a text that was already emitted. `data` is the JSON object
        of a `response.content_part.done`.
        """
        index = data.get("content_index") or 0
        if isinstance(index, int) and 0 <= index < 256:
            empty: list[Any] = [None] * index
            item = {"id": data.get("item_id"), "role": "assistant", "content": [*empty, data.get("part")]}
            self.final(str(data.get("response_id") or ""), item)

    def _is_spoken(
        self, event: wire.AudioDelta | wire.TranscriptDelta | wire.TranscriptDone | wire.TextDelta | wire.TextDone
    ) -> bool:
        """Returns whether the text or the audio is part of the conversation."""
        is_dropped = self._audio.is_muted(event.response_id) or self._items.is_deleted(event.item_id)
        return not is_dropped and not self._responses.is_out_of_band(event.response_id)

    def _transcript_delta(self, event: wire.TranscriptDelta) -> None:
        is_complete = self._known.has(wire.TranscriptDone, event.item_id, event.content_index)
        if self._is_spoken(event) and not is_complete:
            self._emit(
                emitted.RealtimeModelTranscriptDeltaEvent(
                    event.item_id, event.delta, event.response_id, content_index=event.content_index
                )
            )

    def _transcript_done(self, event: wire.TranscriptDone) -> None:
        key = wire.TranscriptDone, event.item_id, event.content_index
        if self._is_spoken(event) and event.transcript and self._known.add(event.transcript, *key):
            self._emit(
                emitted.RealtimeModelTranscriptDoneEvent(
                    event.item_id, event.transcript, event.response_id, event.content_index
                )
            )

    def _text_delta(self, event: wire.TextDelta) -> None:
        is_complete = self._known.has(wire.TextDone, event.item_id, event.content_index)
        if self._is_spoken(event) and not is_complete:
            self._emit(
                emitted.RealtimeModelOutputTextDeltaEvent(
                    event.item_id, event.delta, event.response_id, content_index=event.content_index
                )
            )

    def _text_done(self, event: wire.TextDone) -> None:
        key = wire.TextDone, event.item_id, event.content_index
        if self._is_spoken(event) and event.text and self._known.add(event.text, *key):
            self._emit(
                emitted.RealtimeModelOutputTextDoneEvent(
                    event.item_id, event.text, event.response_id, content_index=event.content_index
                )
            )
