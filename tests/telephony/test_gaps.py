"""Gaps in the caller's audio are filled with silence of the same length, and never with more than the time that has
passed."""

from __future__ import annotations

import asyncio
import json
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.audio import g711
from telephony.allowance import Allowance
from telephony.call.line.stream import GAP_PER_S, MAX_GAP_S, MediaStream

FRAME = b"\x00" * 160


class Listener:
    def __init__(self) -> None:
        self.audio = bytearray()

    def on_frame(self, timestamp_ms: int, ulaw: bytes) -> None:
        self.audio += ulaw


class Line:
    """A stream that hears messages by hand."""

    def __init__(self) -> None:
        self.listener = Listener()
        self._stream = MediaStream(Mock())
        start = {
            "event": "start", "sequenceNumber": "1", "streamSid": "MZ1",
            "start": {"callSid": "CA1", "accountSid": "AC1",
                      "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}},
        }  # fmt: skip
        self._stream._on_message(json.dumps(start))
        self._stream.listen(self.listener, Mock())  # type: ignore[arg-type]

    def media(self, timestamp_ms: int) -> int:
        """The bytes of silence in front of the frame."""
        before = len(self.listener.audio)
        message = {
            "event": "media", "sequenceNumber": "1", "streamSid": "MZ1",
            "media": {"payload": "AAAA" * 53 + "AA==", "timestamp": str(timestamp_ms), "chunk": "1"},
        }  # fmt: skip
        self._stream._on_message(json.dumps(message))
        added = bytes(self.listener.audio[before:])
        assert added == g711.SILENCE * (len(added) - 160) + FRAME
        return len(added) - 160


@pytest.mark.virtual_time
async def test_a_hole_is_as_long_as_what_is_missing() -> None:
    line = Line()
    at_ms = 0
    for hole_ms in (0, 20, 100, 1000, 20, 5000):
        await asyncio.sleep(hole_ms / 1000)
        at_ms += hole_ms
        assert line.media(at_ms) == 8 * hole_ms
        at_ms += 20


@pytest.mark.virtual_time
@pytest.mark.parametrize("jump_ms", [500, 10_000, 10**9])
async def test_timestamps_that_jump_fill_no_more_than_time_has_passed(jump_ms: int) -> None:
    line = Line()
    began = asyncio.get_running_loop().time()
    for n in range(1000):
        line.media(n * (jump_ms + 20))
        await asyncio.sleep(0.02)
    passed = asyncio.get_running_loop().time() - began
    seconds = (len(line.listener.audio) - 1000 * 160) / 8000
    assert 0 < seconds <= MAX_GAP_S + GAP_PER_S * passed + 0.02


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), max_size=30))
def test_an_allowance_gives_no_more_than_its_rate(steps: list[tuple[float, float]]) -> None:
    allowance, now, given_ = Allowance(per_s=2, burst=5), 0.0, 0.0
    for wait, amount in steps:
        now += wait
        granted = allowance.grant(now, amount)
        assert 0 <= granted <= amount
        given_ += granted
        assert given_ <= 5 + 2 * now + 1e-6


def test_an_allowance_is_spent_whole_or_not_at_all() -> None:
    allowance = Allowance(per_s=1, burst=2)
    assert allowance.spend(0.0) and allowance.spend(0.0)
    assert not allowance.spend(0.5)
    assert allowance.spend(1.0), "what was refused was not taken"
    assert not allowance.spend(1.5)
    assert allowance.spend(2.0)
