"""Repeats a recording of background sound (ambience), which is mixed with the agent's speech. Audio is mu-law at 8 kHz.
Pure.
"""

from __future__ import annotations

__all__ = ["Loop"]


class Loop:
    """Reads a mu-law recording as a sound without an end: after the last sample, the recording starts again. Raises
    `ValueError` for an empty recording.
    """

    def __init__(self, ulaw: bytes) -> None:
        if not ulaw:
            raise ValueError("An empty recording cannot be looped.")
        self._ulaw = ulaw
        self._at = 0

    def take(self, n: int) -> bytes:
        """Returns the next `n` samples as mu-law. The next call continues after these samples."""
        out = bytearray()
        while len(out) < n:
            part = self._ulaw[self._at : self._at + n - len(out)]
            out += part
            self._at = (self._at + len(part)) % len(self._ulaw)
        return bytes(out)
