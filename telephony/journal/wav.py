"""Writes a recorded call as a stereo WAV file."""

from __future__ import annotations

from pathlib import Path

from realtime_core.audio import g711

from ..audio.stereo import StereoWriter
from .audio import CallAudio

__all__ = ["write_stereo"]

_BLOCK = 80_000
"""Bytes that are decoded at a time: ten seconds."""


def write_stereo(path: Path, audio: CallAudio) -> None:
    """Write both sides at 8 kHz: the caller left, the agent as heard right. The file is valid after its first second.
    Raises `OSError`."""
    with StereoWriter(path) as file:
        for at in range(0, len(audio.caller), _BLOCK):
            file.write(*(g711.decode(side[at : at + _BLOCK]) for side in (audio.caller, audio.agent)))
