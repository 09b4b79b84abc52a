"""The simulated Twilio's messages against the product's codec, and its strictness."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.simulator.wire import Clear, Mark, Play, Rejected, Sender, decode
from telephony.twilio import media_stream

SID = "MZ" + "a" * 32
MEDIA = {"event": "media", "streamSid": SID, "media": {"payload": "//8="}}
MARK = {"event": "mark", "streamSid": SID, "mark": {"name": "m"}}
CLEAR = {"event": "clear", "streamSid": SID}

INVALID: list[Any] = [
    "",
    "{",
    "not json",
    "[]",
    "null",
    {},
    {"event": "media"},
    {"event": ["media"], "streamSid": SID},
    {"event": "start", "streamSid": SID},
    {"event": "Clear", "streamSid": SID},
    MEDIA | {"streamSid": "MZ" + "b" * 32},
    MEDIA | {"streamSid": None},
    MEDIA | {"sequenceNumber": "1"},
    MEDIA | {"media": {}},
    MEDIA | {"media": None},
    MEDIA | {"media": "//8="},
    MEDIA | {"media": {"payload": 5}},
    MEDIA | {"media": {"payload": "!"}},
    MEDIA | {"media": {"payload": "//8"}},
    MEDIA | {"media": {"payload": "//8=", "track": "outbound"}},
    {"event": "media", "media": {"payload": "//8="}},
    {"event": "media", "streamSid": SID},
    {"event": "mark", "streamSid": SID},
    MARK | {"mark": {}},
    MARK | {"mark": {"name": 5}},
    MARK | {"mark": {"name": "m", "id": 1}},
    MARK | {"name": "m"},
    CLEAR | {"clear": {}},
    {"event": "clear"},
]


@pytest.mark.parametrize("message", INVALID, ids=str)
def test_what_is_not_exactly_right_is_rejected(message: Any) -> None:
    with pytest.raises(Rejected) as caught:
        decode(message if isinstance(message, str) else json.dumps(message), SID)
    assert caught.value.code == 31951
    assert caught.value.reason


def test_a_binary_message_is_rejected() -> None:
    with pytest.raises(Rejected) as caught:
        decode(json.dumps(CLEAR).encode(), SID)
    assert caught.value.code == 31950


@given(st.text() | st.binary() | st.dictionaries(st.sampled_from(["event", "streamSid", "media", "mark"]), st.text()))
def test_anything_is_a_command_or_rejected(message: Any) -> None:
    try:
        decode(json.dumps(message) if isinstance(message, dict) else message, SID)
    except Rejected as rejected:
        assert rejected.code in (31950, 31951)


@given(st.binary(max_size=1000), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_the_product_sends_is_right(ulaw: bytes, name: str) -> None:
    assert decode(media_stream.encode_media(SID, ulaw), SID) == Play(ulaw)
    assert decode(media_stream.encode_mark(SID, name), SID) == Mark(name)
    assert decode(media_stream.encode_clear(SID), SID) == Clear()


def test_what_twilio_sends_is_as_documented_and_understood() -> None:
    sender = Sender(SID, "CA1", "AC1", {"k": "v"})
    texts = [
        sender.connected(),
        sender.start(),
        sender.media(0, b"\xff" * 160),
        sender.media(20, bytes(160)),
        sender.dtmf("5"),
        sender.mark("m"),
        sender.stop(),
    ]
    messages = [json.loads(text) for text in texts]
    assert messages[0] == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert messages[3]["media"] == {
        "track": "inbound",
        "chunk": "2",
        "timestamp": "20",
        "payload": base64.b64encode(bytes(160)).decode(),
    }
    assert [message.get("sequenceNumber") for message in messages] == [None, "1", "2", "3", "4", "5", "6"]
    assert {message["streamSid"] for message in messages[1:]} == {SID}

    start = media_stream.decode(texts[1])
    assert isinstance(start, media_stream.Start)
    assert (start.call_sid, start.account_sid, start.parameters) == ("CA1", "AC1", {"k": "v"})
    assert (start.encoding, start.sample_rate, start.channels) == ("audio/x-mulaw", 8000, 1)
    assert [media_stream.decode(text) for text in texts[2:]] == [
        media_stream.Media(b"\xff" * 160, 0, 1, 2, SID, "inbound"),
        media_stream.Media(bytes(160), 20, 2, 3, SID, "inbound"),
        media_stream.Dtmf("5", "inbound_track", 4, SID),
        media_stream.Mark("m", 5, SID),
        media_stream.Stop("CA1", "AC1", SID),
    ]
