"""Normalizes phone numbers in the usual notations, and refuses other texts with advice. Pure.

A number without its extension reaches another party. For example, `+14155550123 ext. 42` is not the same party as
`+14155550123`.
"""

from __future__ import annotations

import re
import sys
import unicodedata

__all__ = ["dialled", "e164", "legible", "plain", "split_extension", "text_of", "tidy"]

_SIP = re.compile(r"sips?:[^\s]+")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z+.-]*):")
_EXTENSION = re.compile(
    r"(?:;\s*ext\s*=|;\s*isub\s*=|;\s*postd\s*=|extension|ext\b\.?|durchwahl|poste|anexo|(?<![A-Za-z])x(?![A-Za-z])|[#~*pPwW]|[,;]+)"
    r"\s*[:.]?\s*(\d{1,7})\s*#?\)?$",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"[,;|&/\n\r]|\s(?:or|and|oder|und|ou|o|y)\s|(?<=\d)\s*\+", re.IGNORECASE)
_WHOLE_DIGITS = 6
_PLAIN = re.compile(r"\+?[\d().\- ]*\d[\d().\- ]*")
_AREA_SLASH = re.compile(r"(\+?[\d() ]{2,9})/([\d \-]{5,})")
"""Matches a number such as `030/1234567`, as written in Germany, with the area code before the slash."""
_E164 = re.compile(r"\+[1-9][0-9]{5,14}")
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")


def text_of(number: object) -> str:
    """Returns the text of a phone number, which users' code may give as another type. A number of the library
    `phonenumbers` becomes E.164, with its extension.

    Raises:
        ValueError: the value is neither a text nor such a number. A number of another type, such as an integer, has
            lost its `+` or its first zeros.
    """
    if isinstance(number, str):
        return number
    library = sys.modules.get("phonenumbers")  # without the module, there is no such number
    if library is not None and isinstance(number, library.PhoneNumber):
        written = str(library.format_number(number, library.PhoneNumberFormat.E164))
        return f"{written};ext={number.extension}" if number.extension else written
    if number is None:
        raise ValueError("no number is given: write one like +14155550123")
    raise ValueError(f"a phone number is a text, not {type(number).__name__}: write it like '+14155550123'")


def tidy(text: str) -> str:
    """Returns the text of a phone number without surrounding blanks and line breaks, and without zero-width characters
    (from a copied page).
    """
    return text.strip() if text.isascii() else "".join(c for c in text if unicodedata.category(c) != "Cf").strip()


def legible(text: object) -> str:
    """Returns the text of a phone number with ASCII characters in place of digits, dashes and signs of other scripts
    and fonts. Surrounding blanks and zero-width characters are removed (`tidy`). Raises `ValueError` if the value is
    neither a text nor a number of the library `phonenumbers`.
    """
    text = tidy(text_of(text))
    if text.isascii():
        return text
    plain_signs = unicodedata.normalize("NFKC", text).translate(_DASHES)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in plain_signs)


def plain(text: object) -> str:
    """Returns the digits of the phone number in the text, with the `+` if the number has one.

    Raises:
        ValueError: the text contains more than a number, or no number. The message says what to do.
    """
    text = legible(text)
    if not text:
        raise ValueError("no number is given: write one like +14155550123")
    if not any(map(str.isdigit, text)):
        raise ValueError("this is not a phone number: write it like +14155550123")
    if (scheme := _SCHEME.match(text)) is not None:
        raise ValueError(f"this is a {scheme[1].lower()}: address: write the phone number alone, like +14155550123")
    if (slashed := _AREA_SLASH.fullmatch(text)) is not None:
        text = slashed[1] + slashed[2]
    parts = [part for part in _SEVERAL.split(text) if sum(map(str.isdigit, part)) >= _WHOLE_DIGITS]
    if len(parts) > 1 or text.count("+") > 1:
        raise ValueError("these are several numbers: write one")
    if (extension := _EXTENSION.search(text)) is not None and any(map(str.isdigit, text[: extension.start()])):
        raise ValueError(
            f"the extension {extension[1]} cannot be dialled with the number: leave it out, and press its keys "
            f"after the answer (the tool `send_digits`, or `await call.send_digits({extension[1]!r})`)"
        )
    if re.search(r"[^\W\d_]", text):
        raise ValueError("it contains letters: write only digits, like +14155550123")
    if text.startswith("+"):
        text = text.replace("(0)", "", 1)  # dialled within the country only
    if not _PLAIN.fullmatch(text):
        raise ValueError("this is not a phone number: write it like +14155550123")
    return ("+" if text.startswith("+") else "") + re.sub(r"\D", "", text)


def split_extension(text: object) -> tuple[str, str]:
    """Splits the text of a phone number in any usual notation. Returns the number and the digits of its extension. The
    digits are empty if there is no extension.

    Raises:
        ValueError: the value is not a text, or the number has a subaddress, which cannot be pressed as keys.
    """
    text = legible(text)
    found = _EXTENSION.search(text)
    if found is None or not any(map(str.isdigit, text[: found.start()])):
        return text, ""
    if "isub" in found[0].lower():
        raise ValueError("the ISDN subaddress cannot be dialled: leave it out")
    return text[: found.start()].rstrip(" ,;("), found[1]


def e164(text: object) -> str:
    """Returns the phone number in the text in E.164, such as `+14155550100`. Raises `ValueError` if the text has no
    number, several numbers, an extension or letters, or if the number has no country code.
    """
    number = plain(text)
    if not _E164.fullmatch(number):
        raise ValueError("write the number in E.164, like +14155550100")
    return number


def dialled(target: object) -> str:
    """Returns the destination of a call that users' code gives, in the form that Twilio dials: a phone number in E.164,
    or a `sip:` address. Raises `ValueError` if the text is neither, for example a number without a country code.
    """
    address = tidy(text_of(target))
    return address if _SIP.fullmatch(address) else e164(address)
