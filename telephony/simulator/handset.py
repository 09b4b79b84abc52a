"""The phone of one leg of a call. It outlives media streams: whoever holds it says a voicemail's greeting into
`<Say>`'s ear, hears two streams one after the other, and is still there in a conference.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from collections.abc import Callable

from realtime_core.audio import g711

from .phone import FRAME_S, Phone
from .playout import FRAME, RATE, SILENCE

__all__ = ["Handset", "beep", "digits", "hear", "tone"]

_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_KEYPAD = "123A456B789C*0#D"
_MAX_RECORDED = 600 * RATE


class Handset(Phone):
    """`ear` is what came to the ear since the call was answered: mu-law, 0xFF where nothing played."""

    def __init__(
        self,
        on_press: Callable[[str], None],
        on_hang_up: Callable[[], None],
        on_say: Callable[[str, int], None] = lambda name, samples: None,
    ) -> None:
        loop = asyncio.get_running_loop()
        answered = loop.time()
        super().__init__(
            now=lambda: loop.time() - answered,
            on_say=on_say,
            on_press=on_press,
            on_hang_up=on_hang_up,
        )
        self.ear = bytearray()
        self.tones = ""
        """The keys whose tones came to the ear."""
        self.beeped = asyncio.Event()
        """A voicemail sets it: its beep is over."""

    def hear(self, frame: bytes) -> None:
        super().hear(frame)
        if len(self.ear) < _MAX_RECORDED:
            self.ear += frame

    async def beep(self) -> None:
        """As a voicemail does it."""
        await self.say(beep())
        self.beeped.set()


async def hear(phone: Handset, ulaw: bytes) -> None:
    """Play to one ear, in real time. What its owner says meanwhile is lost: nobody listens during `<Say>`."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, at in enumerate(range(0, len(ulaw), FRAME), 1):
        await asyncio.sleep(start + number * FRAME_S - loop.time())
        phone.speak()
        phone.hear(ulaw[at : at + FRAME].ljust(FRAME, SILENCE))


def beep() -> bytes:
    """A voicemail's: 1 kHz, 400 ms."""
    return tone((1000,), 0.4)


def digits(keys: str) -> bytes:
    """The tones of keys (ITU-T Q.23), 120 ms and as much silence each; `w` is half a second, `W` a second."""
    out = b""
    for key in keys:
        if key in "wW":
            out += SILENCE * (RATE // 2 if key == "w" else RATE)
        elif key in _KEYPAD:
            row, column = divmod(_KEYPAD.index(key), 4)
            out += tone((_ROWS[row], _COLUMNS[column]), 0.12) + SILENCE * round(0.12 * RATE)
    return out


def tone(frequencies: tuple[int, ...], seconds: float) -> bytes:
    """Sine waves, mixed."""
    loudness = 8000 / len(frequencies)
    samples = (
        round(sum(loudness * math.sin(2 * math.pi * f * n / RATE) for f in frequencies))
        for n in range(round(seconds * RATE))
    )
    return g711.encode(array("h", samples).tobytes())
