"""Finds where speech begins and ends in 8 kHz audio. Pure. Positions are computed from the audio, and not from a clock.

WebRTC's detector and the loudness classify each 20 ms. Speech begins when four of five frames are voiced (80-100 ms)
and ends after the configured silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import webrtcvad

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["Edge", "SpeechDetector"]

FRAME_MS = 20
_FRAME_BYTES = 320
_WINDOW = 0b11111
_VOICED_OF_WINDOW = 4
_RMS_AT_FULL_THRESHOLD = 200
"""The minimum loudness (of 32767) for `threshold=1`: -44 dBFS. For lower thresholds the value is proportional."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The start of speech (its first voiced frame) or the end of speech (after the silence). `at_ms` counts from the
    first sample, in milliseconds.
    """

    kind: Literal["started", "stopped"]
    at_ms: int


class SpeechDetector:
    """Detects speech in 16-bit audio at 8 kHz. The audio may be passed in pieces of any length. Speech ends after
    `silence_ms` milliseconds without voice. The value may be changed at any time.
    """

    def __init__(self, *, threshold: float, silence_ms: int) -> None:
        # The four modes range from permissive to strict.
        self._vad = webrtcvad.Vad(min(3, int(threshold * 4)))
        self._floor = threshold * _RMS_AT_FULL_THRESHOLD
        self.silence_ms = silence_ms
        self.speaking = False
        self._rest = b""
        self._position_ms = 0
        self._recent = 0
        self._silent_for_ms = 0

    def push(self, pcm8k: bytes) -> Iterator[Edge]:
        if self._rest:
            pcm8k = self._rest + pcm8k
        whole = len(pcm8k) - len(pcm8k) % _FRAME_BYTES
        self._rest = pcm8k[whole:]
        for at in range(0, whole, _FRAME_BYTES):
            frame = pcm8k[at : at + _FRAME_BYTES]
            voiced = self._vad.is_speech(frame, 8000) and audioop.rms(frame, 2) >= self._floor
            self._position_ms += FRAME_MS
            edge = self._heard(voiced)
            if edge is not None:
                yield edge

    def reset(self) -> None:
        """Makes the detector wait for the start of new speech. If speech was in progress, no end is reported for it.
        Positions continue to count from the first sample.
        """
        self.speaking = False
        self._recent = self._silent_for_ms = 0

    def _heard(self, voiced: bool) -> Edge | None:
        if self.speaking:
            self._silent_for_ms = 0 if voiced else self._silent_for_ms + FRAME_MS
            if self._silent_for_ms < self.silence_ms or voiced:
                return None
            self.reset()
            return Edge("stopped", self._position_ms)
        self._recent = (self._recent << 1 | voiced) & _WINDOW
        if not voiced or self._recent.bit_count() < _VOICED_OF_WINDOW:
            return None
        began_ms = self._position_ms - self._recent.bit_length() * FRAME_MS
        self.reset()
        self.speaking = True
        return Edge("started", began_ms)
