"""Writes stereo WAV files: the caller in the left channel, the agent in the right channel."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from realtime_core.audio import g711

from ..audio.files import PCM, wav_header
from .audio import CallAudio

__all__ = ["StereoWriter", "write_stereo"]

_BLOCK = 80_000
"""The number of bytes that are decoded at a time: ten seconds."""


def write_stereo(path: Path, audio: CallAudio) -> None:
    """Writes both sides of a call to a stereo WAV file (8 kHz). The left channel has the caller. The right channel has
    the agent as the caller heard the agent. The file is valid after its first second. Raises `OSError`.
    """
    with StereoWriter(path) as file:
        for at in range(0, len(audio.caller), _BLOCK):
            file.write(*(g711.decode(side[at : at + _BLOCK]) for side in (audio.caller, audio.agent)))


class StereoWriter:
    """Writes a stereo WAV file of 16-bit PCM, piece by piece. The file is valid at any time, also during a call and
    after a crash.

    The sizes in the header are updated after each second of audio, so a crash loses at most the last second. No audio
    is kept in memory. Raises `OSError`.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int = 8000) -> None:
        self.rate = rate
        self.samples = 0
        """The number of samples on each side."""
        self._stated = 0
        self._file = open(path, "wb")  # noqa: SIM115 - closed by `close`
        self._state()

    def write(self, left: bytes, right: bytes) -> None:
        """Appends 16-bit PCM to both sides. Raises `ValueError` if the lengths differ."""
        if len(left) != len(right) or len(left) % 2:
            raise ValueError(
                f"Both sides must have the same length and whole samples: {len(left)}, {len(right)} bytes."
            )
        sides = np.stack([np.frombuffer(left, "<i2"), np.frombuffer(right, "<i2")], axis=1)
        self._file.write(sides.tobytes())
        self.samples += len(sides)
        if self.samples - self._stated >= self.rate:
            self._state()

    def close(self) -> None:
        """Completes and closes the file. Idempotent."""
        if not self._file.closed:
            self._state()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _state(self) -> None:
        """Writes the audio, and then writes the sizes in the header."""
        self._file.flush()
        self._file.seek(0)
        self._file.write(wav_header(PCM, 2, self.rate, 16, 4 * self.samples))
        self._file.seek(0, os.SEEK_END)
        self._file.flush()
        self._stated = self.samples
