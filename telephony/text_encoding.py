"""Detects the encoding of a text file by its byte order mark, and makes control characters visible. Pure."""

from __future__ import annotations

import codecs
import re

__all__ = ["encoding_of", "visible"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Matches control characters, line and paragraph separators, marks of writing direction, and lone surrogates."""


def encoding_of(first: bytes) -> str:
    """Returns the name of the encoding of a file that begins with these bytes (four or more, or the whole file).

    Without a byte order mark the result is UTF-8. https://www.unicode.org/faq/utf_bom.html#bom1
    """
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"


def visible(text: str) -> str:
    r"""Returns the text as one line, with control characters as escapes (`\n`, `\x1b`)."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
