"""Finds the phone numbers in the lines of a do-not-call list, in the notations that people and programs write. Pure.

If a part of a line may be a number, it counts as a number: a number that is not called by mistake does less harm than a
call to a person who asked for no calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import phonenumbers

__all__ = ["forms_of", "numbers_of", "written_forms"]

_E164 = re.compile(r"\+\d{7,15}(?!\S)")
_AS_WRITTEN = re.compile(r"\s*(?:[a-z]+:|[\"'])?\s*([\d\s().\-/]+(?:(?<=[\d\-])[A-Z]{3,}[A-Z\d\-]*)?)", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"\+[\d\s().\-/]+")
_ANYWHERE = re.compile(r"\d(?:[\s().\-/·]*\d)+")
_FRACTION = re.compile(r"(?<=\d{7})\.0+(?!\S)")
"""Matches the fraction in `4930123456.0`, which spreadsheets write."""
_BETWEEN = re.compile(r"\s*(?:[,;|&{}\[\]\"\t]|\b(?:or|and|oder|und)\b)")
_SHORTEST_DIGITS = 7
_LONGEST_DIGITS = 15
_PREFIXES = ("0", "1", "8")
"""The digits with which the prefixes of numbers within a country begin."""
_FROM_AMERICA = re.compile(r"0?11(?=\d{10})")
"""Matches the digits that are dialled before the country code in the United States and Canada."""


def forms_of(number: str) -> tuple[str, ...]:
    """Returns the digits of a number in E.164, and the digits with the prefix that is dialled within its country, such
    as `49030123456` for `+4930123456` or `784951234567` for `+74951234567`. Many lists have these forms.
    """
    digits = number.lstrip("+")
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return (digits,)
    national = _only_digits(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL))
    return digits, f"{parsed.country_code}{national}", f"{parsed.country_code}{national.lstrip('0')}"


def written_forms(digits: str) -> set[str]:
    """Returns the forms of one number, each as digits: as it was written, and in E.164. `digits` begins with the
    country code. The forms differ if the number was written with the prefix that is only dialled within its country,
    such as the first 0 in `49030123456`. Otherwise the set has one element.
    """
    if not any(_is_code(digits[:size]) and digits[size:].startswith(_PREFIXES) for size in (1, 2, 3)):
        return {digits}  # fast, because a list may have very many numbers
    try:
        parsed = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:
        return {digits}
    return {digits, phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)[1:]}


def _is_code(digits: str) -> bool:
    return digits.isdigit() and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def numbers_of(line: str) -> tuple[set[str], list[str]]:
    """Finds the phone numbers in a line of a do-not-call file. Returns (the numbers with a country code, the numbers
    without a country code). Each number is given by its digits.
    """
    found: set[str] = set()
    if (exact := _E164.match(line)) is not None:
        found |= written_forms(exact[0][1:])
        line = line[exact.end() :]
        if "+" not in line and not _BETWEEN.match(line):
            return found, []
    line = _FRACTION.sub("", line.replace("(0)", ""))  # dialled within the country only
    for written in _INTERNATIONAL.findall(line):
        for part in {written, written.rpartition("/")[0]}:  # `+4930123456/57` are two numbers
            if len(digits := _only_digits(part)) >= _SHORTEST_DIGITS:
                found |= written_forms(digits)
    # A number without a country code, which may begin with the 0 of national numbers.
    rest = _INTERNATIONAL.sub(" ", line)
    parts = [_digits(part) for part in _BETWEEN.split(rest)]
    if not any(len(digits) >= _SHORTEST_DIGITS for digits in parts) and not found:
        parts = [_only_digits(each) for each in _ANYWHERE.findall(rest)]
    if any(len(digits) > _LONGEST_DIGITS for digits in parts):  # several numbers with blanks between them
        parts += _runs([_only_digits(each) for each in rest.split()])
    endings = {digits.lstrip("0") for digits in parts}
    endings |= {_FROM_AMERICA.sub("", digits, count=1) for digits in endings}
    return found, [digits for digits in endings if len(digits) >= _SHORTEST_DIGITS]


def _runs(pieces: Sequence[str]) -> Iterator[str]:
    """Yields the digits of all neighbouring pieces that can be one number."""
    for start in range(len(pieces)):
        run = ""
        for piece in pieces[start:]:
            run += piece
            if len(run) > _LONGEST_DIGITS:
                break
            yield run


def _digits(written: str) -> str:
    """Returns the digits of the number at the start of the text. Letters, as in 1-800-FLOWERS, are converted to
    digits.
    """
    found = _AS_WRITTEN.match(written)
    return "" if found is None else _only_digits(phonenumbers.convert_alpha_characters_in_number(found[1]))


def _only_digits(written: str) -> str:
    return re.sub(r"\D", "", written)
