"""Handles the caller's turns in one session of the embedded server: finds speech in the audio, makes an item of each
turn, and starts the answer. Pure.

Sends `speech_started` (which interrupts the agent), `speech_stopped` and `committed`. Then adds the turn to the
conversation, sends its transcript, and requests the answer. Also handles idle time-outs.
"""

from __future__ import annotations

from typing import Any

from ..audio.vad import Edge
from ..sources import Sources
from .input_audio import InputAudio, decode_append
from .items import Item, Items
from .outbox import Outbox
from .rejection import Rejected
from .reply import Director
from .responder import Responder
from .schedule import Deadline, Schedule
from .session_config import SessionConfig
from .transcripts import Transcripts
from .usage import input_audio_tokens

__all__ = ["Turns"]


class Turns:
    """Handles the client events about the caller's audio in one session of the embedded server."""

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
        self._transcripts = Transcripts(outbox, schedule)
        self._input = InputAudio()
        self._speech_item_id: str | None = None
        self._idle: Deadline | None = None
        responder.when_idle = self._wait_for_speech
        self.configure()

    def configure(self) -> None:
        """Applies the current session settings at `audio.input`, such as the turn detection."""
        self._input.configure(self._config.input)
        if not self._input.speaking:
            self._speech_item_id = None

    def append(self, audio: Any) -> None:
        """Handles the client event `input_audio_buffer.append`: adds the audio to the input buffer. With turn
        detection, finds the start and the end of speech in the audio. At the end of speech, the audio becomes an item,
        and the model answers if the settings say so. Raises `Rejected` for invalid audio.
        """
        for edge in self._input.append(decode_append(audio)):
            if edge.kind == "started":
                self._started(edge)
            else:
                self._stopped(edge)

    def commit(self) -> None:
        """Handles the client event `input_audio_buffer.commit`. The audio in the buffer becomes an item, and no answer
        is requested. Raises `Rejected` if the audio is too short.
        """
        self._commit(self._speech_item_id or self._sources.id("item"))

    def clear(self) -> None:
        """Handles the client event `input_audio_buffer.clear`, which drops the audio in the buffer."""
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
        self._responder.new_inputs.speech_s += seconds
        heard = self._director.heard()
        if self._config.input["transcription"] is not None:
            self._transcripts.expect(item, heard, seconds)

    def _add(self, item_id: str, duration_ms: float) -> Item:
        wire = {"id": item_id, "object": "realtime.item", "type": "message", "status": "completed", "role": "user"}
        content = [{"type": "input_audio", "transcript": None}]
        item = Item({**wire, "content": content}, audio_tokens=input_audio_tokens(duration_ms))
        previous = self._items.append(item)
        self._outbox.emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item_id)
        for type in ("conversation.item.added", "conversation.item.done"):
            self._outbox.emit(type, previous_item_id=previous, item=item.wire)
        return item

    # The idle time-out.

    def _wait_for_speech(self, audio_s: float) -> None:
        # The reference says that the time-out runs from `response.done` plus the length of the answer's audio.
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
