"""Handles the caller's turns: voice activity, commits and silence. Pure.

Emits `speech_started` (which interrupts), `speech_stopped`, `committed`, the item, its transcript, the answer, and idle
time-outs.
"""

from __future__ import annotations

from typing import Any

import pybase64

from ..sources import Sources
from .input_audio import InputAudio
from .items import Item, Items
from .outbox import Outbox
from .rejection import Rejected, invalid_type, missing
from .reply import Director, Heard
from .responder import Responder
from .schedule import Deadline, Schedule
from .session_config import SessionConfig
from .usage import input_audio_tokens
from .vad import Edge

__all__ = ["Turns"]

MAX_APPEND_BYTES = 15 * 2**20
_TRANSCRIPTION_S = 0.3
"""The time in seconds from the commit of the caller's speech to its transcript."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Turns:
    def __init__(
        self,
        outbox: Outbox,
        items: Items,
        config: SessionConfig,
        schedule: Schedule,
        director: Director,
        responder: Responder,
        sources: Sources,
    ) -> None:
        self._outbox = outbox
        self._items = items
        self._config = config
        self._schedule = schedule
        self._director = director
        self._responder = responder
        self._sources = sources
        self._input = InputAudio()
        self._speech_item_id: str | None = None
        self._idle: Deadline | None = None
        responder.when_idle = self._wait_for_speech
        self.configure()

    def configure(self) -> None:
        """Applies the session's `audio.input`."""
        self._input.configure(self._config.input)
        if not self._input.speaking:
            self._speech_item_id = None

    def append(self, audio: Any) -> None:
        """Handles `input_audio_buffer.append`. Raises `Rejected` for invalid audio."""
        if not isinstance(audio, str):
            raise missing("audio") if audio is None else invalid_type("audio", "a string", audio)
        try:
            data = pybase64.b64decode(audio, validate=True)
        except ValueError:
            message = "Invalid 'audio'. Expected base64-encoded audio bytes, but got an invalid value."
            raise Rejected(message, code="invalid_value", param="audio") from None
        if len(data) > MAX_APPEND_BYTES:
            raise Rejected("Invalid 'audio': over 15 MiB.", code="string_above_max_length", param="audio")
        for edge in self._input.append(data):
            if edge.kind == "started":
                self._started(edge)
            else:
                self._stopped(edge)

    def commit(self) -> None:
        """Handles `input_audio_buffer.commit`. The buffer becomes an item, and no answer is requested. Raises
        `Rejected` if the buffer is too short.
        """
        self._commit(self._speech_item_id or self._sources.id("item"))

    def clear(self) -> None:
        """Handles `input_audio_buffer.clear`."""
        self._input.clear()
        self._speech_item_id = None
        self._outbox.emit("input_audio_buffer.cleared")

    def _started(self, edge: Edge) -> None:
        turns = self._input.turns
        self._speech_item_id = item_id = self._sources.id("item")
        self._stop_waiting()
        self._outbox.emit("input_audio_buffer.speech_started", audio_start_ms=edge.at_ms, item_id=item_id)
        if turns is not None and turns.interrupt_response:
            self._responder.interrupt()

    def _stopped(self, edge: Edge) -> None:
        turns = self._input.turns
        item_id = self._speech_item_id or self._sources.id("item")
        self._outbox.emit("input_audio_buffer.speech_stopped", audio_end_ms=edge.at_ms, item_id=item_id)
        self._commit(item_id, edge.at_ms)
        if turns is not None and turns.create_response:
            self._answer()

    def _answer(self, *, idle: bool = False) -> None:
        self._stop_waiting()
        try:
            self._responder.respond({}, idle=idle)
        except Rejected as rejection:
            self._outbox.reject(rejection, None)

    def _commit(self, item_id: str, end_ms: float | None = None) -> None:
        committed = self._input.commit(end_ms)
        self._speech_item_id = None
        item = self._add(item_id, committed.duration_ms)
        seconds = committed.duration_ms / 1000
        self._responder.news.speech_s += seconds
        heard = self._director.heard()
        if self._config.input["transcription"] is not None:
            self._schedule.after(_TRANSCRIPTION_S, lambda: self._transcribe(item, heard, seconds))

    def _add(self, item_id: str, duration_ms: float) -> Item:
        wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        content = [{"type": "input_audio", "transcript": None}]
        item = Item({**wire, "content": content}, audio_tokens=input_audio_tokens(duration_ms))
        previous = self._items.append(item)
        self._outbox.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        for type in ("conversation.item.added", "conversation.item.done"):
            self._outbox.emit(type, previous_item_id=previous, item=item.wire)
        return item

    def _transcribe(self, item: Item, heard: Heard, seconds: float) -> None:
        where: dict[str, Any] = {"item_id": item.id, "content_index": 0}
        if heard.failed:
            error = {"type": "transcription_error", "code": "audio_unintelligible", "message": "The script says so."}
            self._outbox.emit(f"{_TRANSCRIPTION}.failed", **where, error={**error, "param": None})
            return
        transcript = f"[{seconds:.1f} s of speech]" if heard.text is None else heard.text
        for i, word in enumerate(transcript.split()):
            self._outbox.emit(f"{_TRANSCRIPTION}.delta", **where, delta=f" {word}" if i else word)
        item.wire = {**item.wire, "content": [{"type": "input_audio", "transcript": transcript}]}
        usage = {"type": "duration", "seconds": round(seconds, 2)}
        named = {"languages": [heard.language]} if heard.language else {}
        self._outbox.emit(f"{_TRANSCRIPTION}.completed", **where, transcript=transcript, usage=usage, **named)

    # The idle time-out.

    def _wait_for_speech(self, audio_s: float) -> None:
        # The reference says: it runs from `response.done` plus the length of the answer's audio.
        turns = self._input.turns
        self._stop_waiting()
        if turns is not None and turns.idle_timeout_s is not None and not self._input.speaking:
            self._idle = self._schedule.after(audio_s + turns.idle_timeout_s, self._input_timed_out)

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _input_timed_out(self) -> None:
        turns, end_ms, item_id = self._input.turns, self._input.position_ms, self._sources.id("item")
        if turns is None or turns.idle_timeout_s is None or self._responder.responding:
            return
        start_ms = max(0.0, end_ms - turns.idle_timeout_s * 1000)
        position = {"audio_start_ms": int(start_ms), "audio_end_ms": int(end_ms)}
        self._outbox.emit("input_audio_buffer.timeout_triggered", **position, item_id=item_id)
        try:
            committed = self._input.commit()
        except Rejected:
            pass  # A client that sends no audio: there is nothing to commit, but the model still responds.
        else:
            self._add(item_id, committed.duration_ms)
        self._answer(idle=True)
