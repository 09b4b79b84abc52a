"""Replaces number words in a text by digits, in German, Spanish, French and Italian. Pure.

`text2num` knows the number words of these languages: "millenovecentoottantaquattro", "quatre-vingt-dix", "dritter".
English numbers are read by `spoken_digits`, which also knows "double seven" and "oh".
"""

from __future__ import annotations

import re

__all__ = ["in_figures", "knows", "ungrouped"]

_LANGUAGES = ("de", "es", "fr", "it")
_ORDINAL_MARK = re.compile(r"(?<=\d)(?:º|ª|°|er|ère|ème|e)\b|(?<=\d)[ºª°]")
_GROUPS = re.compile(r"(?<=\d)[.\s\u00a0\u202f'](?=\d{3}(?!\d))")


def knows(language: str) -> bool:
    """Returns whether the words for numbers of this language (`de`, `fr-CA`) are known in this module."""
    return language[:2].lower() in _LANGUAGES


def in_figures(text: str, language: str) -> str:
    """Returns the text with digits in place of number words. Ordinal numbers also become plain digits: `le premier mai`
    becomes `le 1 mai`. A German ordinal number keeps its point: `3. März`.
    """
    from text_to_num import alpha2digit

    return _ORDINAL_MARK.sub("", alpha2digit(text, language[:2].lower(), 0))


def ungrouped(text: str) -> str:
    """Returns the text with its numbers in the usual form of programs: without marks between thousands, and with a
    decimal point. `1.200,50` becomes `1200.50`.
    """
    return re.sub(r"(?<=\d),(?=\d{1,2}(?!\d))", ".", _GROUPS.sub("", text))
