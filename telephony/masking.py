"""Masks secrets, typed phone keys, phone numbers, and texts that users' patterns match. Pure.

Logs, journals and call records all mask with the functions of this module. Audio is masked in `journal.redaction`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Self
from urllib.parse import urlsplit

from .errors import SettingsError
from .spoken_digits import spoken_runs

__all__ = [
    "BULLET", "PRESSED", "TYPED", "Masker", "Patterns", "bullets", "change_strings", "is_text_delta",
    "mask_all_digits", "mask_key_characters", "mask_keys", "mask_number", "mask_numbers", "mask_spelled", "mask_spoken",
    "secrets_in",
]  # fmt: skip

BULLET = "•"
PRESSED, TYPED = "The caller pressed ", "The caller typed: "
"""The beginnings of the texts in which the model receives keys."""
MIN_SECRET = 6
"""The minimum length, in characters, of a secret that `Masker` masks. A shorter value could be part of ordinary text.
"""

_KEYS = re.compile(rf'({PRESSED}|"digit" ?: ?")[0-9A-D]+|({TYPED})[0-9A-D*#]+')
"""Matches typed keys. A single * or # is not matched: this key only ends an input, and a replay needs the key."""
_KEY_CHARACTER = re.compile(r"[0-9*#]")
_NUMBER = re.compile(r"(?<![A-Za-z0-9])\+?\d[\d -]{5,}\d")
"""Matches a phone number. The digits of a SID, such as `CA12345678ab`, are not matched."""
_TEXT_DELTA = re.compile(r'"type": ?"[a-z_.]*(?:transcript|transcription|text|arguments)\.delta"')
_SEPARATORS = r"[\s.,-]{0,2}"
_SPELLED_CHARACTER = re.compile(r"[^\s.,-]")
_FORMS = (
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), BULLET),
    (re.compile(r"(?i)\b(bearer|basic) [A-Za-z0-9+/=._~-]{8,}"), rf"\1 {BULLET}"),
    (re.compile(r"(?i)(\bdigits?\b[\"']?\s*[:=]\s*[\"']?)[0-9*#A-D]+"), rf"\1{BULLET}"),
    (re.compile(rf"({PRESSED})[0-9*#A-D]+"), rf"\1{BULLET}"),
    (re.compile(r"(?<![+\w])(?:[0-9][ -]?){12,18}[0-9]\b"), BULLET),
)
"""Matches credentials, pressed keys, and digits that look like the number of a payment card."""


_CARD = re.compile(r"\d{13,19}")
_NAMED = {"card": r"\b(?:\d[ -]?){12,18}\d\b"}
"""The patterns that settings can name in place of a regular expression, by name."""


def bullets(text: str) -> str:
    """Returns a bullet for each character of the text."""
    return BULLET * len(text)


# --- keys and numbers ------------------------------------------------------------------------------------------------


def mask_keys(text: str) -> str:
    """Returns the text with bullets in place of the keys that a caller pressed. Finds keys only in DTMF messages of
    Twilio, and in the sentences with which this package reports keys to the model.
    """
    if "The caller " in text or '"dtmf"' in text:
        return _KEYS.sub(_keys_masked, text)
    return text


def _keys_masked(match: re.Match[str]) -> str:
    prefix = match[1] or match[2]
    return prefix + bullets(match[0][len(prefix) :])


def mask_key_characters(text: str) -> str:
    """Returns the text with a bullet in place of each digit, star and hash."""
    return _KEY_CHARACTER.sub(BULLET, text)


def mask_all_digits(text: str) -> str:
    """Returns the text with a bullet in place of each digit, in any script."""
    return re.sub(r"\d", BULLET, text)


def mask_spelled(secret: str) -> Callable[[str], str]:
    """Returns a function that masks this secret in a text. The function also masks the secret if its characters stand
    apart ("4 7-1, 1").
    """
    pattern = re.compile(_SEPARATORS.join(map(re.escape, secret)))
    return lambda text: pattern.sub(lambda match: _SPELLED_CHARACTER.sub(BULLET, match[0]), text)


