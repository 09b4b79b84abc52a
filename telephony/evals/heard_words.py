"""Finds the words of the agent that the caller has heard so far, from the journal records, during the call. Pure.

The words are an estimate from the times at which audio was sent. After the call the complete journal gives the exact
words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..demo.live_call import LiveCall
from ..journal.encoding import parse_object
from ..journal.format import Record

__all__ = ["HeardWords"]

_WANTED = (
    '{"type":"response.output_audio.delta"',
    '{"type":"response.output_audio_transcript.delta"',
    '{"type":"response.output_audio_transcript.done"',
)


class HeardWords:
    """Finds the words of the agent that the caller has heard, from the journal records of one call. The records must be
    passed in order.
    """

    def __init__(self) -> None:
        self._call = LiveCall()
        self._reported_chars: dict[int, int] = {}

    def record(self, kind: str, t: float, fields: Mapping[str, Any]) -> None:
        """Takes the next journal record: its kind, its time in seconds since the start of the call, and its fields.
        `new_words` then returns the words that the caller has heard by this time.
        """
        if kind in ("twilio.out", "model.in"):
            self._call.feed(Record(t, kind, fields))

    def raw(self, kind: str, t: float, text: str) -> None:
        """Takes the next journal record, if the message of the record is the JSON text `text`. `kind` is the kind of
        the record, and `t` is its time in seconds since the start of the call. `new_words` then returns the words that
        the caller has heard by this time.
        """
        if (kind == "model.in" and text.startswith(_WANTED)) or kind == "twilio.out":
            self._call.feed(Record(t, kind, {"message": parse_object(text)}))
        else:
            self._call.now_ms = max(self._call.now_ms, t * 1000)

    def new_words(self) -> str:
        """Returns the words that the caller has heard since the last call of `new_words`."""
        parts = []
        for n, line in enumerate(self._call.lines):
            if line.kind == "agent":
                heard = line.heard(self._call.now_ms)
                parts.append(heard[self._reported_chars.get(n, 0) :])
                self._reported_chars[n] = max(len(heard), self._reported_chars.get(n, 0))
        return " ".join(part.strip() for part in parts if part.strip())
