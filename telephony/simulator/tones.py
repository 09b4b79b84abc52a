"""Tones of the telephone network, as mu-law at 8 kHz. Pure."""

from __future__ import annotations

import math
from array import array

from realtime_core.audio import g711

from .playout import RATE, SILENCE

__all__ = ["beep", "digits", "tone"]

_ROWS, _COLUMNS = (697, 770, 852, 941), (1209, 1336, 1477, 1633)
_KEYPAD = "123A456B789C*0#D"


def beep() -> bytes:
    """Returns the beep of a voicemail as mu-law audio at 8 kHz: a tone of 1 kHz and 400 ms."""
    return tone((1000,), 0.4)


def digits(keys: str) -> bytes:
    """Returns the tones of telephone keys (ITU-T Q.23): 120 ms of tone and 120 ms of silence for each key. `w` is a
    pause of 0.5 s, `W` is a pause of 1 s.
    """
    out = b""
    for key in keys:
        if key in "wW":
            out += SILENCE * (RATE // 2 if key == "w" else RATE)
        elif key in _KEYPAD:
            row, column = divmod(_KEYPAD.index(key), 4)
            out += tone((_ROWS[row], _COLUMNS[column]), 0.12) + SILENCE * round(0.12 * RATE)
    return out


def tone(frequencies: tuple[int, ...], seconds: float) -> bytes:
    """Returns `seconds` seconds of the sum of sine waves with these frequencies (in Hz), as mu-law at 8 kHz."""
    loudness = 8000 / len(frequencies)
    samples = (
        round(sum(loudness * math.sin(2 * math.pi * f * n / RATE) for f in frequencies))
        for n in range(round(seconds * RATE))
    )
    return g711.encode(array("h", samples).tobytes())
