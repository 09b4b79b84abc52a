"""Counts the received and the heard audio, and decides truncations.

Pure. A `Player` knows the heard position: the playout of a phone line, a sound card, or `ClockPlayer` if no other
player reports the position. The ledger knows the received audio. `PlaybackLedger.truncations` combines both for
`conversation.item.truncate`. Only this module decides truncations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["ClockPlayer", "HeardItem", "PlaybackLedger", "Player", "Truncation"]

Part = tuple[str, int]
"""The key of an audio part, which is one content part of a conversation item: the item id and the content index."""


@dataclass(frozen=True, slots=True)
class HeardItem:
    """The heard position in one audio part. `heard_ms` is an exact float. The value in the protocol is rounded down.

    `finished` is True if the part was completely received and heard to its end.
    """

    item_id: str
    content_index: int
    heard_ms: float
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Truncation:
    """The values of one `conversation.item.truncate`: the content part, and the position after which its audio is
    removed (`audio_end_ms`). The position is in whole milliseconds, rounded down, and never after the received audio.
    """

    item_id: str
    content_index: int
    audio_end_ms: int


class Player(Protocol):
    """Plays the agent's audio. All methods are synchronous and take effect immediately."""

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        """Queues a piece of audio after the queued audio. The audio is in the session's output format, and belongs to
        the content part `content_index` of the item.
        """

    def end(self, item_id: str, content_index: int) -> None:
        """Marks the audio of the content part `content_index` of the item as complete: no more audio of it is passed to
        `play`. When the caller has heard this audio to its end, the part is finished.
        """

    def stop(self) -> Sequence[HeardItem]:
        """Drops all audio that was not heard, and becomes silent.

        Returns, in playing order, each part that was queued or playing and not heard to its end, with its heard
        position at the start of the silence. A part that was heard to its end is left out, or has `finished=True`.
        Idempotent: a second call returns nothing.
        """

    def hold(self) -> None:
        """Pauses playback and keeps the audio. `release` continues after the last heard sample. A player that cannot
        pause does nothing.
        """

    def duck(self, by_db: float) -> None:
        """Continues to play after the last heard sample, quieter by `by_db` decibels, until `release` or `stop` is
        called.
        """

    def release(self) -> None:
        """Continues after `hold` or `duck` from the last heard sample. Has no effect without `hold` or `duck`."""

    def heard(self) -> Sequence[HeardItem]:
        """Returns how much the caller has heard of each audio part that is queued or playing. Changes nothing."""


@dataclass(slots=True)
class _Received:
    n_bytes: int = 0
    done: bool = False
    truncated: bool = False


