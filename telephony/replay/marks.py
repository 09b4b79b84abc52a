"""When does a mark come back? As it was in the recording, read as the physics of one phone. Pure.

A mark stands at a *place*: so many clears, and so many samples sent since the last one. Today's code may send its marks
elsewhere and call them otherwise; its audio still plays when it played then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..journal.format import Record

__all__ = ["MarkCurve", "Place"]

_PER_S = 8000


@dataclass(slots=True)
class Place:
    """Where on the stream we are."""

    clears: int = 0
    samples: int = 0

    def media(self, samples: int) -> None:
        self.samples += samples

    def clear(self) -> None:
        self.clears += 1
        self.samples = 0


@dataclass(slots=True)
class _Mark:
    name: str
    sent: float
    returned: float | None = None
    index: int = 0


@dataclass(slots=True)
class MarkCurve:
    """Of a recording: `sent` and `returned`, in order. Then `due` says when a mark comes back in a replay."""

    turnaround_s: float = 0.0
    """The quickest return of all."""
    _place: Place = field(default_factory=Place)
    _out: dict[str, _Mark] = field(default_factory=dict)
    _marks: dict[tuple[int, int], list[_Mark]] = field(default_factory=lambda: defaultdict(list))
    _places: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _asked: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    def sent(self, record: Record) -> None:
        match record.event:
            case "media":
                self._place.media(int(record.message.get("bytes", 0)))
            case "clear":
                self._place.clear()
            case "mark":
                name = str(record.message.get("mark", {}).get("name", ""))
                mark = self._out[name] = _Mark(name, record.t)
                self._marks[self._place.clears, self._place.samples].append(mark)

    def returned(self, t: float, name: str, index: int) -> None:
        if (mark := self._out.pop(name, None)) is not None:
            mark.returned, mark.index = t, index

    def settle(self) -> None:
        """The recording is complete: forget what never came back, and begin to be asked."""
        self._asked.clear()
        kept = {place: [mark for mark in marks if mark.returned is not None] for place, marks in self._marks.items()}
        self._marks = {place: marks for place, marks in kept.items() if marks}
        self._places = defaultdict(list)
        for clears, samples in sorted(self._marks):
            self._places[clears].append(samples)
        trips = [m.returned - m.sent for marks in self._marks.values() for m in marks if m.returned is not None]
        self.turnaround_s = min(trips, default=0.0)

    def due(self, place: Place, now: float) -> tuple[float, int | None]:
        """When the mark comes back that is sent now at this place, and the index of the record that says so, if one
        does."""
        key = (place.clears, place.samples)
        soonest = now + self.turnaround_s
        marks: Sequence[_Mark] = self._marks.get(key, ())
        nth = self._asked[key]
        self._asked[key] += 1
        if nth < len(marks):
            mark, first = marks[nth], marks[0]
            assert mark.returned is not None and first.returned is not None
            if place.samples == 0 or (nth and first.returned <= mark.sent):
                return now + mark.returned - mark.sent, mark.index  # nothing was left to play before it
            return max(mark.returned, soonest), mark.index
        if marks and marks[-1].returned is not None and marks[-1].returned <= now:
            return soonest, None
        return max(self._between(key, now), soonest), None

    def _between(self, key: tuple[int, int], now: float) -> float:
        clears, samples = key
        places = self._places.get(clears, [])
        before, after = bisect_right(places, samples) - 1, bisect_left(places, samples)
        played = now
        if before >= 0:
            last = self._marks[clears, places[before]][-1].returned
            assert last is not None
            played = last + (samples - places[before]) / _PER_S
        if after < len(places):
            first = self._marks[clears, places[after]][0].returned
            assert first is not None
            played = min(played, first) if before >= 0 else first - (places[after] - samples) / _PER_S
        return played
