"""Reads WAV files, and converts the sample rate of audio. Python's `wave` module does not support mu-law, the format of
the stored audio.
"""

from __future__ import annotations

import struct

import numpy as np
import soxr

from ...audio import g711

__all__ = ["read_wav"]

_PCM, _MULAW = 1, 7
"""Format codes of WAV files, from RFC 2361."""


def read_wav(data: bytes) -> tuple[bytes, int]:
    """Returns the audio of a WAV file as 16-bit mono samples, and its sample rate in Hz. Reads 16-bit PCM and 8-bit
    mu-law.

    Raises `ValueError` with the remedy for other formats.
    """
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError("is not a WAV file")
    code = channels = rate = bits = 0
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", body)
        elif name == b"data":
            if channels == 1 and (code, bits) == (_PCM, 16):
                return body[: len(body) // 2 * 2], rate
            if channels == 1 and (code, bits) == (_MULAW, 8):
                return g711.decode(body), rate
            raise ValueError("must be mono, 16-bit PCM or 8-bit mu-law. Convert it, for example with sox")
        at += 8 + size + size % 2
    raise ValueError("holds no audio")


def resample(pcm16: bytes, from_hz: int, to_hz: int) -> bytes:
    """Resamples 16-bit samples of a whole recording from `from_hz` to `to_hz` samples per second. The float output of
    soxr is used, because it is exactly repeatable. The 16-bit output of soxr is dithered.
    """
    if from_hz == to_hz:
        return pcm16
    samples = np.frombuffer(pcm16, "<i2").astype(np.float32)
    out = np.rint(soxr.resample(samples, from_hz, to_hz))
    clipped: bytes = np.clip(out, -32768, 32767).astype("<i2").tobytes()
    return clipped
