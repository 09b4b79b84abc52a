"""The voices of personas. A voice converts text to mu-law at 8 kHz.

- `HttpVoice`: OpenAI's speech API, which other servers also offer
- `LocalVoice`: espeak-ng or flite, if one of these programs is on PATH
- `StoredVoice`: stored audio for the words of the package, and a hum for other words

All voices block, so they must be called in a thread. A voice stores the audio of each text.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from realtime_core.audio import g711
from realtime_core.audio.resample import Downsampler3
from realtime_core.local.voice import Voice as StoredWords

from ..audio.files import read_ulaw
from ..errors import AudioFileError, EvalError
from .texts import tls

__all__ = ["HttpVoice", "LocalVoice", "StoredVoice", "Voice", "voice_of"]

_WITHIN_S = 30.0
_LEVEL_DBFS = -20.0
"""The level in decibels (RMS of the loud frames) to which each voice is adjusted."""
VOICES = ("auto", "stored", "espeak-ng", "flite", "http")


class Voice(Protocol):
    """Synthesises speech from text."""

    name: str

    def speak(self, text: str, language: str = "en") -> bytes:
        """Returns the text as speech in mu-law at 8 kHz. The method blocks. Raises `EvalError` if the speech cannot be
        made.
        """


class StoredVoice:
    """A voice that needs no speech program. The package contains recordings of some words (spoken by flite). The voice
    uses these recordings. For any other word, the voice returns a hum in the rhythm of the syllables.
    """

    name = "stored"

    def speak(self, text: str, language: str = "en") -> bytes:
        return _stored(text)


class LocalVoice:
    """A voice that uses espeak-ng or flite. flite supports only English, so another language raises `EvalError`."""

    def __init__(self, program: str) -> None:
        self.name = Path(program).name
        self._program = program

    def speak(self, text: str, language: str = "en") -> bytes:
        if self.name == "flite" and not language.startswith("en"):
            raise EvalError(f"flite does not speak {language!r}: install espeak-ng, or use an HTTP voice.")
        return _synthesised(self._program, text, language)


class HttpVoice:
    """A voice that uses a speech model at `url`. The URL ends in `/v1`. Each text is sent to `/audio/speech` below this
    URL.
    """

    def __init__(self, url: str, model: str, voice: str, key: str | None = None) -> None:
        self.name = f"{model} ({voice})"
        self._url = url.rstrip("/") + "/audio/speech"
        self._body = {"model": model, "voice": voice, "response_format": "wav"}
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._made: dict[str, bytes] = {}

    def speak(self, text: str, language: str = "en") -> bytes:
        if text not in self._made:
            self._made[text] = _levelled(self._ask({**self._body, "input": text}))
        return self._made[text]

    def _ask(self, body: Mapping[str, Any]) -> bytes:
        import httpx2

        try:
            with httpx2.Client(timeout=_WITHIN_S, follow_redirects=False, verify=tls()) as http:
                response = http.post(self._url, json=body, headers=self._headers)
            response.raise_for_status()
            return read_ulaw(response.content)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, AudioFileError) as error:
            raise EvalError(f"The voice {self.name} gave no speech: {error}") from error


def voice_of(name: str, *, url: str | None = None, model: str = "", voice: str = "", key: str | None = None) -> Voice:
    """Returns the voice with this name: `auto` (the best available voice), `stored`, `espeak-ng`, `flite` or `http`.
    The other arguments are for `http`: the URL and the key of the server, and the names of the model and of its voice.
    Raises `EvalError` if the voice is not available.
    """
    match name:
        case "auto":
            program = shutil.which("espeak-ng") or shutil.which("flite")
            return StoredVoice() if program is None else LocalVoice(program)
        case "stored":
            return StoredVoice()
        case "espeak-ng" | "flite":
            if (program := shutil.which(name)) is None:
                raise EvalError(f"{name} is not installed: apt-get install {name}, or use --voice stored.")
            return LocalVoice(program)
        case "http" if url is not None:
            return HttpVoice(url, model, voice, key)
        case "http":
            raise EvalError("--voice http needs --voice-url, the address that ends in /v1.")
    raise EvalError(f"There is no voice {name!r}: choose {', '.join(VOICES)}.")


@cache
def _words() -> StoredWords:
    return StoredWords()


@lru_cache(maxsize=1024)
def _stored(text: str) -> bytes:
    speech = _words().speech(text)
    assert speech is not None  # only a voice that synthesises needs time
    down = Downsampler3()
    return _levelled(g711.encode(down.push(speech.pcm) + down.flush()))


@lru_cache(maxsize=1024)
def _synthesised(program: str, text: str, language: str) -> bytes:
    text = " " + text.replace("\0", " ")  # a program would read a leading hyphen as an option
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "speech.wav")
        command = {
            "flite": [program, "-voice", "slt", "-t", text, "-o", out],
            "espeak-ng": [program, "-v", language.lower(), "-s", "160", "-w", out, text],
        }[Path(program).name]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_WITHIN_S)  # noqa: S603
            return _levelled(read_ulaw(Path(out).read_bytes()))
        except (OSError, subprocess.SubprocessError, AudioFileError) as error:
            raise EvalError(f"{Path(program).name} cannot speak {language!r}: {error}") from error


def _levelled(ulaw: bytes) -> bytes:
    """Returns the speech adjusted to the common level."""
    pcm = np.frombuffer(g711.decode(ulaw), "<i2").astype(np.float64)
    frames = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    levels = np.sqrt((frames**2).mean(axis=1)) if len(frames) else np.zeros(1)
    loud = levels[levels > levels.max() / 10]
    if not loud.size or levels.max() == 0:
        return ulaw
    gain = 32768 * 10 ** (_LEVEL_DBFS / 20) / float(np.sqrt((loud**2).mean()))
    made: bytes = g711.encode(np.clip(np.rint(pcm * gain), -32000, 32000).astype("<i2").tobytes())
    return made
