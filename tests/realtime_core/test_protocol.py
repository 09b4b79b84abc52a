"""The codec: every event of the protocol, and messages that are not events."""

from __future__ import annotations

import base64
import json
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.openai_realtime import server_events as wire
from realtime_core.openai_realtime.encoding import CLIENT_EVENTS, EventIds, encode, encode_append
from realtime_core.openai_realtime.protocol import SERVER_EVENTS, decode, decode_object

AUDIO = bytes(range(256)) * 8
BASE64 = base64.b64encode(AUDIO).decode()
ITEM = {"id": "item_1", "type": "message", "role": "user", "content": []}
PART = {"event_id": "e", "response_id": "resp_1", "item_id": "item_1", "output_index": 0, "content_index": 1}
SESSION = {"id": "sess_1", "expires_at": 1}
RESPONSE = {"id": "resp_1", "status": "completed", "output": []}
FAILURE = {"type": "invalid_request_error", "code": "c", "message": "m", "param": "p", "event_id": "evt_3"}
TRANSCRIPTION = "conversation.item.input_audio_transcription"
BUFFER = "input_audio_buffer"

GA: list[tuple[str, dict[str, Any], Any]] = [
    ("error", {"error": FAILURE}, wire.ServerError("invalid_request_error", "c", "m", "p", "evt_3")),
    ("session.created", {"session": SESSION}, wire.SessionCreated(SESSION)),
    ("session.updated", {"session": SESSION}, wire.SessionUpdated(SESSION)),
    ("conversation.created", {"conversation": {"id": "conv_1"}}, None),
    ("conversation.item.added", {"item": ITEM, "previous_item_id": "item_0"}, wire.ItemAdded(ITEM, "item_0")),
    ("conversation.item.created", {"item": ITEM, "previous_item_id": None}, wire.ItemAdded(ITEM, "")),
    ("conversation.item.done", {"item": ITEM}, wire.ItemDone(ITEM, None)),
    ("conversation.item.retrieved", {"item": ITEM}, wire.ItemRetrieved(ITEM)),
    ("conversation.item.deleted", {"item_id": "item_1"}, wire.ItemDeleted("item_1")),
    (
        "conversation.item.truncated",
        {"item_id": "item_1", "content_index": 0, "audio_end_ms": 1500},
        wire.ItemTruncated("item_1", 0, 1500),
    ),
    (f"{TRANSCRIPTION}.delta", {"item_id": "item_1", "delta": "Hel"}, wire.TranscriptionDelta("item_1", 0, "Hel")),
    (
        f"{TRANSCRIPTION}.completed",
        {
            "item_id": "item_1",
            "content_index": 0,
            "transcript": "Ciao",
            "usage": {"type": "duration", "seconds": 1},
            "languages": [{"code": "it"}, "de", 7, {"code": 7}],
            "logprobs": [{"token": "Ciao", "logprob": -0.1, "bytes": [67]}, None],
        },
        wire.TranscriptionCompleted(
            "item_1",
            0,
            "Ciao",
            {"type": "duration", "seconds": 1},
            ["it", "de"],
            [{"token": "Ciao", "logprob": -0.1, "bytes": [67]}],
        ),
    ),
    (f"{TRANSCRIPTION}.segment", {"item_id": "item_1", "text": "Hello", "speaker": "A"}, None),
    (
        f"{TRANSCRIPTION}.failed",
        {"item_id": "item_1", "content_index": 0, "error": {"code": "x"}},
        wire.TranscriptionFailed("item_1", 0, {"code": "x"}),
    ),
    (f"{BUFFER}.speech_started", {"item_id": "item_1", "audio_start_ms": 320}, wire.SpeechStarted("item_1", 320)),
    (f"{BUFFER}.speech_stopped", {"item_id": "item_1", "audio_end_ms": 900}, wire.SpeechStopped("item_1", 900)),
    (f"{BUFFER}.committed", {"item_id": "item_1", "previous_item_id": None}, wire.Committed("item_1", "")),
    (f"{BUFFER}.cleared", {}, wire.Cleared()),
    (
        f"{BUFFER}.timeout_triggered",
        {"item_id": "item_1", "audio_start_ms": 1, "audio_end_ms": 2},
        wire.TimeoutTriggered("item_1", 1, 2),
    ),
    (f"{BUFFER}.dtmf_event_received", {"event": "#", "received_at": 1}, wire.Dtmf("#", 1)),
    ("output_audio_buffer.started", {"response_id": "resp_1"}, None),
    ("output_audio_buffer.stopped", {"response_id": "resp_1"}, None),
    ("output_audio_buffer.cleared", {"response_id": "resp_1"}, None),
    ("response.created", {"response": RESPONSE}, wire.ResponseCreated("resp_1", RESPONSE)),
    ("response.done", {"response": RESPONSE}, wire.ResponseDone("resp_1", RESPONSE)),
    ("response.output_item.added", {"response_id": "resp_1", "item": ITEM}, wire.OutputItemAdded("resp_1", ITEM)),
    ("response.output_item.done", {"response_id": "resp_1", "item": ITEM}, wire.OutputItemDone("resp_1", ITEM)),
    ("response.content_part.added", {"part": {}}, None),
    ("response.content_part.done", {"part": {}}, None),
    ("response.output_audio.delta", {**PART, "delta": BASE64}, wire.AudioDelta("resp_1", "item_1", 1, AUDIO)),
    ("response.output_audio.done", PART, wire.AudioDone("resp_1", "item_1", 1)),
    (
        "response.output_audio_transcript.delta",
        {**PART, "delta": "Hel"},
        wire.TranscriptDelta("resp_1", "item_1", 1, "Hel"),
    ),
    (
        "response.output_audio_transcript.done",
        {**PART, "transcript": "Hello"},
        wire.TranscriptDone("resp_1", "item_1", 1, "Hello"),
    ),
    ("response.output_text.delta", {**PART, "delta": "Hel"}, wire.TextDelta("resp_1", "item_1", 1, "Hel")),
    ("response.output_text.done", {**PART, "text": "Hello"}, wire.TextDone("resp_1", "item_1", 1, "Hello")),
    ("response.function_call_arguments.delta", {"call_id": "call_1", "delta": "{"}, None),
    ("response.function_call_arguments.done", {"call_id": "call_1", "arguments": "{}"}, None),
    ("response.mcp_call_arguments.delta", {"item_id": "item_1"}, None),
    ("response.mcp_call_arguments.done", {"item_id": "item_1"}, None),
    ("response.mcp_call.in_progress", {"item_id": "item_1"}, None),
    ("response.mcp_call.completed", {"item_id": "item_1"}, None),
    ("response.mcp_call.failed", {"item_id": "item_1"}, None),
    ("mcp_list_tools.in_progress", {"item_id": "item_1"}, None),
    ("mcp_list_tools.completed", {"item_id": "item_1"}, None),
    ("mcp_list_tools.failed", {"item_id": "item_1"}, None),
    ("rate_limits.updated", {"rate_limits": [{"name": "tokens"}, 3]}, wire.RateLimits([{"name": "tokens"}])),
]
BETA_NAMES = {
    "response.audio.delta": "response.output_audio.delta",
    "response.audio.done": "response.output_audio.done",
    "response.audio_transcript.delta": "response.output_audio_transcript.delta",
    "response.audio_transcript.done": "response.output_audio_transcript.done",
    "response.text.delta": "response.output_text.delta",
    "response.text.done": "response.output_text.done",
}
FIELDS_OF = {type: fields for type, fields, _ in GA}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(("type", "fields", "expected"), GA, ids=[type for type, _, _ in GA])
def test_each_event_of_the_protocol(type: str, fields: dict[str, Any], expected: Any) -> None:
    data = {"type": type, **fields}
    expected = wire.Notice(type, data) if expected is None else expected
    for event in (decode(json.dumps(data)), decode(orjson.dumps(data)), decode_object(data)):
        assert event == expected and event.__class__ is expected.__class__


