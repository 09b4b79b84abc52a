"""Sends the transcripts of the caller's speech, 0.3 seconds after the speech was committed. Pure."""

from __future__ import annotations

from typing import Any

from .items import Item
from .outbox import Outbox
from .reply import Heard
from .schedule import Schedule

__all__ = ["Transcripts"]

_TRANSCRIPTION_S = 0.3
"""The time in seconds from the commit of speech to its transcript."""
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class Transcripts:
    """Sends the transcripts of the caller's speech in one session of the embedded server."""

    def __init__(self, outbox: Outbox, schedule: Schedule) -> None:
        self._outbox = outbox
        self._schedule = schedule

    def expect(self, item: Item, heard: Heard, seconds: float) -> None:
        """Sends the transcript `heard` of `item` after 0.3 seconds. `seconds` is the length of the speech, which is
        part of the event.
        """
        self._schedule.after(_TRANSCRIPTION_S, lambda: self._transcribe(item, heard, seconds))

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
        named = {"languages": [{"code": heard.language}]} if heard.language else {}
        self._outbox.emit(f"{_TRANSCRIPTION}.completed", **where, transcript=transcript, usage=usage, **named)