class PlaybackLedger:
    """Counts the received audio of each part, and computes truncations from the received audio and the heard positions.

    `bytes_per_ms` is the number of bytes per millisecond of the output format: 48 for PCM16 at 24 kHz, 8 for G.711.
    `forget_heard` removes the parts that were heard to their end. If there are more than `max_parts` parts, the oldest
    parts are removed and never truncated.
    """

    def __init__(self, bytes_per_ms: int = 48, *, max_parts: int = 256) -> None:
        self.bytes_per_ms = bytes_per_ms
        self._max_parts = max_parts
        self._parts: dict[Part, _Received] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def received(self, item_id: str, content_index: int, n_bytes: int) -> None:
        """Counts `n_bytes` bytes of audio that the model sent for the content part `content_index` of an item."""
        part = self._parts.get((item_id, content_index))
        if part is None:
            part = self._parts[item_id, content_index] = _Received()
            while len(self._parts) > self._max_parts:
                del self._parts[next(iter(self._parts))]
        part.n_bytes += n_bytes

    def done(self, item_id: str, content_index: int) -> None:
        """Marks the audio of the content part `content_index` of the item as complete, because the server has sent all
        of it. From then on `truncations` leaves the part out if it was heard to its end, and `forget_heard` can remove
        it.
        """
        if (part := self._parts.get((item_id, content_index))) is not None:
            part.done = True

    def received_ms(self, item_id: str, content_index: int) -> float:
        part = self._parts.get((item_id, content_index))
        return part.n_bytes / self.bytes_per_ms if part else 0.0

    def forget_heard(self, heard: Sequence[HeardItem]) -> None:
        """Removes the data about audio parts that need no more tracking: a part is complete or truncated, and the
        player does not have its audio any more. `heard` is the result of `Player.heard()`.
        """
        playing = {(h.item_id, h.content_index) for h in heard if not h.finished}
        for key in [k for k, part in self._parts.items() if (part.done or part.truncated) and k not in playing]:
            del self._parts[key]

    def truncations(self, heard: Sequence[HeardItem]) -> list[Truncation]:
        """Returns the truncations after which the conversation on the server contains only audio that was heard.

        Each part is truncated at its heard position, rounded down and never after the received audio, because the
        server refuses a position after the end of the part. A part without received audio is not truncated, because the
        server refuses this, too. A part that was heard to its end or is already truncated is not truncated.
        """
        truncations = []
        for each in heard:
            part = self._parts.get((each.item_id, each.content_index))
            if part is None or part.truncated or each.finished or not part.n_bytes:
                continue
            received_ms = part.n_bytes / self.bytes_per_ms
            if part.done and each.heard_ms >= received_ms:
                continue
            heard_ms = max(0, min(each.heard_ms, received_ms))
            part.truncated = True
            truncations.append(Truncation(each.item_id, each.content_index, int(heard_ms)))
        return truncations


@dataclass(slots=True)
class _Playing:
    heard_ms: float = 0.0
    segments: int = 0
    ended: bool = False


class ClockPlayer:
    """A player that only measures time. It assumes that received audio is heard undisturbed and in order, in real time
    from its arrival. If there is no more audio, the playhead waits. `now` returns seconds.
    """

    def __init__(self, now: Callable[[], float], bytes_per_ms: int = 48) -> None:
        self.bytes_per_ms = bytes_per_ms
        self._now = now
        self._at = now()
        self._held = False
        self._queue: deque[tuple[Part, float]] = deque()
        self._parts: dict[Part, _Playing] = {}

    def play(self, item_id: str, content_index: int, audio: bytes) -> None:
        self._advance()
        part = item_id, content_index
        self._parts.setdefault(part, _Playing()).segments += 1
        self._queue.append((part, len(audio) / self.bytes_per_ms))

    def end(self, item_id: str, content_index: int) -> None:
        self._advance()
        part = item_id, content_index
        if (playing := self._parts.get(part)) is not None:
            playing.ended = True
            self._drop_if_heard(part, playing)

    def stop(self) -> Sequence[HeardItem]:
        heard = self.heard()
        self._queue.clear()
        self._parts.clear()
        self._held = False
        return heard

    def hold(self) -> None:
        self._advance()
        self._held = True

    def duck(self, by_db: float) -> None:
        """Does nothing, because this player only counts time and has no volume."""

    def release(self) -> None:
        self._advance()
        self._held = False

    def heard(self) -> Sequence[HeardItem]:
        self._advance()
        return [HeardItem(*part, playing.heard_ms) for part, playing in self._parts.items()]

    def _advance(self) -> None:
        """Moves the playhead to the current time of the clock."""
        now = self._now()
        elapsed_ms = 0.0 if self._held else max(0.0, (now - self._at) * 1000)
        self._at = now
        while self._queue and elapsed_ms > 0:
            part, ms = self._queue.popleft()
            played = min(ms, elapsed_ms)
            elapsed_ms -= played
            playing = self._parts[part]
            playing.heard_ms += played
            if ms > played:
                self._queue.appendleft((part, ms - played))
            else:
                playing.segments -= 1
                self._drop_if_heard(part, playing)

    def _drop_if_heard(self, part: Part, playing: _Playing) -> None:
        if playing.ended and not playing.segments:
            del self._parts[part]
