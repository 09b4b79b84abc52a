"""Invalid data of the model, Twilio or users' code: each line of a journal is valid JSON, and every reader
continues."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core.connection import Connection
from realtime_core.connection.wrapper import ConnectionWrapper
from realtime_core.testing import virtual_time
from telephony.call.ports import PhoneControl
from telephony.call.recording.digit_masking import DigitMasker
from telephony.call.recording.recorder import CallRecorder, RecordedConnection, RecordedControl
from telephony.console.feed import Feeds
from telephony.demo.live_call import whole_call
from telephony.demo.over_sockets import JournalTail
from telephony.doctor.trace import trace
from telephony.errors import JournalError, ReplayError, TwilioServerError
from telephony.journal.disk import Disk
from telephony.journal.encoding import MAX_DEPTH, dump, parse_object
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.journal.header import configuration
from telephony.journal.memory import MemoryJournal
from telephony.journal.reader import parse_lines, raw_lines, read_journal
from telephony.journal.redaction import redaction
from telephony.journal.timeline import timeline_svg
from telephony.journal.transcript import to_json
from telephony.journal.writer import JournalWriter
from telephony.replay.call import HeardCall
from telephony.replay.replaying import read
from telephony.simulator.handset import Handset
from tests.support.phone_calls import Records, phone_call
from tests.support.recorded_calls import recorded

# --- frames ----------------------------------------------------------------------------------------------------------

ODD_NUMBERS = ("NaN", "-Infinity", "1e999", "-1e400", "9" * 400, "9" * 5000, "-0", "1E+2", "00", "0x1")
ODD_FRAMES: list[str | bytes] = [
    "",
    " ",
    "{",
    "}",
    "{}",
    "{garbage}",
    '{"type":"response.done","function_call"}',
    '{"type": "x", "item": {"type": "function_call", "name": "send_digits", "arguments": "4711"}',
    '["function_call"]',
    "function_call",
    '"The caller pressed 4."',
    "null",
    "17",
    "\x00",
    '{"type":"x"}\x00',
    '{"a":"\ud800"}',
    '{"type":"error","error":"\\ud800"}',
    '{"type":"\\ud800function_call"}',
    '{"a":\n\r\n1}',
    '{"a":"\x01"}',
    '{"a":1}{"b":2}',
    '{"a":1}\n{"t":0,"kind":"end"}',
    '{"t":0,"kind":"header","schema":99}',
    "[" * 100_000,
    '{"function_call":' + "[" * 900 + "]" * 900 + "}",
    '{"type":' * 2000 + "1" + "}" * 2000,
    "{" + '"a":1,' * 10_000 + '"b":2}',
    "x" * 3_000_000,
    b"",
    b"\xff\xfe\x00",
    b'{"type":"session.updated"}',
    b'{"type":"\xff"}',
    *(f'{{"type":"response.done","function_call":{number}}}' for number in ODD_NUMBERS),
]

TYPES = [
    "session.created", "session.updated", "error", "response.created", "response.done",
    "response.output_audio.delta", "response.output_audio.done", "response.output_item.done",
    "response.output_audio_transcript.delta", "response.output_audio_transcript.done",
    "response.function_call_arguments.delta", "response.function_call_arguments.done",
    "input_audio_buffer.speech_started", "input_audio_buffer.speech_stopped",
    "conversation.item.input_audio_transcription.completed", "conversation.item.created", "function_call",
]  # fmt: skip
NAMES = [
    "type", "item", "id", "call_id", "item_id", "response_id", "name", "arguments", "delta", "transcript", "session",
    "audio", "input", "output", "format", "content_index", "audio_start_ms", "audio_end_ms", "response", "metadata",
    "usage", "error", "event", "event_id", "media", "payload", "timestamp", "dtmf", "digit", "message",
]  # fmt: skip
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**63, 2**64, -(2**70), 10**300, 1e300, -1.5]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(
        [*TYPES, "send_digits", "4711", "The caller pressed 4.", "audio/pcmu", "////", "//8", "%%%", "a\ud800"]
    ),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=12,
)
messages = st.builds(
    lambda type, rest: {"type": type, **rest},
    st.sampled_from(TYPES) | values,
    st.dictionaries(st.sampled_from(NAMES[1:]), values, max_size=6),
)
frames = st.one_of(
    messages.map(json.dumps),
    messages.map(lambda message: json.dumps(message, ensure_ascii=False)),
    st.text(max_size=40),
    st.text(max_size=40).map(lambda text: f'{{"function_call"{text}}}'),
    st.binary(max_size=40),
    st.sampled_from([frame for frame in ODD_FRAMES if len(frame) < 10_000]),
)


def strict(line: str | bytes) -> Any:
    """As any reader of JSON takes it."""

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(line, parse_constant=refuse)


def recorded_frames(path: Path, frames: list[str | bytes], *, secret: str = "", **masks: Any) -> list[Record]:
    """The records of these frames, through the recorder, the maskers and the journal, after each line was checked."""
    journal = JournalWriter(path, redaction=redaction(**masks), disk=Disk(flush_s=0.001))

    async def main() -> None:
        feeds = Feeds()
        with feeds.follow("CA1"):
            record = CallRecorder(feeds.tee("CA1", journal))
            if secret:
                record.hide(secret)
            for frame in frames:
                record.message("model.in", frame)
            record.close()

    virtual_time.run(main())
    assert journal.finish(10)
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == len(frames)
    for line in lines:
        assert line.endswith(b"\n") and strict(line)["kind"] == "model.in"
    return list(read_journal(path))


@pytest.mark.parametrize("frame", ODD_FRAMES, ids=range(len(ODD_FRAMES)))
def test_an_odd_frame_is_one_valid_line(frame: str | bytes, tmp_path: Path) -> None:
    masks: dict[str, Any] = {"patterns": [r"\d{4}"], "secrets": ["a-great-secret"], "audio": True}
    plain = recorded_frames(tmp_path / "a", [frame])
    masked = recorded_frames(tmp_path / "b", [frame], secret="4711", **masks)
    for (record,) in (plain, masked):
        assert bool(record.message) != ("text" in record.data) or record.message == {}
        assert len(str(record.data.get("text", ""))) <= 1000


@given(frame=frames)
@example(frame='{"type":"response.function_call_arguments.delta","item_id":[],"call_id":{},"name":[]}')
@example(frame='{"function_call":1,"type":"function_call","name":["send_digits"]}')
@example(frame='{"type":"response.output_audio.delta","delta":"abc"}')
@example(frame='{"type":"response.output_audio.delta","delta":"//8="}')
@example(frame='{"type":"session.updated","session":{"audio":[]}}')
def test_any_frame_is_one_valid_line(tmp_path_factory: pytest.TempPathFactory, frame: str | bytes) -> None:
    folder = tmp_path_factory.mktemp("frames")
    masks: dict[str, Any] = {"patterns": [r"[0-9]{4}"], "secrets": ["a-great-secret"], "audio": True}
    (record,) = recorded_frames(folder / "a", [frame], secret="4711", **masks)
    (before,) = recorded_frames(folder / "b", [frame])
    if record.event != "response.output_audio.delta" and (parsed := parse_object(frame)) is not None:
        assert record.message.keys() == before.message.keys() == parsed.keys()
    every_reader(folder / "a")


@pytest.mark.parametrize("frame", [f for f in ODD_FRAMES if len(f) < 10_000], ids=str)
def test_a_frame_that_is_no_json_shows_no_digit(frame: str | bytes, tmp_path: Path) -> None:
    (record,) = recorded_frames(tmp_path / "journal.jsonl", [frame])
    if "text" in record.data:
        assert not re.search(r"\d", record.data["text"])


@given(message=messages, secret=st.text("0123456789", min_size=4, max_size=8))
def test_the_masker_takes_any_object_and_gives_one(message: dict[str, Any], secret: str) -> None:
    secrecy = DigitMasker()
    secrecy.hide(secret)
    masked = secrecy.message(json.dumps(message))
    assert strict(masked).keys() == message.keys()
    assert secrecy.value(message).keys() == message.keys()


any_values = st.recursive(
    leaves | st.floats() | st.binary(max_size=3) | st.sampled_from([{1, 2}, object(), Path("x"), 1j]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.integers() | st.text(max_size=2) | st.tuples(st.integers()), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(fields=st.dictionaries(st.text(max_size=5), any_values, max_size=4))
def test_any_fields_are_one_json_object(fields: dict[str, Any]) -> None:
    assert parse_object(dump(fields), 300) is not None
    strict(dump(fields))


class _Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def circle() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["again"] = [inner]
    return inner


ODD_VALUES = {
    "no repr": _Unprintable(),
    "a circle": circle(),
    "a great number": 10**5000,
    "no number": math.nan,
    "odd keys": {"a": {(1, 2): "\udfff"}},
}


@pytest.mark.parametrize("value", ODD_VALUES.values(), ids=ODD_VALUES)
def test_what_users_code_gives_is_one_valid_line(value: Any, tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "journal.jsonl", disk=Disk(flush_s=0.001))

    async def main() -> None:
        record = CallRecorder(journal)
        record.hide("4711")
        record.write("control", id=1, action="session.update_settings", settings=value)
        record.write("tool.end", call_id="c", output=value)
        config = configuration(
            greeting=None, ambience=None, model_config={"initial_model_settings": value}, run_config={"a": value}
        )
        record.write("header", config=config)
        record.close()

    virtual_time.run(main())
    assert journal.finish(10)
    assert [strict(line)["kind"] for line in journal.path.read_bytes().splitlines()] == [
        "control",
        "tool.end",
        "header",
    ]
    assert len(list(read_journal(journal.path))) == 3


BODIES = ["\x00", "\ud800 is odd", "{garbage}", "\n{}\n", "x" * 100_000, "\u2028", "<html>"]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_what_twilio_answers_and_sends_is_one_valid_line(body: str, tmp_path: Path) -> None:
    class Refusing:
        async def redirect(self, call_sid: str, twiml: str) -> None:
            raise TwilioServerError(body, status=500)

    journal = JournalWriter(tmp_path / "journal.jsonl", disk=Disk(flush_s=0.001))

    async def main() -> None:
        record = CallRecorder(journal)
        control = RecordedControl(cast(PhoneControl, Refusing()), record, "CA1")
        with pytest.raises(TwilioServerError):
            await control.redirect("CA1", "<Response/>")
        record.write("callback", what="call status", status=body)
        record.message("twilio.in", json.dumps({"event": "later", "body": body}))
        record.close()

    virtual_time.run(main())
    assert journal.finish(10)
    lines = journal.path.read_bytes().splitlines()
    assert [strict(line)["kind"] for line in lines] == ["rest", "callback", "twilio.in"]
    assert len(list(read_journal(journal.path))) == 3


def test_what_is_nested_deep_is_text() -> None:
    deepest = '{"a":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH
    assert parse_object(deepest) is not None
    assert parse_object(f'{{"a":{deepest}}}') is None
    assert parse_object(f'{{"a":"{"{" * 1000}"}}') is not None


# --- whole calls -----------------------------------------------------------------------------------------------------


class GarblingConnection(ConnectionWrapper):
    """A connection to the model that delivers one of `frames` before each message of the model."""

    def __init__(self, connection: Connection, frames: Iterator[str | bytes]) -> None:
        super().__init__(connection)
        self._frames = frames

    async def run(self, on_message: Any) -> Any:
        def garbled(message: str | bytes) -> None:
            if (frame := next(self._frames, None)) is not None:
                on_message(frame)
            on_message(message)

        return await super().run(garbled)


async def hello(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


def call_with(monkeypatch: pytest.MonkeyPatch, frames: list[str | bytes], path: Path | None = None) -> Any:
    journal = JournalWriter(path, disk=Disk(flush_s=0.001)) if path is not None else Records()
    with monkeypatch.context() as patched:
        rest = iter(frames)
        patched.setattr(
            "telephony.call.conversation.RecordedConnection",
            lambda connection, record: RecordedConnection(GarblingConnection(connection, rest), record),
        )
        call = virtual_time.run(phone_call(hello, journal=lambda info: journal), seed=1)
    if isinstance(journal, JournalWriter):
        assert journal.finish(10)
    return call


def test_a_call_continues_whatever_the_model_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = call_with(monkeypatch, [])
    odd = [frame for frame in ODD_FRAMES if len(frame) < 10_000] * 2
    call = call_with(monkeypatch, odd, tmp_path / "journal.jsonl")
    assert call.outcome.reason == plain.outcome.reason == "hung up"
    assert bytes(call.peer.heard) == bytes(plain.peer.heard), "the caller heard the same"
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines()
    assert all(strict(line) for line in lines)
    every_reader(tmp_path / "journal.jsonl")
    (end,) = [record for record in read_journal(tmp_path / "journal.jsonl") if record.kind == "end"]
    assert end.data["reason"] == "hung up"


@settings(max_examples=extent(12, 500))
@given(sent=st.lists(frames, max_size=40))
def test_a_call_ends_as_the_caller_wants_whatever_the_model_sends(
    tmp_path_factory: pytest.TempPathFactory, sent: list[str | bytes]
) -> None:
    async def caller(phone: Handset) -> None:
        await asyncio.sleep(8)
        phone.hang_up()

    # The third message of the server is session.updated. An error before it refuses the session.
    assume(not any('"error"' in str(frame) for frame in sent[:3]))
    path = tmp_path_factory.mktemp("call") / "journal.jsonl"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys.modules[__name__], "hello", caller)
        call = call_with(patched, sent, path)
    assert call.outcome.reason == "hung up"
    every_reader(path)


def test_a_page_follows_a_call_whatever_the_model_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    feeds = Feeds()
    result: list[str] = []

    async def main() -> None:
        with feeds.follow("CA1") as feed:
            record = CallRecorder(feeds.tee("CA1", Records()))
            for frame in ODD_FRAMES:
                record.message("model.in", frame)
            kinds: list[Any] = [[], {}, None, 1, "response.output_audio.delta"]
            for kind in kinds:
                record.message("model.in", json.dumps({"type": kind, "delta": "abc", "item_id": "\ud800"}))
            record.write("end", reason="\ud800")
            result.extend([dump(each or {}) async for each in feed.records()])

    virtual_time.run(main())
    assert result and all(strict(each) for each in result)


# --- readers ---------------------------------------------------------------------------------------------------------


def every_reader(path: Path) -> None:
    """All that read journals."""
    call = HeardCall(lambda: read_journal(path))
    assert isinstance(call.transcript, str) and call.duration_ms >= 0
    assert call.longest_silence_ms >= 0 and call.talk_over_ms >= 0 and call.silence_prompts >= 0
    json.dumps([call.ended, call.answered_by, call.goodbye_heard])
    assert call.underruns >= 0 and all(each.silence_after_ms >= 0 for each in call.interruptions)
    assert all(count >= 0 for count in call.usage.tokens.values())
    json.dumps([[tool.name, tool.output] for tool in call.tools])
    json.dumps([to_json(call.events), figures_of(call.recorded, call.audio).to_json()])
    assert timeline_svg(call.recorded, call.audio, call.events, call.figures)
    json.dumps(trace(read_journal(path)))
    whole_call(read_journal(path))
    tail = JournalTail(path)
    tail.read()
    tail.close()
    list(raw_lines(path))
    try:
        read(path)
    except (JournalError, ReplayError):
        pass


@cache
def lines_of_a_call() -> list[bytes]:
    return recorded("demo").read_bytes().splitlines(keepends=True)


JUNK: list[Any] = [
    None, True, 0, -1, 2**70, 1e300, -1e300, "", "x", "17", "-5", "NaN", "inf", "\ud800", [], {}, [[]], [1, 2],
    {"a": []}, "%%%", "abc", "//8=", 10**12, "9" * 30,
]  # fmt: skip


def spoilt(value: Any, random: Random, rate: float) -> Any:
    """The same with junk here and there."""
    if random.random() < rate:
        return random.choice(JUNK)
    if isinstance(value, dict):
        return {key: spoilt(each, random, rate) for key, each in value.items() if random.random() > rate / 2}
    if isinstance(value, list):
        return [spoilt(each, random, rate) for each in value]
    return value


@pytest.mark.parametrize("seed", range(extent(4, 24)))
def test_every_reader_takes_records_that_hold_anything(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    rate = 0.5 ** random.randint(2, 9)
    lines = []
    for line in lines_of_a_call():
        record = json.loads(line)
        fields = {name: spoilt(value, random, rate) for name, value in record.items()}
        lines.append({**fields, "t": record["t"], "kind": record["kind"]})
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    every_reader(path)


ODD_LINES = [
    b"\n", b"  \n", b"{garbage}\n", b"[]\n", b"17\n", b'"x"\n', b"{}\n", b'{"t":1}\n', b'{"t":"1","kind":"end"}\n',
    b'{"t":NaN,"kind":"end"}\n', b'{"t":1e999,"kind":"end"}\n', b'{"t":' + b"9" * 400 + b',"kind":"x"}\n',
    b'{"t":1,"kind":[]}\n', b'{"t":1,"kind":"model.in","message":{garbage}}\n', b"\x00\x00\n", b"\xff\xfe\n",
    b'{"t":0.5,"kind":"model.in","mess\n', b"[" * 100_000 + b"\n",
    b'{"t":1.000000,"kind":"model.in","message":{garbage}}\n',
    b'{"t":1.000000,"kind":"twilio.in","message":{"event":"mark","mark":[]}}\n',
    b'{"t":1.000000,"kind":"twilio.in","message":{"event":"media"' + b"{" * 3000 + b"}}\n",
]  # fmt: skip


def test_odd_lines_are_left_out_and_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(1)
    good = lines_of_a_call()
    lines = list(good)
    for odd in ODD_LINES:
        lines.insert(random.randrange(len(lines)), odd)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(lines))
    with caplog.at_level(logging.WARNING):
        records = list(read_journal(path))
    assert [record for record in records if record.event != "mark" or record.message["mark"]] == list(parse_lines(good))
    (result,) = caplog.messages
    assert str(path) in result and "lines are no journal records" in result
    every_reader(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_a_compressed_file_that_was_cut_is_read_up_to_there(
    share: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = gzip.compress(b"".join(lines_of_a_call()))
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(whole[: int(len(whole) * share)])
    records = list(read_journal(path))
    assert records == list(parse_lines(lines_of_a_call()))[: len(records)] and records
    assert "damaged" in caplog.text
    every_reader(path)


def test_a_compressed_file_of_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl.gz"
    path.write_bytes(gzip.compress(b"x" * 1000)[:15])
    with pytest.raises(JournalError):
        list(read_journal(path))


def test_a_file_without_any_record_is_no_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(ODD_LINES[:4]))
    for read_all in (read_journal, raw_lines):
        with pytest.raises(JournalError, match="no journal: line 3"):
            list(read_all(path))


@pytest.mark.parametrize("data", [b"hello", b"{", b'{"t"', b'{"t":1.5,"kind":"hea', b"", b"\n", b'{"a":1}', b"\0\0"])
def test_a_file_of_one_line_without_an_end_is_a_cut_journal_or_no_journal(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(data)
    if data.strip() and not b'{"t":1.5'.startswith(data[:8]):
        with pytest.raises(JournalError, match="is no journal: line 1"):
            list(read_journal(path))
    else:
        assert list(read_journal(path)) == []


def test_a_journal_in_memory_takes_the_same() -> None:
    journal = MemoryJournal()

    async def main() -> None:
        record = CallRecorder(journal)
        for frame in ODD_FRAMES:
            record.message("model.in", frame)

    virtual_time.run(main())
    assert len(list(journal.records())) == len(ODD_FRAMES)
