"""Results contain the words that were said and heard, and nothing else: one labelled call of each kind of
`benchmarks.outcomes`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import outcomes
from benchmarks.outcomes import Booking, conversations, measure
from realtime_core.testing import virtual_time
from telephony.outcomes import text_model
from telephony.outcomes.result_form import ResultForm
from telephony.outcomes.text_model import TextModel, supported
from telephony.outcomes.transcript import Line

KINDS = 8


def test_every_field_of_each_kind_of_call_is_right() -> None:
    scores = measure(KINDS)
    assert len({each.kind for each in scores}) == KINDS
    assert [each for each in scores if not each.is_right] == []


def test_there_are_40_labelled_calls() -> None:
    assert len(conversations()) == 40


def test_the_stand_in_invents_values_that_only_the_quotes_reveal(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(fields: Mapping[str, Any], transcript: Sequence[Line]) -> dict[str, Any]:
        return {name: each["value"] for name, each in fields.items()}

    monkeypatch.setattr(text_model, "supported", believe)
    wrong = [each for each in measure(KINDS) if not each.is_right]
    assert len(wrong) > 5 and all(each.truth is None for each in wrong)


def test_words_that_the_caller_did_not_hear_say_nothing() -> None:
    (interrupted,) = [each for each in conversations()[:KINDS] if "interrupted" in each.kind]
    lines = virtual_time.run(outcomes.call(interrupted, ResultForm(Booking)), seed=1)
    (cut,) = [line for line in lines if line.heard is not None]
    assert "eight people" in cut.text and "eight people" not in (cut.heard or "")
    invented = {"people": {"value": 8, "quote": "for eight people"}}
    assert supported(invented, lines) == {}
    assert supported(invented, [replace(cut, heard=None)]) == {"people": 8}


# --- the text model ----------------------------------------------------------------------------------------------

SAID = (Line("caller", "A table for two on Friday, please."), Line("agent", "Gladly, for two.", heard="Gladly"))


@pytest.mark.parametrize(
    ("quote", "is_supported"),
    [
        ("on Friday", True),
        ("ON FRIDAY!", True),
        ("table for two on Friday", True),
        ("on Fri", False),
        ("for two on Friday please gladly", False),
        ("Gladly, for two", False),
        ("", False),
        ("...", False),
        (None, False),
    ],
)
def test_a_value_needs_words_of_one_line(quote: str | None, is_supported: bool) -> None:
    assert supported({"day": {"value": "Friday", "quote": quote}}, SAID) == ({"day": "Friday"} if is_supported else {})


@asynccontextmanager
async def server(answer: bytes, status: int = 200) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(answer), answer)
        )
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


def read(answer: bytes, status: int = 200, *, summarises: bool = True) -> tuple[str, Booking | None]:
    async def main() -> tuple[str, Booking | None]:
        form = ResultForm(Booking)
        form.take('{"name": "Ada"}')
        async with server(answer, status) as url:
            summary = await TextModel(url, "any", "a-key", summarises=summarises).read(form, SAID)
        return summary, form.output

    return asyncio.run(main())


def said(**content: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": json.dumps(content)}}]}).encode()


def test_fields_and_summary_come_from_the_answer() -> None:
    fields = {"day": {"value": "Friday", "quote": "on Friday"}, "name": {"value": "Bob", "quote": "for two"}}
    summary, output = read(said(fields=fields, summary="A table for two."))
    assert summary == "A table for two."
    assert output == Booking(day="Friday", name="Ada"), "what the agent recorded stays"
    assert read(said(fields=fields, summary="A table."), summarises=False)[0] == ""


def test_a_value_that_is_not_valid_spoils_no_other() -> None:
    fields = {"day": {"value": "Friday", "quote": "on Friday"}, "people": {"value": "a few", "quote": "for two"}}
    assert read(said(fields=fields))[1] == Booking(day="Friday", name="Ada")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"choices": []}',
        said(fields=3, summary=4),
        said(fields={"day": "Friday"}),
        json.dumps({"choices": [{"message": {"content": "[1]"}}]}).encode(),
        json.dumps({"choices": [{"message": {"content": None}}]}).encode(),
        b"x" * 500_000,
    ],
)
@pytest.mark.parametrize("status", [200, 302, 500])
def test_a_text_model_that_answers_nonsense_changes_nothing(answer: bytes, status: int) -> None:
    assert read(answer, status) == ("", Booking(name="Ada"))
