"""The masking of numbers, and of texts that users' patterns match."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from telephony.errors import SettingsError
from telephony.masking import BULLET, Patterns, change_strings, mask_number, mask_numbers

PATTERNS = [
    r"\b\d{4}([ -]?\d{4}){3}\b", r"\b\w+@\w+\.\w{2,}\b", r"(?i)anna \w+", r"[\d.-]{4,}", r"[^\s\d]\d", r"\S+\D\W",
    r"x{,2}y", r"[]a]b", r"[a[]c", r"\B-", r"^\d+", r"(?P<n>a|ab)(c|bcd)?", r"[\w-]+:\s", r"\d+\Z", "ö", "Straße",
    r"\b\d+?\b", r"\B\w\B",
]  # fmt: skip
PIECES = [
    "4111",
    " ",
    "-",
    "1111 1111 ",
    "ada@x.de",
    "Anna Ada",
    "xx",
    "y",
    "ab",
    "c",
    "[",
    "]",
    "bcd",
    ":",
    "\t",
    "7",
    "\n",
]
OTHERS = ["ö", "Özil", "Straße", "é7", "٣", "中", "…", "\u00a0", "ٱ4"]


def by_re(pattern: str, text: str) -> str:
    return re.sub(pattern, lambda match: BULLET * len(match[0]), text)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=8))
def test_in_ascii_a_pattern_masks_what_it_does_in_python(pattern: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    assert Patterns([pattern]).mask(text) == by_re(pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(pieces=st.lists(st.sampled_from(PIECES[:8] + OTHERS), max_size=8))
@example(pieces=["ö", "1111 1111 ", "4111", "1111 1111 "])
def test_in_other_scripts_a_pattern_masks_at_least_what_it_does_in_python(pattern: str, pieces: list[str]) -> None:
    text = "".join(pieces)
    masked, wanted = Patterns([pattern]).mask(text), by_re(pattern, text)
    assert len(masked) == len(text)
    assert all(got == BULLET for got, want in zip(masked, wanted, strict=True) if want == BULLET)


def test_a_text_with_very_many_matches_is_masked_to_its_end() -> None:
    text = "ö " + "ab " * 2000
    masked = Patterns([r"\b\w+"]).mask(text)
    assert masked.startswith("• •• •• •• ") and masked.endswith(BULLET * 4000) and len(masked) == len(text)
    assert Patterns([r"\b\w+"]).mask(text[2:]) == f"{BULLET * 2} " * 2000


@pytest.mark.parametrize(
    "pattern", ["(", "a++", r"(?=a)", r"(?<!a)b", r"(a)\1", r"[^\W_]", "(?>a)", "a{2000}", "\ud800"]
)
def test_a_pattern_that_takes_no_linear_time_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used"):
        Patterns([pattern])


def test_patterns_are_applied_one_after_the_other() -> None:
    patterns = Patterns(["b+", "a•+c"])
    assert len(patterns) == 2 and patterns.mask("abbc b") == "•••• •"


def test_half_a_surrogate_pair_hides_nothing() -> None:
    assert Patterns([r"\d+"]).mask("4711 \ud83d 4711") == "•••• � ••••"


@pytest.mark.parametrize(
    ("number", "shown"),
    [("+14155550123", "+14•••••••23"), ("sip:ada@example.com", "sip:•"), ("anonymous", "•"), ("", ""), ("+12", "•")],
)
def test_a_masked_number(number: str, shown: str) -> None:
    assert mask_number(number) == shown


def test_numbers_in_a_text() -> None:
    assert mask_numbers("From +1 415-555 0123 to 4155550199: 21211") == "From • to •: 21211"


def test_strings_are_changed_except_under_kept_keys() -> None:
    value = {"a": "x", "ids": ["x", {"a": "x"}], "n": 1, "deep": [[["x"]]]}
    changed = change_strings(value, str.upper, keep=lambda key: key == "ids", depth=2)
    assert changed == {"a": "X", "ids": ["x", {"a": "X"}], "n": 1, "deep": [["..."]]}
