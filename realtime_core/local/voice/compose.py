"""Builds speech for the embedded server from stored words: uses the longest matching stored phrase, and a hum for an
unknown word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import numpy as np

from .speech import RATE_HZ

__all__ = ["compose", "words_of"]

_GAP_MS = {",": 150, ";": 200, ":": 200, ".": 350, "!": 350, "?": 350}
_BETWEEN_WORDS_MS = 40
_SYLLABLE_MS = 170
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[,;:.!?]")
_SMALL = (  # noqa: SIM905
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()  # noqa: SIM905


def words_of(text: str) -> list[str]:
    """Splits a text into words in lower case. Numbers become words. Punctuation marks are separate words."""
    return [word for token in _TOKEN.findall(text.lower().replace("’", "'")) for word in _spoken(token)]


def _spoken(token: str) -> Iterator[str]:
    if not token.isdecimal():
        yield token
    elif len(token) > 6 or (len(token) > 1 and token[0] == "0"):
        for digit in token:
            yield _SMALL[int(digit)]
    else:
        yield from _number(int(token))


def _number(n: int) -> Iterator[str]:
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if n >= size:
            yield from _number(n // size)
            yield name
            n %= size
            if not n:
                return
    if n < 20:
        yield _SMALL[n]
    else:
        yield _TENS[n // 10]
        if n % 10:
            yield _SMALL[n % 10]


def compose(text: str, stored: Mapping[str, bytes]) -> bytes:
    """Returns `text` as speech, put together from stored phrases. `stored` maps each phrase to its 16-bit samples at 24
    kHz. A phrase is one or several words in lower case, without punctuation and with numbers as words. A word that is
    not stored becomes a hum.
    """
    longest = max((phrase.count(" ") + 1 for phrase in stored), default=1)
    words = words_of(text)
    parts: list[bytes] = []
    at = 0
    while at < len(words):
        if words[at] in _GAP_MS:
            parts.append(_silence(_GAP_MS[words[at]]))
            at += 1
            continue
        phrase, used = _longest_match(words, at, stored, longest)
        parts.append(_murmur(words[at]) if phrase is None else stored[phrase])
        parts.append(_silence(_BETWEEN_WORDS_MS))
        at += used
    return b"".join(parts) or _silence(_BETWEEN_WORDS_MS)


def _longest_match(words: list[str], at: int, stored: Mapping[str, bytes], longest: int) -> tuple[str | None, int]:
    """Returns the longest stored phrase from `at` on, without inner punctuation, and its number of words."""
    best: tuple[str | None, int] = (None, 1)
    taken: list[str] = []
    for end in range(at, len(words)):
        if words[end] in _GAP_MS:
            continue
        taken.append(words[end])
        if len(taken) > longest:
            break
        if (phrase := " ".join(taken)) in stored:
            best = (phrase, end + 1 - at)
    return best


def _silence(ms: int) -> bytes:
    return bytes(ms * RATE_HZ // 1000 * 2)


def _murmur(word: str) -> bytes:
    """Returns a soft hum in the rhythm of the word's syllables, used for an unknown word."""
    syllables = max(1, len(re.findall(r"[aeiouyäöüáéíóúàèìòù]+", word)))
    n = _SYLLABLE_MS * RATE_HZ // 1000
    t = np.arange(n) / RATE_HZ
    envelope = np.sin(np.pi * np.arange(n) / n) ** 0.7
    parts = []
    for i in range(syllables):
        pitch = 190.0 - 12.0 * i
        tone = sum(np.sin(2 * np.pi * pitch * k * t) / k**1.6 for k in range(1, 9))
        parts.append(1400.0 * envelope * tone)
    murmur: bytes = np.rint(np.concatenate(parts)).astype("<i2").tobytes()
    return murmur
