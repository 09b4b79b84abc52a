"""Replaces the library `sounddevice` for programs under test, because not every machine has PortAudio and a sound card.

The microphone yields, in real time, silence, and then the content of the file `microphone.raw` in the working directory
as soon as the file exists. The loudspeaker calls the program's callback in a thread, as PortAudio does, and stores the
played audio in `loudspeaker.raw`. PCM16, mono.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

_SPEECH = Path("microphone.raw")
_PLAYED = Path("loudspeaker.raw")


class _Stream:
    def __init__(self, *, channels: int, samplerate: int, dtype: Any, **_options: Any) -> None:
        assert (channels, np.dtype(dtype)) == (1, np.dtype(np.int16))
        self.samplerate = samplerate
        self.active = False

    def start(self) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False

    def close(self) -> None:
        self.active = False


class InputStream(_Stream):
    def start(self) -> None:
        super().start()
        self._started = time.monotonic()
        self._read = 0
        self._speech = np.zeros(0, np.int16)
        self._loaded = False

    @property
    def read_available(self) -> int:
        return int((time.monotonic() - self._started) * self.samplerate) - self._read

    def read(self, frames: int) -> tuple[Any, bool]:
        if not self._loaded and _SPEECH.exists():
            self._speech, self._loaded = np.frombuffer(_SPEECH.read_bytes(), np.int16), True
        taken, self._speech = self._speech[:frames], self._speech[frames:]
        self._read += frames
        return np.pad(taken, (0, frames - len(taken))).reshape(-1, 1), False


class OutputStream(_Stream):
    def __init__(self, *, callback: Callable[..., None], blocksize: int, **options: Any) -> None:
        super().__init__(**options)
        self._callback = callback
        self._blocksize = blocksize

    def start(self) -> None:
        super().start()
        _PLAYED.write_bytes(b"")
        threading.Thread(target=self._play, daemon=True).start()

    def _play(self) -> None:
        due = time.monotonic()
        with _PLAYED.open("ab", buffering=0) as played:
            while self.active:
                block = np.zeros((self._blocksize, 1), np.int16)
                self._callback(block, self._blocksize, None, None)
                played.write(block.tobytes())
                due += self._blocksize / self.samplerate
                time.sleep(max(0.0, due - time.monotonic()))
