"""Removes the jitter from a person's voice that comes over a network, and limits its delay. Pure.

A browser sends a piece about every 20 ms, and some come late. Twilio plays what it gets without a pause, so a voice
begins a little late, when some pieces have come. After a stall many pieces come at once. They would delay all later
speech, so the pieces that exceed the limit are dropped.
"""

from __future__ import annotations

__all__ = ["LiveVoice"]

RATE = 8000
_FRAME = 160
_START = int(0.060 * RATE)
"""The number of samples that are collected before the voice begins, at the start and after each gap (60 ms)."""
_MAX_AHEAD = int(0.250 * RATE)
"""The maximum number of samples that may wait to be heard (250 ms). Further audio is dropped."""


class LiveVoice:
    """One person's voice, in mu-law at 8 kHz."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self.dropped = 0
        """How many samples were dropped because they came too late."""

    def push(self, ulaw: bytes, ahead: int) -> bytes:
        """Adds a piece (mu-law, 8 kHz). Returns the audio to play now: whole frames of 20 ms, or nothing.

        Args:
            ahead: how many samples are queued and not heard. 0: the line is silent, so the voice begins again.
        """
        room = max(0, _MAX_AHEAD - ahead - len(self._waiting))
        self.dropped += max(0, len(ulaw) - room)
        self._waiting += ulaw[:room]
        if ahead <= 0 and len(self._waiting) < _START:
            return b""
        return self.flush(whole=True)

    def flush(self, *, whole: bool = False) -> bytes:
        """Returns the audio that waits, and removes it. `whole`: only whole frames of 20 ms."""
        size = len(self._waiting) // _FRAME * _FRAME if whole else len(self._waiting)
        audio = bytes(self._waiting[:size])
        del self._waiting[:size]
        return audio
