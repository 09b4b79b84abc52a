"""Masks secrets, matches of the settings' patterns and, if configured, both voices in journals. Pure.

Lines are changed as JSON text, in the thread that writes journals. Each character of a match is replaced by a bullet,
so the length stays the same. Masked audio is replaced by noise of the same length and with the same level in each
frame, so playback, voice activity and timing stay the same in a replay. Keys are masked earlier, by
`telephony.call.recording.recorder`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime_core.audio import g711

from ..masking import BULLET, Patterns, bullets, change_strings, is_text_delta
from .encoding import dump, parse_object
from .format import object_at

__all__ = ["PLAIN", "Redaction", "masked_pcm16", "masked_ulaw", "redaction"]

_FRAME_S = 0.02
_AUDIO = re.compile(r'("(?:payload|delta)": ?")([A-Za-z0-9+/=]+)"')
_AUDIO_EVENTS = (
    '"kind":"clip"', '"kind":"supervisor"', '"event":"media"', '"event": "media"', '"response.output_audio.delta"',
    '"response.audio.delta"',
)  # fmt: skip
_WITHOUT_WORDS = re.compile(
    r'[^,]+,"kind":"[a-z.]+","message":\{'
    r'"(?:event": ?"(?:media|mark|clear)|type":"(?:input_audio_buffer\.append|response\.output_audio\.delta))"'
)
"""The start of most lines: their messages have audio, a mark or a clear, and no words."""
_NOISE: NDArray[np.float64] = np.random.default_rng(1).standard_normal(48_000)


@dataclass(slots=True)
class Redaction:
    """The settings that decide what is masked in a journal. `digits` masks pressed keys, and `audio` masks the voices
    of both sides. `secrets` are texts that are masked everywhere. `patterns` are regular expressions whose matches are
    masked.

    A transcript arrives in pieces (`delta` events) and then complete. A match of a pattern may be split over several
    pieces. Therefore, with `patterns`, every piece is masked completely, and only the matches are masked in the
    complete text.
    """

    digits: bool = True
    secrets: tuple[str, ...] = ()
    patterns: Patterns = field(default_factory=Patterns)
    audio: bool = False
    _pcmu_out: bool = field(default=False, init=False)

    @property
    def is_plain(self) -> bool:
        """Whether no masking is configured, so `line` returns every line unchanged."""
        return not (self.secrets or self.patterns or self.audio)

    def description(self) -> dict[str, Any]:
        """Returns the description of the masking that the header of the journal contains. The description has no
        secrets and no patterns.
        """
        return {"digits": self.digits, "patterns": len(self.patterns), "audio": self.audio}

    def line(self, text: str) -> str:
        """Masks one line of a journal, which has no line break at its end. The result is valid JSON."""
        if _WITHOUT_WORDS.match(text) or _is_audio(text):
            return _AUDIO.sub(self._masked, text) if self.audio else text
        if self.audio and '"session.updated"' in text[:200]:
            self._pcmu_out = _speaks_pcmu(text)
        for secret in self.secrets:
            text = text.replace(secret, BULLET * 8)
        if self.patterns:
            if is_text_delta(text):
                return _changed(text, lambda value: re.sub(r"\S", BULLET, value), keep=lambda key: key != "delta")
            return _changed(text, self.patterns.mask, keep=_STRUCTURE.__contains__)
        return text

    def _masked(self, match: re.Match[str]) -> str:
        name = match[1]
        try:
            payload = base64.b64decode(match[2])
        except ValueError:  # not audio
            return f'{name}{bullets(match[2])}"'
        ulaw = "payload" in name or self._pcmu_out
        masked = masked_ulaw(payload) if ulaw else masked_pcm16(payload)
        return f'{name}{base64.b64encode(masked).decode()}"'


PLAIN = Redaction(digits=False)
"""A redaction that masks nothing. For tests."""


def redaction(
    *, on: bool = True, secrets: Iterable[str | None] = (), patterns: Iterable[str] = (), audio: bool = False
) -> Redaction:
    """Returns the masking of journals for these settings. `on=False` switches all masking off. `secrets` are values
    that are masked, `patterns` are regular expressions of texts that are masked, and `audio` masks both voices. Raises
    `SettingsError` for a pattern that cannot be used.
    """
    if not on:
        return Redaction(digits=False)
    known = tuple(sorted({s for s in secrets if s and len(s) >= 8}, key=len, reverse=True))
    return Redaction(secrets=known, patterns=Patterns(patterns), audio=audio)


def masked_ulaw(ulaw: bytes) -> bytes:
    """Returns noise of the same length in place of the audio `ulaw`, with the same level in each 20 ms. Silence stays
    silence.
    """
    return g711.encode(masked_pcm16(g711.decode(ulaw), rate=8000))


def masked_pcm16(pcm: bytes, rate: int = 24_000) -> bytes:
    """Returns noise in place of the audio `pcm` (16-bit samples at `rate` Hz), to make the voice unrecognizable. The
    noise has the same length and in each 20 ms the same level, so silence stays silence. Half a sample at the end is
    dropped.
    """
    samples = np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float64)
    frame = round(rate * _FRAME_S)
    masked = np.empty_like(samples)
    for at in range(0, len(samples), frame):
        block = samples[at : at + frame]
        noise = _NOISE[at % 24_000 : at % 24_000 + len(block)]
        level = float(np.sqrt((block**2).mean()))
        masked[at : at + frame] = noise * level / max(1e-9, float(np.sqrt((noise**2).mean())))
    return np.clip(np.rint(masked), -32768, 32767).astype("<i2").tobytes()


def _is_audio(text: str) -> bool:
    head = text[:200]
    return any(event in head for event in _AUDIO_EVENTS)


def _speaks_pcmu(text: str) -> bool:
    form = object_at(parse_object(text), "message", "session", "audio", "output", "format")
    return form.get("type") == "audio/pcmu"


def _changed(text: str, change: Callable[[str], str], *, keep: Callable[[str], bool]) -> str:
    """Returns the line with `change` applied to its strings. All other text stays exactly the same."""
    data = json.loads(text)
    del data["t"]
    changed = change_strings(data, change, keep=keep)
    t = text[: text.index(",")]  # with the six decimals as they were written
    return text if changed == data else f"{t},{dump(changed)[1:]}"


_STRUCTURE = frozenset(
    ("kind", "type", "event", "event_id", "item_id", "response_id", "call_id", "id", "name", "object")
)
"""The keys whose values contain no speech and are needed by a replay."""
