"""Logs: the CallSid of each line, and no secret in any line."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from typing import Literal

import pytest

from telephony.logs import Repeats, about_call, configure_logs, visible
from telephony.masking import Masker
from telephony.settings import load_settings


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("key sk-proj-abcdefgh1234", "key •"),
        ("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9", "Authorization: Bearer •"),
        ('{"digit":"5"}', '{"digit":"•"}'),
        ("Digits=1234#&From=x", "Digits=•&From=x"),
        ("The caller pressed 4242.", "The caller pressed •."),
        ("card 4242 4242 4242 4242 ok", "card • ok"),
        ("call from +14155550100 of CA00000000000000000000000000000042", None),
        ("after 15000 ms and 1234567 frames", None),
        ("the tok3n-value is here", "the • is here"),
    ],
)
def test_masks(text: str, masked: str | None) -> None:
    assert Masker(["tok3n-value", "abc"])(text) == (masked or text)


def test_every_secret_of_the_settings_is_known() -> None:
    settings = load_settings(
        public_url="https://phone.example.com",
        twilio_auth_token="token-one",
        twilio_shared_key_secret="secret-two",
        openai_api_key="key-three",
        telephony_api_token="token-four",
        database_url="postgresql://ada:pass-word@host/records",
    )
    assert Masker.of(settings)("token-one secret-two key-three token-four pass-word") == "• • • • •"


def test_a_line_of_json() -> None:
    out = io.StringIO()
    configure_logs("info", "json", masker=Masker(["tok3n-value"]), stream=out, force=True)
    with about_call("CA1"):
        try:
            raise ValueError("tok3n-value")
        except ValueError:
            logging.getLogger("elsewhere.x").exception('said "%s"\nand more', "tok3n-value")
    logging.getLogger("elsewhere.x").debug("not at this level")
    logging.getLogger("elsewhere.x").info("outside of any call")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["level"], first["logger"], first["call_sid"]) == ("error", "elsewhere.x", "CA1")
    assert first["message"] == 'said "•"\\nand more'
    assert "ValueError: •" in first["exception"]
    assert "tok3n-value" not in out.getvalue()
    assert "call_sid" not in second and second["time"].endswith("+00:00")


def test_a_line_of_text() -> None:
    out = io.StringIO()
    configure_logs("debug", "text", masker=Masker(["tok3n-value"]), stream=out, force=True)
    with about_call("CA1"):
        logging.getLogger("elsewhere.x").debug("hello %s", "tok3n-value")
    assert out.getvalue().endswith("DEBUG   elsewhere.x: [CA1] hello •\n")


@pytest.mark.virtual_time
async def test_what_repeats_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    repeats = Repeats(logging.getLogger("elsewhere.x"), every_s=60)
    for _ in range(5):
        repeats.warning("a", "again")
    repeats.warning("b", "another")
    await asyncio.sleep(60)
    repeats.warning("a", "again")
    repeats.warning("a", "again")
    assert caplog.messages == ["again", "another", "again (4 more like it since)"]


# --- forged lines ----------------------------------------------------------------------------------------------------

FORGED = [
    "x\n2026-11-28 12:00:00,000 ERROR   telephony: forged",
    "x\r\nforged",
    "x\rforged",
    "\x1b[2K\x1b[1Aforged",
    "\x9b31mforged",
    "\x1b]0;forged\x07",
    "x\u2028forged",
    "x\x85forged",
    "x\x0bforged\x0c",
    "\x00forged\x7f\x08",
    "\u202eforged\u202c",
    "\ud800forged",
]


def harmless(line: str) -> bool:
    return all(character.isprintable() for character in line) and not set(line) & set("\u202e\u202c\ud800")


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("given", FORGED)
def test_what_comes_from_outside_forges_no_line(form: Literal["text", "json"], given: str) -> None:
    out = io.StringIO()
    configure_logs("info", form, stream=out, force=True)
    logger = logging.getLogger("elsewhere.x")
    with about_call(given):
        logger.warning("as an argument: %s", given)
    logger.warning(f"as the message: {given}")
    lines = out.getvalue().split("\n")
    assert len(lines) == 3 and lines[2] == ""
    for line in lines[:2]:
        shown = json.loads(line)["message"] if form == "json" else line
        assert harmless(line) and harmless(shown) and "forged" in shown


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("given", FORGED)
def test_an_exception_from_outside_forges_no_line(form: Literal["text", "json"], given: str) -> None:
    out = io.StringIO()
    configure_logs("info", form, stream=out, force=True)
    try:
        raise ValueError(given)
    except ValueError:
        logging.getLogger("elsewhere.x").exception("it failed")
    written = out.getvalue().rstrip("\n")
    shown = json.loads(written)["exception"] if form == "json" else written.partition("\n")[2]
    for line in shown.split("\n"):
        assert line.startswith("  ") and harmless(line), "a line of a traceback does not begin as a line of the log"
    assert form == "text" or "\n" not in written


def test_what_is_written_in_other_scripts_stays_as_it_is() -> None:
    for text in ("Jürgen Müller", "北京", "مرحبا", "שלום", "👩🏽‍🚀", "a\\nb"):
        assert visible(text) == text
