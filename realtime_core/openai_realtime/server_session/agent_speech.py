"""Handles the server's events about what the agent says: audio, transcripts and texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ... import model_events as emitted
from ...responses import Responses
from .. import server_events as wire
from ..protocol import part_audio
from ..session_config import SessionConfig
from .audio_parts import AudioParts
from .items import ConversationItems
from .known_facts import KnownFacts

__all__ = ["AgentSpeech"]

_WHOLE_AUDIO = "whole audio"
"""The key of the fact that the audio of a content part has come in one piece, with the complete part."""


class AgentSpeech:
    """Plays the agent's audio, and emits the texts that the agent says in the conversation. The text of a response
    outside of the conversation is in its `response.done`.
    """

    def __init__(
        self,
        responses: Responses,
        audio: AudioParts,
        items: ConversationItems,
        config: SessionConfig,
        known: KnownFacts,
        emit: Callable[[emitted.RealtimeModelEvent], None],
    ) -> None:
        self._responses = responses
        self._audio = audio
        self._items = items
        self._config = config
        self._known = known
        self._emit = emit
        self.handlers: Mapping[type, Callable[[Any], None]] = {
            wire.AudioDelta: self._audio_delta,
            wire.AudioDone: self._audio_done,
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
                    self._whole_audio(said)
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

    def _audio_delta(self, event: wire.AudioDelta) -> None:
        if self._audio.is_muted(event.response_id) or self._known.has(_WHOLE_AUDIO, event.item_id, event.content_index):
            return
        # A response outside of the conversation leaves no item that could be truncated.
        in_conversation = not self._responses.is_out_of_band(event.response_id)
        if self._audio.receive(event, can_be_truncated=in_conversation):
            self._responses.spoke(event.response_id)
            self._config.voice_frozen = True
            self._known.add(True, wire.AudioDelta, event.item_id, event.content_index)
        self._audio.play(event)

    def _whole_audio(self, event: wire.AudioDelta) -> None:
        """Plays the whole audio of a complete content part, unless audio of this part was received before. Some
        compatible servers send the audio only in the complete part. Pieces of the part that arrive later are ignored.
        """
        part = event.item_id, event.content_index
        if not self._known.has(wire.AudioDelta, *part):
            self._audio_delta(event)
            self._audio.end(*part)
            self._known.add(True, _WHOLE_AUDIO, *part)

    def _audio_done(self, event: wire.AudioDone) -> None:
        self._audio.end(event.item_id, event.content_index)

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
