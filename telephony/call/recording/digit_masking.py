"""The keys that a call's records must not show: those the caller typed, and those that we sent. Pure.

Some are known by where they stand (a `dtmf` event, what the model is told of a key, the arguments of `send_digits`),
even before anybody has used them. The others are named, and from then on replaced wherever they turn up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
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
"""A shorter text would turn up by chance."""
_TELLING_TOOLS = frozenset({"send_digits"})
"""The arguments of their calls are keys."""


def pressed(key: str) -> str:
    """How the model is told of a key; `masking.mask_keys` knows the form."""
    return f"{PRESSED}{key}."


def typed(keys: str) -> str:
    """The same of an input that was asked for."""
    return f"{TYPED}{keys}"


class DigitMasker:
    """What is known of one call's secrets."""

    def __init__(self) -> None:
        self._named: dict[str, Callable[[str], str]] = {}
        self._calls: deque[str] = deque(maxlen=100)
        """The ids of calls of telling tools, and of their items."""

    def hide(self, secret: str) -> None:
        """From now on, put bullets for this wherever it appears, also spelt out ("4 7-1, 1")."""
        if len(secret) >= _SHORTEST and BULLET not in secret and secret not in self._named:
            self._named[secret] = mask_spelled(secret)

    @property
    def is_told(self) -> bool:
        """Is there anything to hide by its name?"""
        return bool(self._named)

    def message(self, text: str) -> str:
        """A message of the model's connection or of the stream: the JSON text of an object (see `parse_object`)."""
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
        """The same value with bullets in its strings. What is nested deeper than `MAX_DEPTH` is left out."""
        return change_strings(value, self._text, keep=_is_data, depth=MAX_DEPTH)

    def _text(self, text: str) -> str:
        for mask in self._named.values():
            text = mask(text)
        return mask_keys(text)

    def arguments(self, tool: str, arguments: str) -> str:
        """The arguments of a tool's call."""
        return mask_key_characters(arguments) if tool in _TELLING_TOOLS else arguments

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
        if kind == "function_call" and str(value.get("name")) in _TELLING_TOOLS:
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
        """A secret may come in pieces, so that none of them shows it: none shows a digit."""
        delta = message.get("delta")
        return {**message, "delta": mask_all_digits(delta)} if isinstance(delta, str) else self.value(message)


def _is_data(name: str) -> bool:
    """In ids and in audio digits turn up by chance."""
    return name in ("id", "payload", "digest", "clip") or name.endswith(("_id", "Sid"))


def _is_audio(text: str) -> bool:
    """Digits turn up in base64 by chance."""
    return '"payload"' in text[:250] or "audio.delta" in text[:120]
