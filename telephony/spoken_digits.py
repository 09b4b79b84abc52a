"""Finds digits that are spoken as words, in five languages: "four two", "double seven", "vierzig", "dos". Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

__all__ = ["SpokenRun", "digits_of", "spoken_runs"]

_DIGITS: Mapping[str, str] = {
    "en": "zero one two three four five six seven eight nine",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
}
_TENS: Mapping[str, str] = {
    "en": "ten twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "es": "diez veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "fr": "dix vingt trente quarante cinquante soixante",
    "it": "dieci venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
}
_TEENS: Mapping[str, str] = {
    "en": "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen",
    "de": "elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    "es": "once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve",
    "fr": "onze douze treize quatorze quinze seize",
    "it": "undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove",
}
_MORE = {"oh": "0", "o": "0", "zwo": "2", "ein": "1", "una": "1", "une": "1", "nought": "0", "naught": "0"}
_TIMES = {"double": 2, "triple": 3, "treble": 3, "doppel": 2, "doble": 2, "doppio": 2}
_AND = {"and", "und", "y", "e", "et"}
_TOKEN = re.compile(r"[^\W\d_]+|\d+")
_BETWEEN = re.compile(r"[\s.,;:/\-–—]{0,3}")


def _plain(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", word.lower().replace("ß", "ss"))
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _words() -> dict[str, str]:
    words = dict(_MORE)
    for table, first, step in ((_DIGITS, 0, 1), (_TENS, 10, 10), (_TEENS, 11, 1)):
        for line in table.values():
            words.update({_plain(word): str(first + step * n) for n, word in enumerate(line.split())})
    units, tens = [_plain(w) for w in _DIGITS["de"].split()], [_plain(w) for w in _TENS["de"].split()]
    words.update({f"{'ein' if u == 'eins' else u}und{t}": f"{(n + 2) * 10 + m}" for n, t in enumerate(tens[1:])
                  for m, u in enumerate(units) if m})  # fmt: skip
    return words


_VALUES = _words()
_LONG_TENS = {_plain(word) for line in _TENS.values() for word in line.split()[1:]}


@dataclass(frozen=True, slots=True)
class SpokenRun:
    """A series of digits that follow each other in a text. `digits` has the digits, such as `42`. `spans` has the place
    of each digit in the text, as (start, end).
    """

    digits: str
    spans: tuple[tuple[int, int], ...]


def spoken_runs(text: str) -> Iterator[SpokenRun]:
    """Yields each series of digits in a text in which at least one digit is written as a word."""
    digits, spans, end, has_word = "", list[tuple[int, int]](), 0, False
    times, ten_at, pending = 1, -1, 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        word = _plain(token)
        value = token if token.isdigit() else _VALUES.get(word)
        gap = _BETWEEN.fullmatch(text, end, found.start()) is not None
        if digits and not gap:
            yield from _run(digits, spans, has_word)
            digits, spans, has_word, times, ten_at = "", [], False, 1, -1
        if value is None:
            if word in _TIMES:
                times, end, pending = _TIMES[word], found.end(), found.start()
                continue
            if digits and word in _AND and ten_at >= 0:
                end = found.end()
                continue
            yield from _run(digits, spans, has_word)
            digits, spans, has_word, times, ten_at = "", [], False, 1, -1
            continue
        start = pending if times > 1 else found.start()
        if ten_at >= 0 and len(value) == 1 and value != "0" and times == 1:  # "forty two"
            digits = digits[:-1] + value
            spans[-2:] = [(spans[-2][0], found.end())] * 2
            ten_at = -1
        else:
            digits += value * times
            spans += [(start, found.end())] * (len(value) * times)
            ten_at = len(digits) if word in _LONG_TENS else -1
        has_word = has_word or not token.isdigit()
        times, end = 1, found.end()
    yield from _run(digits, spans, has_word)


def _run(digits: str, spans: list[tuple[int, int]], has_word: bool) -> Iterator[SpokenRun]:
    if digits and has_word:
        yield SpokenRun(digits, tuple(spans))


def digits_of(text: str) -> str:
    """Returns all digits in a text, written or spoken, in order."""
    spoken = {span: run for run in spoken_runs(text) for span in run.spans[:1]}
    found, skip = "", 0
    for token in _TOKEN.finditer(text):
        if token.start() < skip:
            continue
        run = next((run for (start, _), run in spoken.items() if start == token.start()), None)
        if run is not None:
            found, skip = found + run.digits, run.spans[-1][1]
        elif token[0].isdigit():
            found += token[0]
    return found