def test_the_table_is_the_protocol() -> None:
    assert len(GA) == 46
    assert set(SERVER_EVENTS) == set(FIELDS_OF) | set(BETA_NAMES)


@pytest.mark.parametrize(("beta", "ga"), BETA_NAMES.items())
def test_beta_names_mean_the_same(beta: str, ga: str) -> None:
    fields = FIELDS_OF[ga]
    assert decode(json.dumps({"type": beta, **fields})) == decode(json.dumps({"type": ga, **fields}))


@pytest.mark.parametrize("index", [-1, 256, 2**53])
def test_a_part_that_no_item_can_have_is_malformed(index: int) -> None:
    event = {"type": "response.output_audio_transcript.delta", **PART, "content_index": index, "delta": "x"}
    assert isinstance(decode_object(event), wire.Malformed)


def test_what_is_unknown_or_malformed_is_data() -> None:
    assert decode('{"type":"response.invented","x":1}') == wire.Unknown(
        "response.invented", {"type": "response.invented", "x": 1}
    )
    for text in ("", "{", "null", "3", "[]", "{}", '{"type":3}', "\ud800", b"\xff"):
        event = decode(text)
        assert isinstance(event, wire.Malformed) and event.data is None, text
    event = decode('{"type":"conversation.item.added"}')
    assert event == wire.Malformed(
        "conversation.item.added: 'item' is not an object", {"type": "conversation.item.added"}
    )


@pytest.mark.parametrize("error", [None, "quota", {}, {"message": None, "code": 3}, []])
def test_odd_errors(error: Any) -> None:
    assert isinstance(decode(json.dumps({"type": "error", "error": error})), wire.ServerError)


