"""Simulates Twilio's audio buffer of a bidirectional stream: how audio is played, when marks are returned, and what
`clear` does. Pure.

Audio is buffered and played in the order of its arrival. A mark is returned when all audio before the mark was played,
or immediately if no audio is buffered. A clear empties the buffer and returns all pending marks. Source:
https://www.twilio.com/docs/voice/media-streams/websocket-messages
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["FRAME", "RATE", "SILENCE", "Playout", "Returned"]

RATE = 8000
FRAME = 160
SILENCE = b"\xff"
CAPACITY = 10 * 60 * RATE
"""The size of Twilio's buffer in samples: about ten minutes. Twilio discards further audio (error 31931)."""


@dataclass(frozen=True, slots=True)
class Returned:
    """A mark that Twilio must return to the application now. `position` is the position of playback at which the mark
    was due, in samples.
    """

    name: str
    position: int
    flushed: bool = False


class Playout:
    """Simulates Twilio's audio buffer of one media stream. Positions and lengths are in samples at 8 kHz. A position
    counts from the start of the stream, and includes the time in which no audio plays.

    Audio that arrives in the empty buffer plays after `start_delay` samples, rounded up to a multiple of `grain`.
    """

    def __init__(self, *, start_delay: int = 0, grain: int = 1) -> None:
        self._start_delay = start_delay
        self._grain = grain
        self._chunks: deque[bytes] = deque()
        self._offset = 0
        self._starts_at = 0
        self._marks: deque[tuple[str, int]] = deque()
        self.heard = bytearray()
        """The audio that was played: mu-law, 0xFF where nothing played."""
        self.received = 0
        """Samples added to the buffer so far."""
        self.buffered = 0
        """Samples that wait in the buffer."""
        self.dry_at = 0
        """The position at which the buffer last became empty."""

    @property
    def position(self) -> int:
        """The number of samples that have been played so far, including the time in which no audio plays."""
        return len(self.heard)

    @property
    def next_mark(self) -> int | None:
        """The position at which the next pending mark is due if no further message arrives, or None."""
        if not self._marks:
            return None
        return max(self.position, self._starts_at) + self._marks[0][1] - (self.received - self.buffered)

    def advance(self, position: int) -> list[Returned]:
        """Plays audio up to `position`, in samples. Returns the marks that are due."""
        due: list[Returned] = []
        while (n := position - self.position) > 0:
            if self.buffered and self.position >= self._starts_at:
                self._play(n)
                due += self._due()
            else:
                wait = self._starts_at - self.position if self.buffered else n
                self.heard += SILENCE * min(n, wait)
        return due

    def media(self, ulaw: bytes) -> bool:
        """Queues audio (mu-law) in the buffer. Returns False if the buffer is full and the audio is discarded."""
        if self.buffered + len(ulaw) > CAPACITY:
            return False
        if not ulaw:
            return True
        if not self.buffered:
            self._starts_at = -(-(self.position + self._start_delay) // self._grain) * self._grain
        self._chunks.append(ulaw)
        self.received += len(ulaw)
        self.buffered += len(ulaw)
        return True

    def mark(self, name: str) -> list[Returned]:
        """Queues the mark `name` after the buffered audio. If no audio is buffered, returns the mark immediately."""
        self._marks.append((name, self.received))
        return self._due() if not self.buffered else []

    def clear(self) -> tuple[int, list[Returned]]:
        """Empties the buffer. Returns the number of flushed samples, and the marks that must be returned."""
        flushed = self.buffered
        returned = [Returned(name, self.position, flushed=True) for name, _ in self._marks]
        self._chunks.clear()
        self._marks.clear()
        self._offset = self.buffered = 0
        return flushed, returned

    def _play(self, n: int) -> None:
        chunk = self._chunks[0]
        piece = chunk[self._offset : self._offset + n]
        self.heard += piece
        self.buffered -= len(piece)
        self._offset += len(piece)
        if self._offset == len(chunk):
            self._chunks.popleft()
            self._offset = 0
        if not self.buffered:
            self.dry_at = self.position

    def _due(self) -> list[Returned]:
        """Returns the marks that playback has passed. Called at the end of each chunk, because marks lie between
        chunks.
        """
        due: list[Returned] = []
        while self._marks and self._marks[0][1] <= self.received - self.buffered:
            due.append(Returned(self._marks.popleft()[0], self.position))
        return due
