"""The cause of a difference between two calls, in plain words."""

from __future__ import annotations

import pytest

from telephony.replay.cause import cause_of
from telephony.replay.compare import Divergence, Kind

TEXTS = {"item_1": "Good  morning", "item_2": "word " * 40}


def cause(lane: str, kind: Kind, what: str, expected: str = "", actual: str = "") -> str:
    return cause_of(Divergence(kind, lane, 1.0, what, expected, actual), TEXTS)


@pytest.mark.parametrize(
    ("kind", "what", "parts"),
    [
        ("audio", "item_1: the samples from 120 ms on differ", ("“Good morning”", "120 ms")),
        ("late", "item_1: its audio from 0 ms on was sent 340 ms too late", ("“Good morning” ", "340 ms later")),
        ("early", "item_1: its audio from 80 ms on was sent 40 ms too early", ("The rest of “", "40 ms sooner")),
        ("changed", "item_3: 600 ms of it were sent, and 900 ms then", ("600 ms of an answer", "900 ms in")),
        ("missing", "clear did not happen", ("no longer", "interrupted")),
        ("extra", "clear is not in the recording", ("cut off", "not cut off in the recording")),
        ("late", "clear came 90 ms too late", ("90 ms later",)),
        ("early", "clear came 30 ms too early", ("30 ms sooner",)),
        ("missing", "speak item_1 did not happen", ("no longer hears “Good morning”",)),
        ("extra", "speak item_2 is not in the recording", ("hears “word word", "word…”", "not in the recording")),
        ("late", "speak item_9 came 70 ms too late", ("an answer 70 ms later",)),
        ("late", "speak item_1", ("some ms later",)),
    ],
)
def test_causes_on_the_phone(kind: Kind, what: str, parts: tuple[str, ...]) -> None:
    said = cause("phone", kind, what)
    assert all(part in said for part in parts), said
    assert said.endswith(".")


@pytest.mark.parametrize(
    ("kind", "what", "parts"),
    [
        ("audio", "audio of the caller", ("other audio",)),
        ("late", "response.create came 200 ms too late", ("asked for an answer 200 ms later",)),
        ("early", "conversation.item.create came 20 ms too early", ("a text or a result 20 ms sooner",)),
        ("late", "input_audio_buffer.commit came 20 ms too late", ("input_audio_buffer.commit 20 ms later",)),
        ("missing", "response.create did not happen", ("no longer asked",)),
        ("extra", "response.create: is not in the recording", ("asked for an answer that",)),
        ("missing", "input_audio_buffer.clear did not happen", ("no longer cleared",)),
        ("changed", "conversation.item.create: output changed", ("another result of a tool",)),
    ],
)
def test_causes_at_the_model(kind: Kind, what: str, parts: tuple[str, ...]) -> None:
    said = cause("model", kind, what)
    assert all(part in said for part in parts), said


def test_another_heard_position_is_said_with_both_values() -> None:
    what = "conversation.item.truncate: audio_end_ms changed"
    said = cause("model", "changed", what, 'truncate("audio_end_ms"=800)', 'truncate("audio_end_ms"=500)')
    assert "500 ms" in said
    assert "800 ms" in said
    assert cause("model", "changed", what, "audio_end_ms=800", "audio_end_ms=800") == ""
    assert cause("model", "changed", what) == ""


@pytest.mark.parametrize(
    ("kind", "what", "said"),
    [
        ("schema", "book: day is not a parameter", "book: day is not a parameter"),
        ("missing", "call book: did not happen", "book is no longer called."),
        ("missing", "tool book returns did not happen", "book no longer returns a result."),
        ("extra", "call book: is not in the recording", "book is called, unlike in the recording."),
        ("extra", "tool book returns 1", "book returns a result, unlike in the recording."),
        ("changed", "call book: day changed", "book gets other arguments than in the recording."),
        ("changed", "tool book returns: output changed", "book returns something else than in the recording."),
        ("late", "call book came 30 ms too late", "book is called 30 ms later than in the recording."),
        ("early", "tool book returns came 10 ms too early", "book returns 10 ms sooner than in the recording."),
        ("missing", "book", ""),
        ("audio", "call book", ""),
    ],
)
def test_causes_in_tools(kind: Kind, what: str, said: str) -> None:
    assert cause("tools", kind, what) == said


@pytest.mark.parametrize(
    ("kind", "what", "parts"),
    [
        ("late", "the call ends came 50 ms too late", ("ends 50 ms later",)),
        ("missing", "the call ends did not happen", ("no longer ends",)),
        ("extra", "the call ends is not in the recording", ("did not in the recording",)),
        ("missing", "error did not happen", ("error", "gone")),
        ("extra", "error is not in the recording", ("has an error",)),
        ("missing", "time is up: silence did not happen", ("(silence)", "no longer")),
        ("extra", "time is up: silence is not in the recording", ("(silence)", "was not")),
        ("changed", "answered by: changed", ("answered by someone else",)),
    ],
)
def test_causes_in_the_call(kind: Kind, what: str, parts: tuple[str, ...]) -> None:
    said = cause("call", kind, what)
    assert all(part in said for part in parts), said


def test_another_end_is_said_with_both_reasons() -> None:
    said = cause("call", "changed", "the call ends: reason changed", "ends(reason=goodbye)", "ends")
    assert "otherwise, and 'goodbye' then" in said


def test_causes_in_requests_to_twilio() -> None:
    assert "no longer asked to hang up" in cause("twilio", "missing", "REST hang_up: did not happen")
    assert "asked to redirect" in cause("twilio", "extra", "REST redirect is not in the recording")


@pytest.mark.parametrize(
    ("lane", "kind", "what"),
    [
        ("phone", "changed", "clear changed"),
        ("phone", "changed", "speak item_1 changed"),
        ("phone", "changed", "mark changed"),
        ("model", "missing", "session.update did not happen"),
        ("model", "late", "response.create is late"),
        ("call", "late", "time is up: silence came 1 ms too late"),
        ("call", "late", "a note"),
        ("twilio", "late", "REST hang_up: came late"),
        ("config", "changed", "voice changed"),
    ],
)
def test_a_difference_without_a_plain_sentence_has_none(lane: str, kind: Kind, what: str) -> None:
    assert cause(lane, kind, what) == ""
