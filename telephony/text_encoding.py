"""Detects the encoding of a text file by its byte order mark. Pure."""

from __future__ import annotations

import codecs

__all__ = ["encoding_of"]


def encoding_of(first: bytes) -> str:
    """Returns the name of the encoding of a file that begins with these bytes (four or more, or the whole file).

    Without a byte order mark the result is UTF-8. https://www.unicode.org/faq/utf_bom.html#bom1
    """
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    return "utf-16" if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