@given(st.sampled_from(sorted(SERVER_EVENTS)), st.dictionaries(st.text(max_size=12), json_values, max_size=4))
def test_no_field_of_any_kind_raises(type: str, extra: dict[str, Any]) -> None:
    fields = FIELDS_OF.get(BETA_NAMES.get(type, type), {})
    for name in (*fields, None):
        data = {key: value for key, value in fields.items() if key != name}
        if name is not None and extra:
            data[name] = next(iter(extra.values()))
        assert decode(orjson.dumps({**extra, **data, "type": type}).decode()) is not None


@given(st.binary(max_size=2000) | st.text(max_size=2000))
def test_no_message_raises(message: bytes | str) -> None:
    decode(message)


shapes = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.text(max_size=10),
        "response_id": st.text(max_size=10) | json_values,
        "item_id": st.text(max_size=10) | json_values,
        "content_index": st.integers(0, 9) | json_values,
        "delta": st.binary(min_size=800, max_size=3000).map(lambda b: base64.b64encode(b).decode())
        | st.text(max_size=2000)
        | json_values,
        'a"delta":"b': json_values,
        "nested": st.fixed_dictionaries({"delta": st.text(min_size=900, max_size=1100)}),
    },
)


@given(
    shapes,
    st.sampled_from(["response.output_audio.delta", "response.audio.delta", "response.output_text.delta", "x"]),
    st.permutations(["type", "event_id", "response_id", "item_id", "content_index", "delta", 'a"delta":"b', "nested"]),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\t")]),
    st.integers(0, 40),
)
def test_slicing_agrees_with_parsing(
    fields: dict[str, Any], type: str, order: list[str], separators: tuple[str, str], cut: int
) -> None:
    data = {"type": type, **fields}
    text = json.dumps({key: data[key] for key in order if key in data}, separators=separators)
    text = text + " " * max(0, 1100 - len(text))  # long enough to be worth slicing
    for message in (text, text[:-cut], text.replace("/", "\\/")):
        try:
            parsed = orjson.loads(message)
        except ValueError:
            assert isinstance(decode(message), wire.Malformed)
        else:
            assert decode(message) == decode_object(parsed)


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"response.output_audio.delta","item_id":"i","delta":"%s","delta":"AAAA"}',
        '{"type":"response.output_audio.delta","item_id":"i","delta":{"delta":"%s"}}',
        '{"type":"response.output_audio.delta","item_id":"i","x":{"delta":"%s"},"delta":"AAAA"}',
        '{"delta":"%s","item_id":"i","type":"response.output_audio.delta"}',
        '{"type":"response.output_audio.delta","item_id":"i","delta":"%s=="}',
    ],
)
def test_slicing_where_it_could_go_wrong(text: str) -> None:
    text %= BASE64
    assert decode(text) == decode_object(orjson.loads(text))


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00", "\\ude00\\ud83d"])
@pytest.mark.parametrize("as_bytes", [False, True])
def test_half_a_surrogate_pair_costs_one_character_and_not_the_event(half: str, as_bytes: bool) -> None:
    pieces = ('{"type":"response.done","response":{"id":"r1","', '":["', '!","\\ud83d\\ude00"],"n":1', "}}")
    text = pieces[0] + half + pieces[1] + half + pieces[2] + "0" * 30 + pieces[3]
    event = decode(text.encode() if as_bytes else text)
    mark = "\ufffd" * half.count("\\")
    assert event == wire.ResponseDone("r1", {"id": "r1", mark: [f"{mark}!", "\U0001f600"], "n": 1e30})


@pytest.mark.parametrize(
    "text", ['{"type":"error","x":NaN,"y":"\\ud83d"}', '{"type":"error","y":"\\ud83d"', "[" * 20_000]
)
def test_what_is_not_json_stays_malformed(text: str) -> None:
    assert isinstance(decode(text), wire.Malformed)


@given(st.binary(max_size=5000))
def test_what_is_appended_is_what_was_said(audio: bytes) -> None:
    data = json.loads(encode_append(audio))
    assert data == {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}


def test_client_events_carry_their_ids() -> None:
    assert len(CLIENT_EVENTS) == 11
    ids = EventIds()
    for type in sorted(CLIENT_EVENTS):
        data = json.loads(encode(ids(), type, {"item_id": "ü"}))
        assert data["type"] == type and data["item_id"] == "ü"
    assert ids() == "evt_12"
    with pytest.raises(TypeError):
        encode("evt_1", "session.update", {"session": object()})


def test_what_users_code_returns_can_be_sent() -> None:
    odd = {"text": "a\udc80b", "map": MappingProxyType({1: 2**70})}
    assert json.loads(encode("evt_1", "x", odd)) == {
        "type": "x", "event_id": "evt_1", "text": "a?b", "map": {"1": 2**70},
    }  # fmt: skip


@pytest.mark.parametrize("kind", [[], {}, None, 1, True, ["response.output_audio.delta"]])
def test_a_long_message_with_a_type_of_another_kind_is_malformed(kind: Any) -> None:
    """Long messages are first tried as audio."""
    message = json.dumps({"type": kind, "delta": "A" * 2000}, separators=(",", ":"))
    assert decode(message) == wire.Malformed("not an object with a type")
