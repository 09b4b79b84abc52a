"""Lets other people listen to both sides of a call at the time at which the caller and the agent hear the audio. If a
listener is slow, audio for this listener is dropped, and the call is not delayed.

With each frame of the caller, a listener gets an equally long piece of the agent's audio. When the buffer at Twilio is
cleared, this module also drops the audio that was sent and not heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from realtime_core.audio import g711

__all__ = ["Listener", "Monitor"]

_MAX_SENT = 3 * 8000
"""The maximum number of samples (3 s) of sent audio that are stored. Audio is sent at most 2 s before the caller hears
the audio.
"""
_MAX_WAITING = 100
"""The maximum number of pieces (2 s) that wait for a listener. If there are more pieces, the oldest pieces are
dropped.
"""
_SILENCE = b"\xff"


class Listener:
    """A person who listens to the call. The object is an async iterator of pieces of stereo PCM (16 bits, 8 kHz). The
    left channel has the caller. The right channel has the audio that the caller hears.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._waiting: deque[bytes] = deque()
        self._filled = asyncio.Event()
        self._ended = False

    def put(self, piece: bytes) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(piece)
        self._filled.set()

    def end(self) -> None:
        """Ends the iteration of the listener, because the call has ended."""
        self._ended = True
        self._filled.set()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> bytes:
        """Returns all pieces of stereo audio that wait for the listener, joined into one piece."""
        while not self._waiting:
            if self._ended:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        pieces = b"".join(self._waiting)
        self._waiting.clear()
        return pieces


class Monitor:
    """Passes the audio of one call to the people who listen to the call. Without listeners the methods do nothing."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._sent = bytearray()

    @property
    def is_on(self) -> bool:
        return bool(self._listeners)

    @contextmanager
    def listen(self, unheard: bytes = b"") -> Iterator[Listener]:
        """Adds a listener during this block. `unheard` is the audio that was sent before the block and that the caller
        has not heard yet.
        """
        if not self._listeners:
            self._sent[:] = unheard[:_MAX_SENT]
        listener = Listener()
        self._listeners.append(listener)
        try:
            yield listener
        finally:
            self._listeners.remove(listener)

    def frame(self, ulaw: bytes, *, hidden: bool = False) -> None:
        """Adds a frame of the caller (mu-law, 8 kHz). If `hidden` is True, the frame must not be heard by others, and
        listeners get silence.
        """
        if not self._listeners:
            return
        if hidden:
            ulaw = _SILENCE * len(ulaw)
        size = len(ulaw)
        sent = bytes(self._sent[:size]).ljust(size, _SILENCE)
        del self._sent[:size]
        piece = np.empty(2 * size, "<i2")
        piece[0::2] = np.frombuffer(g711.decode(ulaw), "<i2")
        piece[1::2] = np.frombuffer(g711.decode(sent), "<i2")
        data = piece.tobytes()
        for listener in self._listeners:
            listener.put(data)

    def sent(self, ulaw: bytes, *, hidden: bool = False) -> None:
        """Adds audio that was sent to the caller (mu-law, 8 kHz). If `hidden` is True, the audio must not be heard by
        others, and listeners get silence.
        """
        if self._listeners:
            self._sent += _SILENCE * len(ulaw) if hidden else ulaw
            del self._sent[: max(0, len(self._sent) - _MAX_SENT)]

    def cleared(self) -> None:
        """Drops the audio that was sent and that the caller has not heard."""
        self._sent.clear()

    def close(self) -> None:
        """Ends all listeners, because the call has ended."""
        for listener in self._listeners:
            listener.end()
