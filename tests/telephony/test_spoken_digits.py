"""Digits that are spoken as words, and their masking."""

from __future__ import annotations

import pytest

from telephony.masking import BULLET, Masker, Patterns
from telephony.spoken_digits import digits_of


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("four two four two", "4242"),
        ("It is four two, four two. Thanks", "4242"),
        ("oh double seven", "077"),
        ("forty-two forty two", "4242"),
        ("nineteen eighty four", "1984"),
        ("vier zwei vier zwei", "4242"),
        ("zweiundvierzig null eins", "4201"),
        ("cuatro dos cuatro dos", "4242"),
        ("quatre deux zéro", "420"),
        ("quattro due tre", "423"),
        ("one 2 three", "123"),
        ("call me at 1 800", "1800"),
        ("nothing here", ""),
    ],
)
def test_spoken_digits_are_found(text: str, digits: str) -> None:
    assert digits_of(text) == digits


CARD = "four two four two " * 4


@pytest.mark.parametrize("text", [f"My card is {CARD}ok", f"Meine Karte: {'vier zwei ' * 8}ja", "It is 4242 four two "
                                  "four two 4242 double four two two, thanks"])  # fmt: skip
def test_a_spoken_card_number_is_masked(text: str) -> None:
    for masked in (Patterns(["card"]).mask(text), Masker()(text)):
        assert digits_of(masked) == "" and BULLET in masked
        assert masked.split()[0] == text.split()[0] and masked.split()[-1] == text.split()[-1]


def test_a_pattern_masks_its_spoken_form_too() -> None:
    assert Patterns([r"\d{4}"]).mask("It is four two four two. We are two.") == "It is •••• ••• •••• •••. We are two."
    assert Patterns([r"\d{4}"]).mask("It is four two four.") == "It is four two four."
