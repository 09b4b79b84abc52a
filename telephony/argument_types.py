"""Checks the types of values that programs pass to this package, so that a wrong value is an error at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from realtime_core.errors import UserError

__all__ = ["Rule", "check_fields", "check_types", "texts_of"]

Rule = tuple[Any, str]
"""The permitted types of a value (a class or a union), and a description of such a value for messages."""


def check_types(where: str, rules: Mapping[str, Rule], given: Mapping[str, object]) -> None:
    """Raises `UserError` if a value of `given` does not have a type of the rule with the same name. NaN is no
    number, and a number of seconds (its name ends with `_s`) must not be negative. Infinity means without an end.
    `where` begins the message. The message contains only such numbers, because another value may be secret.
    """
    for name, value in given.items():
        kinds, what = rules[name]
        if not isinstance(value, kinds):
            found = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
            raise UserError(f"{where}: {name}: give {what}, not {found}.")
        is_nan = isinstance(value, float) and math.isnan(value)
        if is_nan or (isinstance(value, int | float) and value < 0 and name.endswith("_s")):
            raise UserError(f"{where}: {name}: give {what}, not {value}.")


def check_fields(where: str, rules: Mapping[str, Rule], given: object) -> None:
    """Checks the attributes of an object that have a rule, as `check_types` does."""
    check_types(where, rules, {name: getattr(given, name) for name in rules})


def texts_of(where: str, value: object) -> tuple[str, ...]:
    """Returns the texts of a list that a program gives. A single text counts as a list with one text, because its
    characters are never meant. Raises `UserError` if the value is no list of texts. `where` begins the message.
    """
    if isinstance(value, str):
        return (value,)
    texts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping) else (None,)
    if not all(isinstance(each, str) for each in texts):
        raise UserError(f"{where}: give a list of texts.")
    return texts
