"""Detects speech in recorded audio, for calls without a model, whose recordings do not contain the times of speech.
Pure.
"""

from __future__ import annotations

from realtime_core.audio import g711
from realtime_core.audio.vad import SpeechDetector

__all__ = ["detected_speech"]

_THRESHOLD = 0.5
_SILENCE_MS = 500
"""The maximum length in milliseconds of a silence within speech."""


def detected_speech(ulaw: bytes) -> list[tuple[float, float]]:
    """Returns the times of speech (start, end) in milliseconds, in order. `ulaw` is mono mu-law at 8 kHz."""
    found: list[tuple[float, float]] = []
    start_ms: float | None = None
    detector = SpeechDetector(threshold=_THRESHOLD, silence_ms=_SILENCE_MS)
    for edge in detector.push(g711.decode(ulaw)):
        if edge.kind == "started":
            start_ms = edge.at_ms
        elif start_ms is not None:
            found.append((start_ms, edge.at_ms - _SILENCE_MS))
            start_ms = None
    if start_ms is not None:
        found.append((start_ms, len(ulaw) / 8))
    return found
