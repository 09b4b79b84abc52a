"""Completes the caller's transcripts that the server sends only in pieces. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .known_facts import RecentEntries

__all__ = ["OpenTranscripts"]

_QUIET_S = 1.0
_LIMIT = 64


@dataclass(slots=True)
class _Transcript:
    text: str
    changed_at: float
    reported: str = ""
    """The text that `due` has returned last."""


class OpenTranscripts:
    """Collects the pieces of the caller's transcripts, and decides when a transcript counts as complete without the
    server's event `conversation.item.input_audio_transcription.completed`. Some compatible servers never send that
    event. Guardrails and the turn logic need whole transcripts.

    A transcript counts as complete when the caller's turn is over and no piece has arrived for one second. If more
    pieces arrive later, the longer text counts as complete after another second. `now` is in seconds on any steady
    clock.
    """

    def __init__(self) -> None:
        self._open = RecentEntries(_LIMIT)
        self._over = RecentEntries(_LIMIT)

    def add(self, now: float, item_id: str, content_index: int, piece: str) -> None:
        """Adds a piece to the transcript of the content part `content_index` of the item `item_id`."""
        key = item_id, content_index
        if key not in self._open:
            self._open[key] = _Transcript("", now)
        transcript: _Transcript = self._open[key]
        transcript.text += piece
        transcript.changed_at = now

    def turn_over(self, now: float, item_id: str) -> None:
        """Registers at the time `now` that the caller's turn with the item `item_id` is over. From then on, its
        transcripts count as complete when no piece arrives for one second.
        """
        if item_id in self._over:
            return
        self._over[item_id] = True
        for (of_item, _), transcript in self._open.items():
            if of_item == item_id:
                transcript.changed_at = now

    def turns_over(self, now: float, *, except_id: str) -> None:
        """Marks each turn with a transcript as over, except the turn with the item `except_id`."""
        for item_id in dict.fromkeys(of_item for of_item, _ in self._open):
            if item_id != except_id:
                self.turn_over(now, item_id)

    def close(self, item_id: str, content_index: int) -> str:
        """Forgets a transcript, because the server has sent the whole text or has reported a failure. Returns the text
        if `due` has not returned it, and otherwise "".
        """
        known: _Transcript | None = self._open.pop((item_id, content_index), None)
        return known.text.strip() if known is not None and known.text != known.reported else ""

    @property
    def deadline(self) -> float | None:
        """The time at which the next transcript counts as complete, or None."""
        waiting = (
            transcript.changed_at + _QUIET_S
            for (item_id, _), transcript in self._open.items()
            if item_id in self._over and transcript.text != transcript.reported
        )
        return min(waiting, default=None)

    def due(self, now: float, *, ends: bool = False) -> list[tuple[str, int, str]]:
        """Returns the transcripts that count as complete at `now`, each text once, as tuples of the item id, the index
        of the content part, and the text. If `ends` is True, the session has ended, and all transcripts are complete.
        """
        found = []
        for (item_id, content_index), transcript in self._open.items():
            is_quiet = item_id in self._over and now >= transcript.changed_at + _QUIET_S
            if (is_quiet or ends) and transcript.text != transcript.reported:
                transcript.reported = transcript.text
                found.append((item_id, content_index, transcript.text.strip()))
        return found
