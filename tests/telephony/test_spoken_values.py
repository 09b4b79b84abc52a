"""What callers say for names, addresses, numbers, dates and amounts is read without a model."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telephony import spoken_values as read

TODAY = date(2026, 11, 28)


def day(said: str) -> date:
    return read.day(said, today=TODAY)


def birth(said: str) -> date:
    return read.birth_date(said, today=TODAY)


@pytest.mark.parametrize(
    ("function", "said", "value"),
    [
        (read.name, "my name is ada lovelace", "Ada Lovelace"),
        (read.name, "L, O, V as in Victor, E", "Love"),
        (read.name, "double l o y d", "Lloyd"),
        (read.name, "Anton Dora Anton", "Ada"),
        (read.name, "Jean-Luc O'Neil", "Jean-Luc O'Neil"),
        (read.email, "ada dot lovelace at example dot com", "ada.lovelace@example.com"),
        (read.email, "A D A one two underscore x at gmail dot com.", "ada12_x@gmail.com"),
        (read.email, "ada at firma bindestrich nord punkt de", "ada@firma-nord.de"),
        (read.phone, "four one five, five five five, two six seven one", "+14155552671"),
        (read.phone, "plus four four two zero seven nine four six zero nine five eight", "+442079460958"),
        (read.phone, "(415) 555-2671", "+14155552671"),
        (day, "the third of March", date(2027, 3, 3)),
        (day, "December twenty third", date(2026, 12, 23)),
        (day, "tomorrow", date(2026, 11, 29)),
        (day, "next Friday", date(2026, 12, 4)),
        (day, "2026-12-24", date(2026, 12, 24)),
        (day, "3.12.2026", date(2026, 12, 3)),
        (day, "dritter März", date(2027, 3, 3)),
        (day, "3 de marzo", date(2027, 3, 3)),
        (day, "March third twenty twenty seven", date(2027, 3, 3)),
        (birth, "March third nineteen eighty four", date(1984, 3, 3)),
        (birth, "the ninth of May two thousand and six", date(2006, 5, 9)),
        (birth, "1984-03-03", date(1984, 3, 3)),
        (read.amount, "twenty three fifty", (Decimal("23.50"), "")),
        (read.amount, "$1,200.50", (Decimal("1200.50"), "USD")),
        (read.amount, "12 euros and 30 cents", (Decimal("12.30"), "EUR")),
        (read.amount, "one thousand two hundred and five dollars", (Decimal("1205.00"), "USD")),
        (read.address, "twelve Main Street, Springfield", "12 Main Street, Springfield"),
    ],
)
def test_a_value_is_read(function: Any, said: str, value: Any) -> None:
    assert function(said) == value


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (read.name, "4 5"),
        (read.email, "ada at gmail"),
        (read.email, "hello"),
        (read.phone, "twelve"),
        (day, "03/04/2026"),
        (day, "the 5th"),
        (day, "blue"),
        (birth, "the third of March"),
        (birth, "March 3 2030"),
        (read.amount, "nothing"),
        (read.amount, "5 or 6 dollars"),
        (read.address, "Main Street"),
    ],
)
def test_unclear_values_are_refused_with_a_question(function: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"Ask|year"):
        function(said)


@given(st.text(max_size=60))
@example("1" + 26 * "0")
def test_no_text_makes_a_reader_fail_otherwise(said: str) -> None:
    for function in (read.name, read.email, read.phone, day, birth, read.amount, read.address):
        try:
            function(said)
        except ValueError as error:
            assert str(error)