def mask_spoken(text: str, find: Callable[[str], Iterable[Any]]) -> str:
    """Returns the text with bullets in place of digits that are written as words ("four two"). `find` gets the digits
    of each series of such words as text ("42"), and returns the regular expression matches that must be masked.
    """
    hidden = set[tuple[int, int]]()
    for run in spoken_runs(text):
        for match in find(run.digits):
            hidden.update(run.spans[match.start() : match.end()])
    for start, end in sorted(hidden, reverse=True):
        text = text[:start] + re.sub(r"\S", BULLET, text[start:end]) + text[end:]
    return text


def mask_number(number: str) -> str:
    """Returns a masked phone number. The first digits (about the country code) and the last two digits stay visible. Of
    a `sip:` address only the scheme stays visible.
    """
    if number.startswith("+") and len(number) > 6:
        return f"{number[:3]}{bullets(number[3:-2])}{number[-2:]}"
    scheme, colon, _ = number.partition(":")
    return f"{scheme}:{BULLET}" if colon else BULLET if number else ""


def mask_numbers(text: str) -> str:
    """Returns the text with one bullet in place of each phone number."""
    return _NUMBER.sub(BULLET, text)


# --- messages --------------------------------------------------------------------------------------------------------


def is_text_delta(text: str) -> bool:
    """Returns whether this JSON text is a message with one piece of a longer text: of a transcript, of an answer, or of
    the arguments of a tool. A secret may be split over several pieces.
    """
    return _TEXT_DELTA.search(text, 0, 200) is not None


def change_strings(value: Any, change: Callable[[str], str], *, keep: Callable[[str], bool], depth: int = 1000) -> Any:
    """Returns a copy of a JSON value in which each string was replaced by the result of `change`. The strings under a
    key for which `keep` returns True are not replaced.

    An object or array that is nested deeper than `depth` becomes "...".
    """

    def walk(value: Any, depth: int, kept: bool) -> Any:
        match value:
            case str():
                return value if kept else change(value)
            case dict() | list() | tuple() if depth < 0:
                return "..."
            case dict():
                return {name: walk(each, depth - 1, keep(str(name))) for name, each in value.items()}
            case list() | tuple():
                return [walk(each, depth - 1, kept) for each in value]
        return value

    return walk(value, depth, False)


# --- secrets and patterns --------------------------------------------------------------------------------------------


def secrets_in(settings: Iterable[tuple[str, Any]]) -> list[str]:
    """Returns the values of the pydantic secrets among the fields of a settings object."""
    return [value.get_secret_value() for _, value in settings if hasattr(value, "get_secret_value")]


