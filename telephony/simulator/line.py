"""Simulates a phone line: delay, jitter, stalls, a late start of playback, playback in steps of 20 ms (ticks), and
clock drift. Pure.

`Line` has ranges of values. `Line.draw` draws the values of one call. The same seed gives the same values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from random import Random

from realtime_core.sources import SYSTEM

__all__ = ["DrawnLine", "Line", "LineDirection", "Range"]

Range = float | tuple[float, float]
"""A fixed value, or the lower and upper bound between which a value is drawn."""


@dataclass(frozen=True, slots=True)
class Line:
    """The qualities of a simulated phone line. Times are in seconds. `Line()` is a perfect line. `Line.rough()` has all
    the faults of a real line.

    - `round_trip_s`: the network delay for both directions together. Each direction has half of the delay.
    - `jitter_s`: the maximum additional delay of each message in each direction. The delay is uniform between 0 and
      this value. The order of messages is kept, as with TCP.
    - `stalls_per_minute`, `stall_s`: the rate and the length of stalls of a TCP connection. Each direction has its own
      stalls. After a stall all delayed messages arrive together.
    - `start_delay_s`: the time from the arrival of audio in the empty buffer to its first sample. The value is the same
      for the whole call.
    - `ticks`: whether playout, marks and clear take effect only every 20 ms.
    - `drift_ppm`: how much faster the phone's clock runs than the local clock. Frames and playout follow the phone's
      clock.
    - `seed`: the seed of all drawn values. By default a new seed is used each time.
    """

    round_trip_s: Range = 0.0
    jitter_s: float = 0.0
    stalls_per_minute: float = 0.0
    stall_s: Range = (0.2, 1.5)
    start_delay_s: Range = 0.0
    ticks: bool = False
    drift_ppm: Range = 0.0
    seed: int = field(default_factory=lambda: SYSTEM.random.getrandbits(32))

    @classmethod
    def rough(cls, *, seed: int | None = None) -> Line:
        """Returns a line with many faults: a round trip of 20 to 200 ms, 30 ms of jitter, three stalls a minute, a late
        start of playback, playback in steps of 20 ms (`ticks`), and clock drift.
        """
        line = cls(
            round_trip_s=(0.02, 0.2),
            jitter_s=0.03,
            stalls_per_minute=3.0,
            start_delay_s=(0.0, 0.2),
            ticks=True,
            drift_ppm=(-100.0, 100.0),
        )
        return line if seed is None else replace(line, seed=seed)

    def draw(self) -> DrawnLine:
        """Returns the line for one simulated call: each quality with a range gets a value that is drawn at random from
        the range.
        """
        random = Random(self.seed)
        round_trip_s = _draw(self.round_trip_s, random)
        start_delay_s = _draw(self.start_delay_s, random)
        drift_ppm = _draw(self.drift_ppm, random)
        up, down = (LineDirection(self, round_trip_s / 2, Random(random.getrandbits(64))) for _ in range(2))
        return DrawnLine(round_trip_s, start_delay_s, self.ticks, drift_ppm, up, down)


class LineDirection:
    """One direction of a simulated line, from or to the phone. Computes when each message arrives."""

    def __init__(self, line: Line, delay_s: float, random: Random) -> None:
        self.delay_s = delay_s
        self._jitter_s = line.jitter_s
        self._stalls_per_s = line.stalls_per_minute / 60
        self._stall_s = line.stall_s
        self._random = random
        self._last = 0.0
        self._stall = (math.inf, math.inf) if not self._stalls_per_s else (0.0, 0.0)

    def arrival(self, now: float) -> float:
        """Returns the arrival time of a message that is sent at `now` in this direction. Times are in seconds from the
        start of the call, and never decrease.
        """
        at = now + self.delay_s
        if self._jitter_s:
            at += self._random.uniform(0.0, self._jitter_s)
        while self._stall[1] <= at:
            start = self._stall[1] + self._random.expovariate(self._stalls_per_s)
            self._stall = (start, start + _draw(self._stall_s, self._random))
        if self._stall[0] <= at:
            at = self._stall[1]
        self._last = max(self._last, at)
        return self._last


@dataclass(frozen=True, slots=True)
class DrawnLine:
    """The fixed values of a simulated line for one call, drawn at random from the ranges of a `Line`."""

    round_trip_s: float
    start_delay_s: float
    ticks: bool
    drift_ppm: float
    up: LineDirection = field(repr=False)
    down: LineDirection = field(repr=False)


def _draw(value: Range, random: Random) -> float:
    return random.uniform(*value) if isinstance(value, tuple) else value
