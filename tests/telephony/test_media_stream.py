"""The codec of Twilio's media stream: the documented examples, every field's type, round trips and fuzz."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from telephony.errors import BadAudio, BadField, BadJson, BinaryFrame, MediaStreamError, TooLarge
from telephony.twilio import media_stream as ms

SID = "MZ" + "0123456789abcdef" * 2
CALL = "CA" + "0" * 32
ACCOUNT = "AC" + "1" * 32

START: dict[str, Any] = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": SID,
    "start": {
        "accountSid": ACCOUNT,
        "streamSid": SID,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t"},
    },
}
MEDIA: dict[str, Any] = {
    "event": "media",
    "sequenceNumber": "4",
    "streamSid": SID,
    "media": {"track": "inbound", "chunk": "2", "timestamp": "5", "payload": "//8="},
}
DTMF: dict[str, Any] = {
    "event": "dtmf",
    "sequenceNumber": "5",
    "streamSid": SID,
    "dtmf": {"track": "inbound_track", "digit": "#"},
}
MARK: dict[str, Any] = {"event": "mark", "sequenceNumber": "4", "streamSid": SID, "mark": {"name": "my label"}}
STOP: dict[str, Any] = {
    "event": "stop",
    "sequenceNumber": "5",
    "streamSid": SID,
    "stop": {"accountSid": ACCOUNT, "callSid": CALL},
}
DOCUMENTED = [
    ({"event": "connected", "protocol": "Call", "version": "1.0.0"}, ms.Connected("Call", "1.0.0")),
    (
        START,
        ms.Start(SID, CALL, ACCOUNT, ("inbound",), "audio/x-mulaw", 8000, 1, {"token": "t"}, 1, START),
    ),
    (MEDIA, ms.Media(b"\xff\xff", 5, 2, 4, SID, "inbound")),
    (DTMF, ms.Dtmf("#", "inbound_track", 5, SID)),
    (MARK, ms.Mark("my label", 4, SID)),
    (STOP, ms.Stop(CALL, ACCOUNT, SID)),
]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("message", "expected"), DOCUMENTED)
def test_decodes_the_documented_messages(message: dict[str, Any], expected: ms.Message) -> None:
    got = ms.decode(json.dumps(message))
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(("message", "expected"), DOCUMENTED)
def test_ignores_unknown_fields(message: dict[str, Any], expected: ms.Message) -> None:
    if message is START:
        return  # carries the whole message as `raw`
    body = {key: value | {"new": 1} if isinstance(value, dict) else value for key, value in message.items()}
    assert ms.decode(json.dumps(body | {"future": [1, None]})) == expected


def test_an_unknown_event_is_data() -> None:
    message = {"event": "telepathy", "strength": 3}
    assert ms.decode(json.dumps(message)) == ms.Unknown("telepathy", message)


@pytest.mark.parametrize("text", ["", "{", "nonsense", "[]", "17", "null", '"media"', '{"event":"media"', "\ud800"])
def test_a_message_that_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(BadJson):
        ms.decode(text)


@pytest.mark.parametrize("data", [b"", json.dumps(MEDIA).encode(), b"\xff\x00"])
def test_a_binary_message_is_refused(data: bytes) -> None:
    with pytest.raises(BinaryFrame):
        ms.decode(data)


@pytest.mark.parametrize("payload", ["!", "//8", "//8=\n", "//8=//8=", "é", "a", "//8=="])
def test_a_payload_that_is_not_base64_is_refused(payload: str) -> None:
    with pytest.raises(BadAudio):
        ms.decode(json.dumps(MEDIA | {"media": MEDIA["media"] | {"payload": payload}}))
    with pytest.raises(BadAudio):
        ms.decode(_usual("4", "2", "5", json.dumps(payload)[1:-1], sid_last=False))


def without(message: dict[str, Any], body: str, *fields: str) -> str:
    return json.dumps(message | {body: {name: value for name, value in message[body].items() if name not in fields}})


def with_field(message: dict[str, Any], body: str, **fields: Any) -> str:
    return json.dumps(message | {body: message[body] | fields})


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (b"{}", "a binary message, where Twilio sends text only"),
        ("[]", "not a JSON object"),
        ("{", "not JSON: "),
        ("x" * (ms.MAX_CHARS + 1), "a message of 65537 characters; 65536 are read"),
        ('{"x":' + "[" * 16 + "]" * 16 + "}", "a message that is nested more than 16 deep"),
        ('{"event":"media","media":{"payload":"!"}}', "the payload is no base64: "),
        ("{}", "the field `event` is missing or of a wrong type"),
        ('{"event":5}', "the field `event` is missing or of a wrong type"),
        (json.dumps(START | {"start": START["start"] | {"tracks": [1]}}), "the field `tracks` is"),
        (
            json.dumps(START | {"start": START["start"] | {"customParameters": {"a": 1}}}),
            "the field `customParameters` is",
        ),
    ],
)
def test_an_error_says_what_is_wrong(message: str | bytes, says: str) -> None:
    with pytest.raises(MediaStreamError) as refused:
        ms.decode(message)
    assert str(refused.value).startswith(says)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"event":"connected"}', ms.Connected("", "")),
        (without(MEDIA, "media", "track"), ms.Media(b"\xff\xff", 5, 2, 4, SID, "inbound")),
        (with_field(MEDIA, "media", track="outbound"), ms.Media(b"\xff\xff", 5, 2, 4, SID, "outbound")),
        (without(DTMF, "dtmf", "track"), ms.Dtmf("#", "inbound_track", 5, SID)),
        (with_field(DTMF, "dtmf", track="outbound_track"), ms.Dtmf("#", "outbound_track", 5, SID)),
        (json.dumps(MARK | {"sequenceNumber": 0}), ms.Mark("my label", 0, SID)),
        ('{"event":"stop"}', ms.Stop("", "", "")),
    ],
)  # fmt: skip
def test_optional_fields_have_defaults(text: str, expected: ms.Message) -> None:
    assert ms.decode(text) == expected


def test_tracks_and_parameters_of_a_start_are_optional() -> None:
    start = ms.decode(without(START, "start", "tracks", "customParameters"))
    assert isinstance(start, ms.Start) and (start.tracks, start.parameters) == ((), {})


REQUIRED = [
    (MEDIA, "media", ["payload", "chunk", "timestamp"]),
    (START, "start", ["callSid", "accountSid", "mediaFormat"]),
    (MARK, "mark", ["name"]),
    (DTMF, "dtmf", ["digit"]),
]


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def test_what_is_longer_or_deeper_than_twilios_is_refused() -> None:
    media = json.dumps(MEDIA)
    for before in ('{"event":"new","x":', media[:-1] + ',"x":', json.dumps(START)[:-1] + ',"x":'):
        ms.decode(f"{before}{nested(ms.MAX_DEPTH - 1)}}}")
        ms.decode(f"{before}[{','.join(['{}'] * 100)}]}}")
        for depth in (ms.MAX_DEPTH, 900, 2000, 30_000):
            with pytest.raises(TooLarge if depth < 1000 else (TooLarge, BadJson)):
                ms.decode(f"{before}{nested(depth)}}}")
    long = media[:-1] + ',"x":"' + "x" * (ms.MAX_CHARS - len(media) - 7) + '"}'
    assert len(long) == ms.MAX_CHARS and isinstance(ms.decode(long), ms.Media)
    with pytest.raises(TooLarge):
        ms.decode(long + " ")


@pytest.mark.parametrize(
    ("message", "body", "field"), [(m, body, field) for m, body, fields in REQUIRED for field in fields]
)
@pytest.mark.parametrize("wrong", [None, 1.5, True, [], {}, -1])
def test_a_field_of_a_wrong_type_is_named(message: dict[str, Any], body: str, field: str, wrong: Any) -> None:
    if field == "mediaFormat" and wrong == {}:
        field = "encoding"
    broken = message | {body: message[body] | {field if field != "encoding" else "mediaFormat": wrong}}
    with pytest.raises(BadField) as caught:
        ms.decode(json.dumps(broken))
    assert caught.value.field == field


@pytest.mark.parametrize("message", [MEDIA, START, MARK, DTMF])
@pytest.mark.parametrize("field", ["sequenceNumber", "streamSid"])
def test_a_missing_frame_field_is_named(message: dict[str, Any], field: str) -> None:
    with pytest.raises(BadField) as caught:
        ms.decode(json.dumps({key: value for key, value in message.items() if key != field}))
    assert caught.value.field == field


@pytest.mark.parametrize("number", ["", "-1", "+1", "1_0", " 1", "1.0", "٣", "9" * 20])
def test_a_number_is_decimal_digits(number: str) -> None:
    with pytest.raises(BadField):
        ms.decode(json.dumps(MARK | {"sequenceNumber": number}))


def test_a_plain_number_is_understood_too() -> None:
    assert ms.decode(json.dumps(MARK | {"sequenceNumber": 4})) == ms.decode(json.dumps(MARK))


@pytest.mark.parametrize("message", [{"event": "stop"}, {"event": "stop", "stop": None}])
def test_a_stop_needs_nothing_else(message: dict[str, Any]) -> None:
    assert ms.decode(json.dumps(message)) == ms.Stop("", "", "")


@pytest.mark.parametrize("wrong", [{"customParameters": {"a": 1}}, {"tracks": [1]}, {"tracks": "inbound"}])
def test_start_checks_what_it_hands_on(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadField):
        ms.decode(json.dumps(START | {"start": START["start"] | wrong}))


@given(st.text() | st.binary())
def test_anything_gives_a_value_or_a_typed_error(message: str | bytes) -> None:
    try:
        ms.decode(message)
    except MediaStreamError:
        pass


@given(
    st.sampled_from(["connected", "start", "media", "dtmf", "mark", "stop", "other"]),
    st.dictionaries(
        st.sampled_from(["sequenceNumber", "streamSid", "start", "media", "dtmf", "mark", "stop"]), JSON_VALUES
    ),
    st.dictionaries(
        st.sampled_from(
            [
                "payload",
                "timestamp",
                "chunk",
                "track",
                "digit",
                "name",
                "callSid",
                "accountSid",
                "tracks",
                "mediaFormat",
                "customParameters",
            ]
        ),
        JSON_VALUES,
    ),
)
def test_any_fields_give_a_value_or_a_typed_error(event: str, frame: dict[str, Any], body: dict[str, Any]) -> None:
    try:
        ms.decode(json.dumps({"event": event, "sequenceNumber": "1", "streamSid": SID, event: body} | frame))
    except MediaStreamError:
        pass


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\uD83D x"])
def test_half_of_a_surrogate_pair_does_not_lose_the_message(half: str) -> None:
    text = json.dumps({**START, "start": {**START["start"], "customParameters": {"name": "@"}}}).replace("@", half)
    start = ms.decode(text)
    assert isinstance(start, ms.Start) and start.parameters["name"].startswith("\ufffd")
    mark = ms.decode(f'{{"event":"mark","sequenceNumber":"2","streamSid":"{SID}","mark":{{"name":"m{half}"}}}}')
    assert isinstance(mark, ms.Mark) and mark.name.startswith("m\ufffd")


@pytest.mark.parametrize(
    "text", ['{"event":"start\\ud800"', "[" * 60_000, '{"event":NaN}', '{"a":' * 9000 + "1" + "}" * 9000]
)
def test_what_is_no_json_or_too_deep_is_a_typed_error_in_both_parsers(text: str) -> None:
    with pytest.raises(MediaStreamError):
        ms.decode(text)


NAMES = st.text(st.characters(exclude_categories=["Cs"]))


@given(NAMES, NAMES, st.binary(max_size=2000))
def test_what_we_send_has_exactly_twilios_fields(sid: str, name: str, ulaw: bytes) -> None:
    payload = base64.b64encode(ulaw).decode()
    assert json.loads(ms.encode_media(sid, ulaw)) == {"event": "media", "streamSid": sid, "media": {"payload": payload}}
    assert json.loads(ms.encode_mark(sid, name)) == {"event": "mark", "streamSid": sid, "mark": {"name": name}}
    assert json.loads(ms.encode_clear(sid)) == {"event": "clear", "streamSid": sid}


@given(NAMES, st.binary(max_size=2000), st.integers(0, 2**62), st.integers(1, 2**62), st.integers(1, 2**62))
def test_round_trip_of_media(sid: str, ulaw: bytes, timestamp_ms: int, chunk: int, sequence_number: int) -> None:
    payload = base64.b64encode(ulaw).decode()
    media = {"track": "inbound", "chunk": str(chunk), "timestamp": str(timestamp_ms), "payload": payload}
    message = {"event": "media", "sequenceNumber": str(sequence_number), "streamSid": sid, "media": media}
    assert ms.decode(json.dumps(message)) == ms.Media(ulaw, timestamp_ms, chunk, sequence_number, sid, "inbound")


# --- the two ways of reading a frame ---------------------------------------------------------------------------------


def _frame_texts() -> st.SearchStrategy[str]:
    """Frames as Twilio writes them, as other JSON writers do, with odd values, and with a few characters changed."""
    numbers = st.one_of(
        st.integers(0, 10**6).map(str), st.sampled_from(["", "-1", "1.5", "01", "9" * 19, "9" * 20, "１"])
    )
    any_number = st.one_of(numbers, st.integers(-1, 10**6), st.none())
    payload = st.one_of(
        st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode()),
        st.sampled_from(["", "=", "A", "AAA", "A===", "//8", "\\/\\/8=", "/w==", "/x==", "é", " //8=", "AA=A"]),
        st.text(max_size=8),
    )
    sid = st.one_of(st.just(SID), st.text(max_size=4), st.none(), st.integers(0, 3))
    media = st.fixed_dictionaries(
        {
            "track": st.sampled_from(["inbound", "outbound", "", "x y"]),
            "chunk": any_number,
            "timestamp": any_number,
            "payload": payload,
        }
    )
    usual = st.tuples(numbers, numbers, numbers, payload, st.booleans()).map(lambda each: _usual(*each))
    fields = st.fixed_dictionaries(
        {
            "event": st.sampled_from(["media", "media", "mark"]),
            "sequenceNumber": any_number,
            "streamSid": sid,
            "media": media,
        },
        optional={"more": st.integers() | st.text(max_size=3)},
    )
    reordered = st.tuples(
        fields, st.permutations(["event", "sequenceNumber", "streamSid", "media"]), st.booleans()
    ).map(
        lambda each: json.dumps(
            {**{name: each[0][name] for name in each[1]}, **each[0]}, separators=(",", ":") if each[2] else None
        )
    )
    changed = st.tuples(usual, st.integers(0, 300), st.integers(0, 3), st.text(max_size=3)).map(
        lambda each: each[0][: each[1]] + each[3] + each[0][each[1] + each[2] :]
    )
    return st.one_of(usual, reordered, changed)


def _usual(number: str, chunk: str, timestamp: str, payload: str, sid_last: bool) -> str:
    sid = f'"streamSid":"{SID}"'
    media = f'"media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":"{payload}"}}'
    first, second = (media, sid) if sid_last else (sid, media)
    return f'{{"event":"media","sequenceNumber":"{number}",{first},{second}}}'


def _outcome(read: Callable[[str], ms.Message], text: str) -> object:
    try:
        return read(text)
    except MediaStreamError as error:
        return type(error), str(error)


@settings(max_examples=extent(150, 20_000))
@given(_frame_texts())
def test_a_frame_is_read_the_same_with_and_without_the_json_parser(text: str) -> None:
    assert _outcome(ms.decode, text) == _outcome(ms._decode_json, text)


@pytest.mark.parametrize("sid_last", [False, True])
def test_usual_frames_do_not_need_the_json_parser(sid_last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ms, "_decode_json", None)
    text = _usual("4", "2", "5", "//8=", sid_last)
    assert ms.decode(text) == ms.Media(b"\xff\xff", 5, 2, 4, SID, "inbound")
