"""A recorded call as a stereo WAV."""

from __future__ import annotations

from pathlib import Path

from realtime_core.audio import g711

from ..audio.stereo import StereoWriter
from .audio import CallAudio

__all__ = ["write_stereo"]

_BLOCK = 80_000
"""Ten seconds at a time are made into samples, however long the call was."""


def write_stereo(path: Path, audio: CallAudio) -> None:
    """Both sides at 8 kHz: left the caller on the clock of the caller's frames, right the agent as heard. The file is
    valid from its first second on. Raises `OSError`."""
    with StereoWriter(path) as file:
        for at in range(0, len(audio.caller), _BLOCK):
            file.write(*(g711.decode(side[at : at + _BLOCK]) for side in (audio.caller, audio.agent)))