class Masker:
    """Masks the given secrets in a text, and everything that looks like a credential, a typed phone key or a card
    number.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted((s for s in secrets if len(s) >= MIN_SECRET), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    @classmethod
    def of(cls, settings: Iterable[tuple[str, Any]]) -> Self:
        """Returns a masker for all secrets in the settings, and for the password in each secret that is a URL."""
        secrets = secrets_in(settings)
        return cls([*secrets, *filter(None, (urlsplit(secret).password for secret in secrets if "://" in secret))])

    def __call__(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(BULLET, text)
        for pattern, mask in _FORMS:
            text = pattern.sub(mask, text)
        return mask_spoken(text, _CARD.finditer)


class Patterns:
    """The users' regular expressions for text that must be masked. RE2 matches these expressions, so the time of a
    match grows only in proportion to the length of the text.

    Python's `re` is not used, because on some texts a match of `(a+)+$` would take years, hold the GIL, and stop every
    call. RE2 has no look-around and no back-references (https://github.com/google/re2/wiki/Syntax). In RE2, `\\d`,
    `\\w`, `\\s` and `\\b` know only ASCII. Unicode classes replace the first three. In a text with other letters, `\\b`
    and `\\B` match everywhere, and every match is masked, also one that overlaps another. So such a text may be masked
    too much, and never too little.

    A pattern also matches digits that are spoken as words ("four two four two"), in five languages. The name `card` is
    a pattern for the numbers of payment cards.

    Raises `SettingsError` for a pattern that RE2 does not take.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        written = [_NAMED.get(each, each) for each in patterns]
        self._patterns = [(_compiled(each), _compiled(each, boundaries=False)) for each in written]
        """For each pattern: as written, and for texts in which `\\b` and `\\B` match everywhere."""

    def __len__(self) -> int:
        return len(self._patterns)

    def mask(self, text: str) -> str:
        """Returns the text with a bullet in place of each character that a pattern matches. The patterns are applied
        one after the other.
        """
        text = _without_surrogates(text)
        exact = text.isascii() or not any(c.isalnum() and not c.isascii() for c in text)
        for pattern, loose in self._patterns:
            is_exact = exact or loose.pattern == pattern.pattern
            text = pattern.sub(lambda match: bullets(match[0]), text) if is_exact else _mask_all(loose, text)
            text = mask_spoken(text, pattern.finditer)
        return text


def _mask_all(pattern: Any, text: str) -> str:
    """Returns the text with a bullet in place of each character of each match, also of a match that overlaps another.
    If there are many matches, the rest of the text is masked, because each search takes time.
    """
    written: list[str] = []
    end = at = 0
    for _ in range(_MAX_SEARCHES):
        match = pattern.search(text, at)
        if match is None:
            return "".join([*written, text[end:]])
        written += text[end : match.start()], BULLET * (match.end() - max(end, match.start()))
        end, at = max(end, match.end()), match.start() + 1
    return "".join([*written, bullets(text[end:])])


_MAX_SEARCHES = 1000
_PIECE = re.compile(r"\\.|\[\^?\]?|\{,(?=\d+\})|.", re.DOTALL)
_PIECE_OF_CLASS = re.compile(r"\\.|.", re.DOTALL)
_CLASSES = {r"\d": r"\p{Nd}", r"\w": r"\p{L}\p{N}_", r"\s": r"\s\x0b\x1c-\x1f\x{85}\p{Z}"}


def _compiled(pattern: str, *, boundaries: bool = True) -> Any:
    import re2  # only where there are patterns

    options = re2.Options()
    options.log_errors = False
    options.longest_match = not boundaries  # no match with boundaries is longer
    try:
        return re2.compile(_for_re2(pattern, boundaries=boundaries), options)
    except (re2.error, UnicodeEncodeError) as error:
        why = error.args[0].decode(errors="replace") if isinstance(error, re2.error) else "it holds a lone surrogate"
        raise SettingsError(
            [f"The pattern {pattern!r} cannot be used: {why}. Write a regular expression that RE2 takes: one without "
             "look-around and back-references."]
        ) from None  # fmt: skip


def _for_re2(pattern: str, *, boundaries: bool) -> str:
    """Returns the pattern in the syntax of RE2, with the meaning that Python gives it: classes know Unicode, and `\\Z`
    is the end of the text.
    """
    written, opened, at = [], "", 0
    while (found := (_PIECE_OF_CLASS if opened else _PIECE).match(pattern, at)) is not None:
        piece, at = found[0], found.end()
        if opened:
            if piece == "]":
                opened = ""
            elif piece == "[":
                piece = r"\["
            elif piece == r"\W" and opened[1:2] == "^":
                raise SettingsError(
                    [rf"The pattern {pattern!r} cannot be used: \W stands in a negated class. Write [\pL\pN] for "
                     "letters and digits."]
                )  # fmt: skip
            else:
                piece = _CLASSES.get(piece, r"\P{Nd}" if piece == r"\D" else piece)
        elif piece[0] == "[":
            opened = piece
        elif piece == "{,":
            piece = "{0,"
        elif piece == r"\Z":
            piece = r"\z"
        elif piece in (r"\b", r"\B"):
            piece = piece if boundaries else "(?:)"
        elif piece in _CLASSES:
            piece = f"[{_CLASSES[piece]}]"
        elif piece.lower() in _CLASSES:
            piece = f"[^{_CLASSES[piece.lower()]}]"
        written.append(piece)
    return "".join(written)


def _without_surrogates(text: str) -> str:
    """Returns the text with U+FFFD for each lone surrogate, as `journal.encoding.dump` writes it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
