"""Finds the value of a tool's parameter in the words of a caller, such as a day or a number of people, by the name and
the description of the parameter. Also recognises words such as yes, no and goodbye. Used in evals by the parts that
replace AI models by fixed rules. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["BACKCHANNELS", "is_backchannel", "is_goodbye", "is_no", "is_yes", "kind_of", "value_of", "words_of"]

BACKCHANNELS = frozenset(
    {"mhm", "mm", "hm", "hmm", "uh", "huh", "aha", "ah", "um", "okay", "ok", "right", "yeah", "yes"}
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "today", "tomorrow", "tonight")
_NUMBERS = {
    name: n
    for n, name in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
        ]
    )
}
_HINTS = {
    "day": ("day", "date", "weekday"),
    "time": ("time", "hour", "clock", "when"),
    "count": (
        "people",
        "persons",
        "person",
        "guests",
        "party",
        "seats",
        "many",
        "count",
        "number",
        "quantity",
        "amount",
    ),
    "name": ("name", "surname", "caller"),
}
_NAME = re.compile(r"\b(?:name is|this is|name's|under the name of|i am) ([^\W\d_]+)", re.I)
_TIME = re.compile(r"\b(?:at|around|by|time is) ([a-z]+|\d{1,2})(?::(\d\d))?(?: o'clock)?(?: ?([ap])\.?m\b)?", re.I)
_YES = re.compile(r"\b(yes|right|correct|exactly|sure|fine|please do|yeah)\b", re.I)
_NO = re.compile(r"\b(no|not|wrong|don't)\b", re.I)
_BYE = re.compile(r"\b(goodbye|bye|good night)\b", re.I)


def words_of(text: str) -> list[str]:
    """Returns the words of a text in lower case, without a plural s."""
    return [word[:-1] if len(word) > 3 and word.endswith("s") else word for word in _WORD.findall(text.lower())]


def is_backchannel(text: str) -> bool:
    """Returns whether a text has at most three words, and only words such as "mhm", "okay" or "yes"."""
    words = _WORD.findall(text.lower())
    return 0 < len(words) <= 3 and all(word in BACKCHANNELS for word in words)


def is_yes(text: str) -> bool:
    return bool(_YES.search(text)) and not _NO.search(text)


def is_no(text: str) -> bool:
    return bool(_NO.search(text))


def is_goodbye(text: str) -> bool:
    return bool(_BYE.search(text))


def kind_of(name: str, description: str = "") -> str:
    """Returns the kind of value of a parameter, such as a date, from its name and description. The kind is found by the
    words of the name, or by the words of the description. Returns an empty text if no word is known.
    """
    for text in (name.replace("_", " "), description):
        words = set(_WORD.findall(text.lower()))
        for kind, hints in _HINTS.items():
            if words & set(hints):
                return kind
    return ""


def value_of(text: str, name: str, schema: Mapping[str, Any], *, asked: bool) -> Any:
    """Returns the value of the parameter `name` that the text contains, or None. `schema` is the JSON schema of the
    parameter. `asked` is True if the caller was just asked for this parameter.
    """
    if schema.get("enum"):
        said = text.casefold()
        return next((value for value in schema["enum"] if str(value).casefold() in said), None)
    match kind_of(name, str(schema.get("description") or "")):
        case "day":
            return next((word.capitalize() for word in _WORD.findall(text.lower()) if word in _DAYS), None)
        case "time":
            return _time(text, asked=asked)
        case "count":
            return _count(text)
        case "name":
            found = _NAME.search(text)
            return found[1].capitalize() if found else _last_word(text) if asked else None
    if not asked:
        return None
    return _count(text) if schema.get("type") in ("integer", "number") else text.strip(" .!?") or None


def _count(text: str) -> int | None:
    """Returns the first number in the text that is not a time."""
    rest = _TIME.sub(" ", text)
    return next((n for word in _WORD.findall(rest.lower()) if (n := _number(word)) is not None), None)


def _time(text: str, *, asked: bool) -> str | None:
    found = _TIME.search(text)
    words = [found[1]] if found else _WORD.findall(text) if asked else []
    hour = next((n for word in words if (n := _number(word.lower())) is not None), None)
    if hour is None:
        return None
    afternoon = found is not None and (found[3] or "").lower() == "p"
    if hour < 12 and (afternoon or (hour < 9 and not (found and found[3]))):
        hour += 12
    return f"{hour % 24:02d}:{(found and found[2]) or '00'}"


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() and len(word) < 4 else _NUMBERS.get(word)


def _last_word(text: str) -> str | None:
    words = _WORD.findall(text)
    return words[-1].capitalize() if words else None
