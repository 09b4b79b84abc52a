"""The values that the stand-ins find in the words of a caller."""

from __future__ import annotations

from typing import Any

import pytest

from telephony.evals.word_values import is_backchannel, is_goodbye, is_no, is_yes, kind_of, value_of, words_of

TEXT: dict[str, Any] = {"type": "string"}


@pytest.mark.parametrize(
    ("name", "description", "kind"),
    [
        ("day", "", "day"),
        ("start_time", "", "time"),
        ("seats", "", "count"),
        ("surname", "", "name"),
        ("when_at", "", "time"),
        ("x", "The number of guests.", "count"),
        ("x", "", ""),
    ],
)
def test_the_kind_of_a_parameter_comes_from_its_name_or_its_description(name: str, description: str, kind: str) -> None:
    assert kind_of(name, description) == kind


@pytest.mark.parametrize(
    ("text", "name", "schema", "asked", "value"),
    [
        ("On Friday, please.", "day", TEXT, False, "Friday"),
        ("Soon, please.", "day", TEXT, False, None),
        ("At eight.", "time", TEXT, False, "20:00"),
        ("At 8:30 am.", "time", TEXT, False, "08:30"),
        ("At 1 pm.", "time", TEXT, False, "13:00"),
        ("At twelve.", "time", TEXT, False, "12:00"),
        ("At ten o'clock.", "time", TEXT, False, "10:00"),
        ("At some point.", "time", TEXT, False, None),
        ("Seven, please.", "time", TEXT, True, "19:00"),
        ("Seven, please.", "time", TEXT, False, None),
        ("A table for four at seven.", "guests", TEXT, False, 4),
        ("A table at seven.", "guests", TEXT, False, None),
        ("1234", "guests", TEXT, False, None),
        ("My name is ada.", "name", TEXT, False, "Ada"),
        ("Ada lovelace.", "name", TEXT, True, "Lovelace"),
        ("Ada.", "name", TEXT, False, None),
        ("...", "name", TEXT, True, None),
        ("By the window.", "note", TEXT, False, None),
        ("By the window.", "note", TEXT, True, "By the window"),
        ("?!", "note", TEXT, True, None),
        ("It is 42.", "code", {"type": "integer"}, True, 42),
        ("The large one.", "size", {"type": "string", "enum": ["small", "Large"]}, False, "Large"),
        ("Either.", "size", {"type": "string", "enum": ["small", "large"]}, False, None),
    ],
)
def test_a_value_is_found_or_is_none(text: str, name: str, schema: dict[str, Any], asked: bool, value: Any) -> None:
    assert value_of(text, name, schema, asked=asked) == value


def test_yes_and_no_and_goodbye() -> None:
    assert is_yes("Yes, please.")
    assert not is_yes("No, that is not right.")
    assert is_no("That's wrong.")
    assert not is_no("Now")
    assert is_goodbye("Bye!")
    assert not is_goodbye("By noon.")


@pytest.mark.parametrize(
    ("text", "only"), [("Mhm.", True), ("Uh huh", True), ("", False), ("mhm " * 4, False), ("Mhm, no.", False)]
)
def test_a_backchannel_is_a_few_such_words_only(text: str, only: bool) -> None:
    assert is_backchannel(text) is only


def test_words_have_no_plural_s() -> None:
    assert words_of("Two Tables, yes as his") == ["two", "table", "yes", "as", "his"]
