"""The speech for one text, rendered once: its audio in pieces (bursts) of 200 ms for the protocol, and the words of
each burst.
"""

from __future__ import annotations

import base64

from ..formats import PCM, WireFormat
from .wav import resample

__all__ = ["BURST_MS", "RATE_HZ", "Speech"]

RATE_HZ = 24000
BURST_MS = 200
"""The length in milliseconds of the audio in one `response.output_audio.delta`."""


class Speech:
    """The speech for one text: the text, and its audio as 16-bit samples at 24 kHz."""

    __slots__ = ("_bursts", "_encoded", "captions", "pcm", "text")

    def __init__(self, text: str, pcm: bytes) -> None:
        self.text = text
        self.pcm = pcm
        self.captions = _captions(text, len(pcm) // 2 / RATE_HZ * 1000)
        self._encoded: dict[str, bytes] = {}
        self._bursts: dict[str, list[tuple[str, int]]] = {}

    @property
    def duration_ms(self) -> float:
        return len(self.pcm) // 2 / RATE_HZ * 1000

    def encoded(self, format: WireFormat) -> bytes:
        """Returns the whole audio in a format of the protocol."""
        audio = self._encoded.get(format.type)
        if audio is None:
            audio = format.encode(self.pcm if format is PCM else resample(self.pcm, RATE_HZ, format.rate_hz))
            self._encoded[format.type] = audio
        return audio

    def bursts(self, format: WireFormat) -> list[tuple[str, int]]:
        """Returns the audio in bursts of `BURST_MS` milliseconds, each as (base64 text, length in bytes)."""
        bursts = self._bursts.get(format.type)
        if bursts is None:
            audio, size = self.encoded(format), BURST_MS * format.bytes_per_ms
            cut = [audio[at : at + size] for at in range(0, len(audio), size)]
            bursts = self._bursts[format.type] = [(base64.b64encode(part).decode(), len(part)) for part in cut]
        return bursts


def _captions(text: str, duration_ms: float) -> list[str]:
    """Returns the words of each burst. A word belongs to the burst in which it begins. The length of a word is
    proportional to its letters.
    """
    n_bursts = max(1, -int(-duration_ms // BURST_MS))
    captions = [""] * n_bursts
    words = text.split()
    letters = sum(len(word) + 1 for word in words)
    at = 0
    for word in words:
        burst = min(n_bursts - 1, int(at / letters * duration_ms / BURST_MS))
        captions[burst] += f" {word}" if at else word
        at += len(word) + 1
    return captions
