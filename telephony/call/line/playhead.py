"""Estimates how much of the audio the caller has heard (the playhead). Pure.

All times of the estimate are on the clock of the caller's frames (`media.timestamp`), because Twilio plays audio on
this clock. Two measurements connect that clock to the local clock:

- `up`: a frame with the timestamp T arrives at the local time `T + up`. The smallest difference of the last seconds is
  used, because jitter only adds delay.
- round trip: a *probe* is a mark that is sent while Twilio has no buffered audio, so Twilio returns it immediately. The
  time until it returns, minus `up`, is the delay to Twilio.

A *run* is playback without a gap. The position `base` is its first sample, and S is the time at which this sample
plays. So the caller hears the position p at the time `S + (p - base)`. S is not known exactly. It is first predicted as
the time of sending, plus the delay to Twilio, plus the start delay that earlier runs had. Then the marks that Twilio
returns correct it:

- Twilio sent the mark of position p at the time X, so p had been played: `S <= X - (p - base)`. The smallest value of
  the last seconds is used, because jitter only adds delay.
- A frame with the timestamp T arrived before the mark of position p, so p had not been played: `S >= T - (p - base)`.
  If this contradicts S, Twilio had no audio for a moment or had stopped, and S is moved later.

Frames and marks arrive in order on one connection. Therefore the time at which Twilio sent a mark lies between the
timestamps of the frames before and after the mark, whatever the jitter. Twilio documents marks, clears and timestamps
(Media Streams, "WebSocket messages"), but does not document these delays.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

__all__ = ["LineClock", "Playhead"]

FRAME_S = 0.020
_WINDOW_S = 8
"""The time in seconds for which an observation is used. The time is long compared with jitter, and short for a clock
drift of 100 ppm (0.8 ms).
"""
_PROBES = 16
_TOLERANCE_S = 0.001


@dataclass(slots=True)
class _Bucket:
    second: int
    smallest: float = math.inf
    total: float = 0.0
    count: int = 0


class LineClock:
    """Measures the delays between this process and Twilio, to convert times of the local clock to the clock of the
    caller's frames (their timestamps). All times are in seconds.

    - `up`: the delay from Twilio without jitter, plus the offset of the two clocks. This is the smallest difference
      between the arrival and the timestamp of a frame within the last seconds. 0 before the first frame.
    - `jitter`: the mean additional delay of a frame. The delay to Twilio is assumed to have the same jitter.
    - `round_trip`: the shortest time in which Twilio returned a probe (a mark without audio before it). 0 before the
      first probe.
    - `last_frame`: the timestamp of the newest frame.
    """

    def __init__(self) -> None:
        self.last_frame: float | None = None
        self.up = 0.0
        self.round_trip = 0.0
        self._newest = _Bucket(-1)
        self._older: deque[_Bucket] = deque()
        self._smallest, self._total, self._count = math.inf, 0.0, 0  # the figures of the older buckets
        self._trips: deque[float] = deque(maxlen=_PROBES)
        self._sorted_trips: list[float] = []
        self._usual_count = 0
        self._usual_trip = 0.0
        """The mean of the shortest `_usual_count` round trips."""

    def frame(self, timestamp_s: float, now: float) -> None:
        """Updates the measured delay (`up`) and `jitter` of the line with a frame (20 ms of the caller's audio) that
        arrived at `now`. `timestamp_s` is the media timestamp of the frame in seconds.
        """
        self.last_frame = timestamp_s
        difference, newest = now - timestamp_s, self._newest
        if newest.second != int(now):
            newest = self._begin_bucket(int(now))
        newest.total += difference
        newest.count += 1
        if difference < newest.smallest:
            newest.smallest = difference
            self.up = min(self._smallest, difference)

    def _begin_bucket(self, second: int) -> _Bucket:
        older = self._older
        if self._newest.count:
            older.append(self._newest)
        while older and older[0].second <= second - _WINDOW_S:
            older.popleft()
        self._smallest = min([bucket.smallest for bucket in older], default=math.inf)
        self._total = sum(bucket.total for bucket in older)
        self._count = sum(bucket.count for bucket in older)
        self._newest = _Bucket(second)
        return self._newest

    @property
    def jitter(self) -> float:
        newest, count = self._newest, self._count + self._newest.count
        return (self._total + newest.total) / count - self.up if count else 0.0

    def date(self, now: float) -> tuple[float, float]:
        """Computes when Twilio sent a message that arrived at `now`. Returns the earliest and the latest possible time.
        Both times are in seconds on the clock of the caller's frames.
        """
        latest = now - self.up
        if self.last_frame is None:
            return latest, latest
        earliest = min(self.last_frame, latest)
        return earliest, min(latest, self.last_frame + FRAME_S)

    def probe(self, sent_at: float, now: float) -> float:
        """Measures the delay of the line with a probe: a mark that was sent at `sent_at` without audio before it, and
        that Twilio returned immediately. The mark arrived here at `now`. Returns the time at which Twilio sent the
        mark, in seconds on the clock of the caller's frames.
        """
        earliest, latest = self.date(now)
        x = (max(earliest, now - self.up - 2 * self.jitter) + latest) / 2
        self._trips.append(x - sent_at + self.up)
        self._sorted_trips = sorted(self._trips)
        self.round_trip = self._sorted_trips[0]
        self._usual_count = 0
        return x

    @property
    def known(self) -> bool:
        """Whether the delay of the line is known. Twilio must have returned a probe (a mark that is sent without audio
        before it).
        """
        return bool(self._trips)

    def effect(self, now: float) -> float:
        """Returns the earliest time at which Twilio can act on a message that this process sends at `now`, such as a
        `clear`. The time is in seconds on the clock of the timestamps in the caller's frames.
        """
        return now + self.round_trip - self.up

    def expected_effect(self, now: float) -> float:
        """Returns the expected time at which a message that is sent at `now` takes effect, in seconds on the clock of
        the caller's frames. The expected delay is the mean delay of the probes (marks without audio before them, which
        Twilio returns immediately). Probes that were delayed by a stall are not counted.
        """
        if not self._trips:
            return now - self.up
        limit = self.round_trip + 4 * self.jitter + _TOLERANCE_S
        if (count := bisect_right(self._sorted_trips, limit)) != self._usual_count:
            self._usual_count = count
            self._usual_trip = sum(trip for trip in self._trips if trip <= limit) / count
        return now + self._usual_trip - self.up


class Playhead:
    """Estimates which sample the caller hears at which time, during one run of playback (playback without a gap). The
    marks that Twilio returns correct the estimate. Positions count the samples that the call has sent, in all its media
    streams. `now` is in seconds on the local clock. All other times are in seconds on the clock of the caller's frames
    (their timestamps).
    """

    def __init__(self, line: LineClock, base: int, rate: int, sent_at: float, start_delay: float) -> None:
        self._line = line
        self._rate = rate
        self.base = base
        self.sent_at = sent_at
        self._assumed_delay = start_delay
        self._arrived: float | None = None
        self._evidence: deque[tuple[float, float]] = deque()  # (when, bound), bounds rising: a sliding minimum
        self._seen = 0
        self._lower = -math.inf
        self.shifts = 0
        """The number of times that a mark or a frame moved `origin` later, because Twilio had no audio for a moment or
        had stopped.
        """

    @property
    def origin(self) -> float:
        """The estimated time at which the first sample of this playback run plays, in seconds on the clock of the
        caller's frames.
        """
        if self._evidence:
            # The expected value of the smallest of n uniform delays is 1/(n + 1) of their range.
            origin = self._evidence[0][1] - 2 * self._line.jitter / (self._seen + 1)
        else:
            arrived = self._arrived if self._arrived is not None else self._line.expected_effect(self.sent_at)
            origin = arrived + self._assumed_delay
        return max(origin, self._lower)

    @property
    def start_delay(self) -> float | None:
        """The time in seconds from the arrival of the audio at Twilio until its first sample plays, or None if this
        time is not known. This delay is measured once for each run, which is audio that plays without a gap.
        """
        if self._arrived is None or not self._evidence or self.shifts:
            return None
        return max(0.0, self.origin - self._arrived)

    def arrived(self, x: float) -> None:
        """Stores `x`, the time in seconds at which the audio of this playback run (playback without a gap) arrived at
        Twilio. At this time Twilio returned the probe, a mark without audio before it. The probe was sent immediately
        before the first sample of the run.
        """
        self._arrived = x

    def played(self, position: int, now: float) -> bool:
        """Corrects the estimate with a mark: Twilio had played the audio before `position`, and returned the mark at
        `now`. Returns True if the estimated start of this playback run (playback without a gap) moved later, because
        playback had stopped for a moment.
        """
        earliest, latest = self._line.date(now)
        offset = (position - self.base) / self._rate
        moved = self._not_before(earliest - offset)
        self._seen += 1
        bound = latest - offset
        if bound < self._lower - _TOLERANCE_S:
            self._lower = -math.inf  # the supposed shift did not persist
        while self._evidence and self._evidence[-1][1] >= bound:
            self._evidence.pop()
        self._evidence.append((now, bound))
        while self._evidence[0][0] < now - _WINDOW_S:
            self._evidence.popleft()
        return moved

    def waiting(self, position: int, timestamp_s: float) -> bool:
        """Corrects the estimate, because the mark at `position` has not been returned yet, although a frame of the
        caller with the timestamp `timestamp_s` (in seconds) has arrived. So the audio before `position` was not yet
        played at that time. Returns True if the estimated start of this playback run moved later.
        """
        bound = timestamp_s - (position - self.base) / self._rate
        return bound > self._lower and self._not_before(bound)

    def ignore_waiting(self) -> None:
        """Drops the conclusions from marks that were not returned (`waiting`)."""
        self._lower = -math.inf

    def _not_before(self, bound: float) -> bool:
        moved = False
        if bound > self.origin + _TOLERANCE_S:
            moved = bool(self._evidence)
            self.shifts += moved
            self._evidence.clear()
            self._seen = 0
        self._lower = max(self._lower, bound)
        return moved

    def position(self, x: float) -> int:
        """Returns the position (in samples) of the audio that the caller hears at the time `x`. `x` is a media
        timestamp of the caller's audio in seconds. The result is at least the first position of this playback run
        (audio that plays without a gap).
        """
        return self.base + max(0, int((x - self.origin) * self._rate + 1e-3))
