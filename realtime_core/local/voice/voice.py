"""The voice of the embedded server: finds, composes or synthesises the speech for a text."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ...errors import ScriptError
from .compose import compose, words_of
from .speech import RATE_HZ, Speech
from .synthesis import find_synthesiser, synthesise
from .wav import read_wav, resample

__all__ = ["Voice"]

_MAX_CACHED = 256


class Voice:
    """Converts text to speech for the embedded server.

    The voice uses the first available source: the clip that is given by name or path, a stored text with the same
    words, a text that was synthesised before, or words composed from stored words. With `synthesise=True` and flite or
    espeak-ng on PATH, `speech` returns None for a text that must be synthesised first. `prepare` must then be called in
    a thread, and `speech` must be called again.
    """

    def __init__(self, *, synthesise: bool = False) -> None:
        self._program = find_synthesiser() if synthesise else None
        self._made: OrderedDict[tuple[str, str | None], Speech] = OrderedDict()

    def speech(self, text: str, clip: str | None = None) -> Speech | None:
        """Returns the text as speech, or None if `prepare` must be called first. If `clip` is given, returns the stored
        clip with this name or path in place of speech for `text`. Raises `ScriptError` for a missing clip.
        """
        key = (text, clip)
        speech = self._made.get(key)
        if speech is not None:
            self._made.move_to_end(key)
            return speech
        pcm = _clip(clip) if clip else _stored_line(_spoken_key(text))
        if pcm is None:
            if self._program is not None:
                return None
            pcm = compose(text, _phrases())
        return self._keep(key, pcm)

    def prepare(self, text: str) -> None:
        """Synthesises the speech for a text, so that `speech` returns it afterwards. If no synthesiser is installed or
        the synthesiser fails, composes the speech from stored words. The method blocks.
        """
        pcm = synthesise(self._program, text) if self._program else b""
        self._keep((text, None), pcm or compose(text, _phrases()))

    def _keep(self, key: tuple[str, str | None], pcm: bytes) -> Speech:
        speech = self._made[key] = Speech(key[0], pcm)
        if len(self._made) > _MAX_CACHED:
            self._made.popitem(last=False)
        return speech


def _spoken_key(text: str) -> str:
    return " ".join(word for word in words_of(text) if word[0].isalnum())


@cache
def _index() -> dict[str, Any]:
    """Reads `index.json`: "lines" (clip name -> text) and "words" (phrase -> first sample and length in words.wav)."""
    index: dict[str, Any] = json.loads(_data("index.json"))
    return index


def _data(name: str) -> bytes:
    return files(__package__).joinpath("data", name).read_bytes()


@cache
def _line_names() -> dict[str, str]:
    return {_spoken_key(text): name for name, text in _index()["lines"].items()}


def _stored_line(spoken: str) -> bytes | None:
    name = _line_names().get(spoken)
    return None if name is None else _clip(name)


@cache
def _phrases() -> dict[str, bytes]:
    pcm, rate_hz = read_wav(_data("words.wav"))
    cut = {phrase: pcm[2 * at : 2 * (at + n)] for phrase, (at, n) in _index()["words"].items()}
    return {phrase: resample(audio, rate_hz, RATE_HZ) for phrase, audio in cut.items()}


@cache
def _clip(name: str) -> bytes:
    """Returns the audio of a stored text by its name, or of a WAV file by its path."""
    try:
        data = _data(f"{name}.wav") if name in _index()["lines"] else Path(name).read_bytes()
        pcm, rate_hz = read_wav(data)
    except (OSError, ValueError) as error:
        raise ScriptError(
            f"The clip {name!r} cannot be read ({error}). Name a WAV file, or one of: {', '.join(_index()['lines'])}."
        ) from error
    return resample(pcm, rate_hz, RATE_HZ)
