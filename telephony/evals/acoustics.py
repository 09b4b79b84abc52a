"""The acoustic surroundings of a caller: noise, level, and the echo of a speakerphone. A frame is 20 ms of mu-law
audio. Pure.

All noise is generated, so no recording and no licence is needed. The same seed gives the same samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711

from .persona import LineProfile, NoiseKind

__all__ = ["Acoustics", "noise"]

_RATE = 8000
_LOOP_S = 8
_FRAME = 160
_ECHO_GAIN = 10 ** (-46 / 20)
_ECHO_FRAMES = 3
_FULL = 32768.0


class Acoustics:
    """The acoustic surroundings of a simulated caller, which are added to the caller's voice frame by frame: level,
    noise, and the echo of the loudspeaker.
    """

    def __init__(self, line: LineProfile, seed: int) -> None:
        self._gain = 10 ** (line.level_db / 20)
        self._noise = None if line.noise is NoiseKind.NONE else noise(line.noise, line.noise_dbfs, seed)
        self._echo: list[NDArray[np.float64]] | None = [] if line.speakerphone else None
        self._at = 0
        self._changes = self._noise is not None or self._echo is not None or line.level_db != 0

    def microphone(self, voice: bytes) -> bytes:
        """Returns the frame (mu-law) that the caller's phone sends while the caller says the frame `voice`: the voice
        with noise and echo.
        """
        if not self._changes:
            return voice
        pcm = np.frombuffer(g711.decode(voice), "<i2") * self._gain
        if self._noise is not None:
            pcm = pcm + np.take(self._noise, np.arange(self._at, self._at + len(pcm)), mode="wrap")
            self._at += len(pcm)
        if self._echo is not None and len(self._echo) > _ECHO_FRAMES:
            pcm = pcm + self._echo.pop(0)[: len(pcm)]
        return g711.encode(np.clip(np.rint(pcm), -32768, 32767).astype("<i2").tobytes())

    def loudspeaker(self, frame: bytes) -> None:
        """Takes a mu-law frame that the caller's phone plays. With a speakerphone, an echo of the frame is added to
        later results of `microphone`. Must be called with each such frame.
        """
        if self._echo is not None:
            self._echo.append(np.frombuffer(g711.decode(frame), "<i2") * _ECHO_GAIN)


def noise(kind: NoiseKind, dbfs: float, seed: int, seconds: float = _LOOP_S) -> NDArray[np.float64]:
    """Returns noise of a kind at 8 kHz. `dbfs` is the level (RMS in decibels relative to full scale), and `seconds` is
    the length. The same `seed` gives the same noise.
    """
    random = np.random.default_rng(seed)
    n = round(seconds * _RATE)
    samples = np.zeros(n) if kind is NoiseKind.NONE else _MADE[kind](n, random)
    level = float(np.sqrt((samples**2).mean()))
    scaled: NDArray[np.float64] = samples * (_FULL * 10 ** (dbfs / 20) / level if level else 0.0)
    return scaled


def _white(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    return random.standard_normal(n)


def _shaped(n: int, random: np.random.Generator, slope: float) -> NDArray[np.float64]:
    """Returns noise whose power decreases with the frequency. Slope 1 gives pink noise, slope 2 gives brown noise."""
    spectrum = np.fft.rfft(random.standard_normal(n))
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / _RATE), 20.0)
    shaped: NDArray[np.float64] = np.fft.irfft(spectrum * frequencies ** (-slope / 2), n)
    shaped /= np.abs(shaped).max()
    return shaped


def _street(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Returns street noise: a low rumble with passing cars."""
    t = np.arange(n) / _RATE
    made = _shaped(n, random, 1.6)
    hiss = _shaped(n, random, 0.8)
    for _ in range(max(1, round(n / _RATE / 4))):
        middle, width = random.uniform(0, n / _RATE), random.uniform(0.6, 1.5)
        made = made + 2.0 * hiss * np.exp(-(((t - middle) / width) ** 2))
    return made


def _babble(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Returns babble: six distant voices, made of harmonics with moving formants in the rhythm of syllables."""
    t = np.arange(n) / _RATE
    made = np.zeros(n)
    for _ in range(6):
        pitch = random.uniform(95, 220) * (1 + 0.05 * np.sin(2 * np.pi * random.uniform(0.3, 1) * t))
        phase = 2 * np.pi * np.cumsum(pitch) / _RATE
        syllables = np.clip(np.sin(2 * np.pi * random.uniform(3, 5) * t + random.uniform(0, 6)), 0, 1)
        syllables *= np.sin(2 * np.pi * random.uniform(0.2, 0.5) * t + random.uniform(0, 6)) > -0.4
        formant = 500 + 300 * np.sin(2 * np.pi * random.uniform(1, 3) * t)
        harmonics = sum(np.sin(k * phase) * np.exp(-(((k * pitch - formant) / 350) ** 2)) for k in range(1, 12))
        made += syllables * harmonics
    return made


def _music(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Returns music: chords of three tones that change every half second, with a beat."""
    t = np.arange(n) / _RATE
    made = np.zeros(n)
    length = _RATE // 2
    for at in range(0, n, length):
        part = t[at : at + length]
        root = 220.0 * 2 ** (int(random.choice([0, 2, 4, 5, 7, 9])) / 12)
        fade = np.exp(-3 * (part - part[0]))
        for interval in (0, 4, 7):
            tone = root * 2 ** (interval / 12)
            made[at : at + length] += fade * (np.sin(2 * np.pi * tone * part) + 0.4 * np.sin(4 * np.pi * tone * part))
        made[at : at + 200] += 0.8 * random.standard_normal(min(200, n - at))
    return made


_MADE = {
    NoiseKind.WHITE: _white,
    NoiseKind.STREET: _street,
    NoiseKind.BABBLE: _babble,
    NoiseKind.MUSIC: _music,
}
