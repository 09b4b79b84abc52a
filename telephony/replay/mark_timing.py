"""Computes when a mark is returned in a replay, from the marks of the recording. A mark is a message in the audio to
the phone. Twilio returns the mark when the audio before the mark has been played. Pure.

A mark has a position: the number of clears, and the number of samples sent since the last clear. The current code may
send marks at other positions and with other names than the recorded code. The phone still plays the audio at the
recorded times, so the time for a new position is computed from the recorded marks before and after it.

Playback and the caller's frames use the clock of the phone. Therefore times are counted in frames of the caller: a mark
is returned after the same number of frames as in the recording, and at the same place between two frames.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..journal.format import Record

__all__ = ["AFTER_ALL", "MarkTiming", "StreamPosition"]

_FRAME = 160
AFTER_ALL = float(2**62)
"""The sort key of a mark that is not in the recording. Among the messages of the same time in a replay, such a mark is
the last.
"""


@dataclass(slots=True)
class StreamPosition:
    """A position in the audio that was sent on the media stream: the number of `clear` messages (which drop the audio
    that has not been played) that were sent before, and the number of samples sent since the last of them.
    """

    clears: int = 0
    samples: int = 0

    def media(self, samples: int) -> None:
        self.samples += samples

    def clear(self) -> None:
        self.clears += 1
        self.samples = 0


@dataclass(slots=True)
class _Mark:
    clears: int
    sent: float
    returned: float | None = None
    order: float = AFTER_ALL
    frames: int = 0
    """The number of the caller's frames that had arrived before the mark was returned."""


@dataclass(slots=True)
class MarkTiming:
    """Computes at which time the replayed phone must return each mark that the current code sends, from the times of
    the recorded marks. First, all frames of the caller and all sent and returned messages of the recording must be
    passed to `frame`, `sent` and `returned`, in order. Then `settle` must be called. After that, `due` returns the time
    for each mark of the replay.
    """

    turnaround_s: float = 0.0
    """The shortest time in seconds between sending a mark and its return in the recording."""
    lost: bool = False
    """Whether the connection of the media stream broke in the recorded call. In this case the replay returns no mark
    after the last recorded frame of the caller.
    """
    _frames: list[tuple[float, int]] = field(default_factory=list)
    _position: StreamPosition = field(default_factory=StreamPosition)
    _out: dict[str, _Mark] = field(default_factory=dict)
    _marks: dict[tuple[int, int], list[_Mark]] = field(default_factory=lambda: defaultdict(list))
    _positions: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _n_sent: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    def frame(self, t: float, index: int) -> None:
        """Adds a recorded frame of the caller. The frames are the clock of the phone, by which `due` computes its
        times. `t` is the time of the frame in seconds since the start of the call, and `index` is the place of its
        record in the journal.
        """
        self._frames.append((t, index))

    def sent(self, record: Record) -> None:
        match record.event:
            case "media":
                self._position.media(int(record.message.get("bytes", 0)))
            case "clear":
                self._position.clear()
            case "mark":
                name = str(record.message.get("mark", {}).get("name", ""))
                mark = self._out[name] = _Mark(self._position.clears, record.t)
                self._marks[self._position.clears, self._position.samples].append(mark)

    def returned(self, t: float, name: str, index: int) -> None:
        mark = self._out.pop(name, None)
        if mark is not None and mark.clears == self._position.clears:  # else a clear may have flushed the mark
            mark.returned, mark.order, mark.frames = t, float(index), len(self._frames)

    def settle(self) -> None:
        """Prepares the timing for `due`, when all messages of the recording were passed. Marks that were never returned
        in the recording are dropped.
        """
        self._n_sent.clear()
        kept = {
            position: [mark for mark in marks if mark.returned is not None] for position, marks in self._marks.items()
        }
        self._marks = {at: marks for at, marks in kept.items() if marks}
        self._positions = defaultdict(list)
        for clears, samples in sorted(self._marks):
            self._positions[clears].append(samples)
        trips = [m.returned - m.sent for marks in self._marks.values() for m in marks if m.returned is not None]
        self.turnaround_s = min(trips, default=0.0)

    def due(self, position: StreamPosition, now: float) -> tuple[float, float]:
        """Returns when the replay must return a mark that the application sends at the time `now`, as (time, order
        among the messages of that time). `position` is the place of the mark in the sent audio. Times are in seconds
        since the start of the call.
        """
        key = (position.clears, position.samples)
        soonest = (now + self.turnaround_s, AFTER_ALL)
        marks: Sequence[_Mark] = self._marks.get(key, ())
        nth = self._n_sent[key]
        self._n_sent[key] += 1
        if nth < len(marks):
            mark, first = marks[nth], marks[0]
            assert mark.returned is not None and first.returned is not None
            if position.samples == 0 or (nth and first.returned <= mark.sent):
                return now + mark.returned - mark.sent, mark.order  # nothing was queued before the mark
            return max((mark.returned, mark.order), soonest)
        if marks and marks[-1].returned is not None and marks[-1].returned <= now:
            return soonest
        return max(self._between(key) or soonest, soonest)

    def _between(self, key: tuple[int, int]) -> tuple[float, float] | None:
        """Returns when a position without a recorded mark was played, computed from the marks before and after the
        position.
        """
        clears, samples = key
        positions = self._positions.get(clears, [])
        before, after = bisect_right(positions, samples) - 1, bisect_left(positions, samples)
        found = []
        if before >= 0:
            found.append(self._shifted(self._marks[clears, positions[before]][-1], samples - positions[before]))
        if after < len(positions):
            found.append(self._shifted(self._marks[clears, positions[after]][0], samples - positions[after]))
        return min(found, default=None)

    def _shifted(self, mark: _Mark, samples: int) -> tuple[float, float]:
        """Returns when a mark is returned that is `samples` samples after `mark`, if playback continues in between."""
        assert mark.returned is not None
        frames, rest = divmod(samples, _FRAME)
        nth = mark.frames - 1 + frames
        if self.lost and nth >= len(self._frames):
            return AFTER_ALL, AFTER_ALL
        if mark.frames == 0 or not 0 <= nth < len(self._frames):
            return mark.returned + samples / _FRAME * 0.02, AFTER_ALL
        at, index = self._frames[nth]
        due = at + (mark.returned - self._frames[mark.frames - 1][0]) + rest / _FRAME * 0.02
        return (min(due, self._frames[nth + 1][0]) if nth + 1 < len(self._frames) else due), index + 0.5
