"""The audio formats of the Realtime protocol that the embedded server supports, with the names of the session object.

PCM is 16-bit little-endian mono at 24 kHz. G.711 is 8 kHz with one byte per sample. Source:
https://platform.openai.com/docs/api-reference/realtime-sessions, `audio.input.format` and `audio.output.format`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..audio import g711

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

__all__ = ["ALAW", "PCM", "ULAW", "WireFormat", "wire_format"]


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One audio format: its name, its sample rate, and its conversion from and to 16-bit samples at that rate."""

    type: str
    rate_hz: int
    bytes_per_sample: int
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]

    @property
    def bytes_per_ms(self) -> int:
        return self.rate_hz * self.bytes_per_sample // 1000


def _same(audio: bytes) -> bytes:
    return audio


def _encode_alaw(pcm16: bytes) -> bytes:
    return audioop.lin2alaw(pcm16, 2)


def _decode_alaw(alaw: bytes) -> bytes:
    return audioop.alaw2lin(alaw, 2)


PCM = WireFormat("audio/pcm", 24000, 2, _same, _same)
ULAW = WireFormat("audio/pcmu", 8000, 1, g711.encode, g711.decode)
ALAW = WireFormat("audio/pcma", 8000, 1, _encode_alaw, _decode_alaw)

_FORMATS = {format.type: format for format in (PCM, ULAW, ALAW)}


def wire_format(config: Mapping[str, Any]) -> WireFormat:
    """Returns the audio format for `config`, the `format` object of a session object, such as `{"type":
    "audio/pcmu"}`.
    """
    return _FORMATS[config["type"]]
