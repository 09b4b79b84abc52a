"""Masks digits in the journal records of a call: digits that the caller typed, and digits that this process sent. Pure.

Some digits are known by their place: in a `dtmf` event, in the message to the model about a key, and in the arguments
of `send_digits`. Other digits are passed to `hide`, and are then replaced everywhere in later records.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ...journal.encoding import MAX_DEPTH, dump, parse_object
from ...masking import (
    BULLET,
    PRESSED,
    TYPED,
    change_strings,
    is_text_delta,
    mask_all_digits,
    mask_key_characters,
    mask_keys,
    mask_spelled,
)

__all__ = ["DigitMasker", "pressed", "typed"]

_SHORTEST = 3
"""The minimum length of a masked text. Shorter texts appear in other text by chance."""
_DIGIT_TOOLS = frozenset({"send_digits"})
"""The tools whose arguments are digits."""
_MAX_PRESSED = 1000
_DIGITS = re.compile(r"\d(?:[\s.,-]{0,2}\d){2,}")


def pressed(key: str) -> str:
    """Returns the message that tells the model which key was pressed. `masking.mask_keys` masks messages of this
    form.
    """
    return f"{PRESSED}{key}."


def typed(keys: str) -> str:
    """Returns the message that tells the model which digits the caller typed. `keys` has one bullet for each digit."""
    return f"{TYPED}{keys}"


class DigitMasker:
    """Masks the digits and the secret texts of one call in the journal records of the call."""

    def __init__(self) -> None:
        self._named: dict[str, Callable[[str], str]] = {}
        self._pressed = ""
        self._calls: deque[str] = deque(maxlen=100)
        """The ids of the tool calls whose arguments are digits, and the ids of their conversation items."""

    def hide(self, secret: str) -> None:
        """Replaces this text by bullets in all later records, also if the text is spelt out ("4 7-1, 1")."""
        if len(secret) >= _SHORTEST and BULLET not in secret and secret not in self._named:
            self._named[secret] = mask_spelled(secret)

    def press(self, key: str) -> None:
        """Stores a key that the caller pressed. In later values, the method `anywhere` replaces each number of three or
        more digits by bullets if the caller pressed these digits one after the other.
        """
        self._pressed = (self._pressed + key)[-_MAX_PRESSED:]

    @property
    def has_secrets(self) -> bool:
        """Whether there are secret texts, which `hide` has added. Later journal records of the call must then be
        searched for these texts.
        """
        return bool(self._named)

    def message(self, text: str) -> str:
        """Returns the JSON text of a message of the model or of the media stream, with bullets in place of pressed
        keys, digits that were sent, and the texts that were passed to `hide`. `text` is the text of one JSON object.
        """
        if _is_audio(text):
            return text
        if "function_call" in text:
            text = self._changed(text, self._mask_arguments)
        if self._named:
            if is_text_delta(text):
                text = self._changed(text, self._mask_piece)
            elif any(mask(text) != text for mask in self._named.values()):
                text = self._changed(text, self.value)
        return mask_keys(text)

    def value(self, value: Any) -> Any:
        """Returns a copy of a JSON value with masked strings. Values that are nested deeper than `MAX_DEPTH` are
        removed.
        """
        return change_strings(value, self._text, keep=_is_data, depth=MAX_DEPTH)

    def anywhere(self, value: Any) -> Any:
        """Returns a copy of a JSON value of any form with masked strings, keys and numbers. Also masks three or more
        digits if the caller pressed these keys in this order.
        """
        match value:
            case str():
                return self._everything(value)
            case bool() | None:
                return value
            case int() | float():
                text = str(value)
                return value if self._everything(text) == text else self._everything(text)
            case Mapping():
                return {self._everything(str(name)): self.anywhere(each) for name, each in value.items()}
            case list() | tuple():
                return [self.anywhere(each) for each in value]
        return value

    def _everything(self, text: str) -> str:
        return _DIGITS.sub(self._masked_if_pressed, self._text(text))

    def _masked_if_pressed(self, match: re.Match[str]) -> str:
        digits = re.sub(r"\D", "", match[0])
        return mask_all_digits(match[0]) if digits in re.sub(r"\D", "", self._pressed) else match[0]

    def _text(self, text: str) -> str:
        for mask in self._named.values():
            text = mask(text)
        return mask_keys(text)

    def arguments(self, tool: str, arguments: str) -> str:
        """Returns the arguments of a tool call with masked digits. `arguments` is JSON text, and `tool` is the name of
        the tool.
        """
        return mask_key_characters(arguments) if tool in _DIGIT_TOOLS else arguments

    # -----------------------------------------------------------------------------------------------------------------

    def _changed(self, text: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> str:
        before = parse_object(text) or {}
        after = change(before)
        return text if after == before else dump(after)

    def _mask_arguments(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._mask_arguments(each) for each in value]
        if not isinstance(value, dict):
            return value
        value = {name: self._mask_arguments(each) for name, each in value.items()}
        kind = str(value.get("type", ""))
        if kind == "function_call" and str(value.get("name")) in _DIGIT_TOOLS:
            self._calls += [str(value[key]) for key in ("id", "call_id") if value.get(key)]
        elif not (
            kind.startswith("response.function_call_arguments.")
            and (value.get("item_id") in self._calls or value.get("call_id") in self._calls)
        ):
            return value
        return {
            name: mask_key_characters(each) if name in ("arguments", "delta") and isinstance(each, str) else each
            for name, each in value.items()
        }

    def _mask_piece(self, message: dict[str, Any]) -> dict[str, Any]:
        """Masks all digits of a message. A secret may be split over several messages, so a single message does not show
        which digits are secret.
        """
        delta = message.get("delta")
        return {**message, "delta": mask_all_digits(delta)} if isinstance(delta, str) else self.value(message)


def _is_data(name: str) -> bool:
    """Returns whether the value with this name is an id or audio. Such values contain digits by chance."""
    return name in ("id", "payload", "digest", "clip") or name.endswith(("_id", "Sid"))


def _is_audio(text: str) -> bool:
    """Returns whether the message contains audio. The base64 text of audio contains digits by chance."""
    return '"payload"' in text[:250] or "audio.delta" in text[:120]
