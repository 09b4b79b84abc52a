"""The simulated line's delay, jitter and stalls."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.testing import virtual_time
from telephony.simulator import Line
from telephony.simulator.line import LineDirection
from telephony.simulator.pipe import Pipe

TIMES = st.lists(st.floats(0, 0.2), min_size=1, max_size=200)


def _arrivals(line: Line, gaps: list[float]) -> list[tuple[float, float]]:
    way, now, arrivals = line.draw().up, 0.0, []
    for gap in gaps:
        now += gap
        arrivals.append((now, way.arrival(now)))
    return arrivals


@given(st.integers(0, 2**32), TIMES)
def test_the_order_is_kept_and_nothing_is_early(seed: int, gaps: list[float]) -> None:
    line = Line(round_trip_s=0.1, jitter_s=0.05, stalls_per_minute=30, seed=seed)
    arrivals = _arrivals(line, gaps)
    assert all(arrival >= sent + 0.05 for sent, arrival in arrivals)
    assert all(first[1] <= second[1] for first, second in pairwise(arrivals))


def test_jitter_is_uniform() -> None:
    arrivals = _arrivals(Line(round_trip_s=0.1, jitter_s=0.01, seed=1), [0.02] * 5000)
    extra = [arrival - sent - 0.05 for sent, arrival in arrivals]
    assert -1e-9 <= min(extra) < 0.0002
    assert 0.0098 < max(extra) <= 0.01 + 1e-9
    assert sum(extra) / len(extra) == pytest.approx(0.005, abs=0.0003)


def test_a_stall_lets_nothing_through_and_then_all_at_once() -> None:
    arrivals = _arrivals(Line(stalls_per_minute=6, stall_s=(0.2, 1.5), seed=3), [0.001] * 600_000)
    ends = {arrival for sent, arrival in arrivals if arrival > sent}
    lengths = [end - min(sent for sent, arrival in arrivals if arrival == end) for end in sorted(ends)[:20]]
    assert 40 <= len(ends) <= 80  # about 57 in ten minutes
    assert min(lengths) >= 0.19
    assert max(lengths) <= 1.5
    for end in sorted(ends)[:20]:
        assert not [arrival for sent, arrival in arrivals if end - 0.19 < arrival < end]


def test_a_seed_repeats_a_line_and_is_shown() -> None:
    line = Line.rough(seed=7)
    assert _arrivals(line, [0.02] * 500) == _arrivals(Line.rough(seed=7), [0.02] * 500)
    assert _arrivals(line, [0.02] * 500) != _arrivals(Line.rough(seed=8), [0.02] * 500)
    assert "seed=7" in repr(line)
    fresh = [Line().seed for _ in range(8)]
    assert len(set(fresh)) == 8
    assert f"seed={fresh[0]}" in repr(Line(seed=fresh[0]))


def test_what_comes_later_waits_behind_what_is_late() -> None:
    """A loop that is held up past an arrival must not let the next message pass it."""

    class Scripted(LineDirection):
        def __init__(self, *arrivals: float) -> None:
            super().__init__(Line(), 0.0, Random(0))
            self._arrivals = list(arrivals)

        def arrival(self, now: float) -> float:
            return self._arrivals.pop(0)

    async def main() -> list[str]:
        delivered: list[str] = []
        pipe = Pipe(Scripted(0.5, 1.0, 2.0), delivered.append)
        pipe.push("first")
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualTimeLoop)
        loop.stall(1.0)
        pipe.push("second")
        assert delivered == []
        await asyncio.sleep(0.1)
        assert delivered == ["first", "second"]
        pipe.push("lost")
        pipe.close()
        await asyncio.sleep(2.0)
        return delivered

    assert virtual_time.run(main) == ["first", "second"]


def test_both_ways_are_drawn_apart() -> None:
    drawn = Line(jitter_s=0.1, seed=1).draw()
    assert [drawn.up.arrival(t) for t in range(9)] != [drawn.down.arrival(t) for t in range(9)]


@given(st.integers(0, 2**32))
def test_a_range_is_drawn_once_for_a_call(seed: int) -> None:
    drawn = Line.rough(seed=seed).draw()
    assert 0.02 <= drawn.round_trip_s <= 0.2
    assert 0 <= drawn.start_delay_s <= 0.2
    assert -100 <= drawn.drift_ppm <= 100
    assert drawn.up.delay_s == drawn.down.delay_s == drawn.round_trip_s / 2
