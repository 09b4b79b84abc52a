"""`doctor --trace`: the figures of a line are those of the simulated line."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from telephony.cli.app import app
from telephony.doctor.trace import trace
from telephony.journal.format import Record
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from tests.support.phone_calls import phone_call

FRAME = base64.b64encode(b"\xff" * 160).decode()


def twilio_in(ms: float, event: str, **fields: Any) -> Record:
    return Record(ms / 1000, "twilio.in", {"message": {"event": event, **fields}})


def twilio_out(ms: float, event: str, **fields: Any) -> Record:
    return Record(ms / 1000, "twilio.out", {"message": {"event": event, **fields}})


def frame(ms: float, stamp_ms: int, n: int) -> Record:
    media = {"track": "inbound", "chunk": str(n), "timestamp": str(stamp_ms), "payload": FRAME}
    return twilio_in(ms, "media", sequenceNumber=str(n), media=media)


def mark(name: str) -> dict[str, Any]:
    return {"mark": {"name": name}}


START = twilio_in(0, "start", streamSid="MZ1", start={"mediaFormat": {"sampleRate": 8000}})
CALL = [
    Record(0, "header", {"call_sid": "CA1", "schema": 1}),
    START,
    twilio_out(0, "mark", **mark("probe:0:0:1")),
    frame(30, 0, 1),
    frame(52, 20, 2),
    twilio_in(60, "mark", **mark("probe:0:0:1")),
    frame(70, 40, 3),
    twilio_out(75, "mark", **mark("probe:0:0:2")),
    twilio_out(75, "media", position=0, bytes=160, crc32=0, segments=[]),
    twilio_out(75, "mark", **mark("heard:0:160:3")),
    twilio_out(75, "media", position=160, bytes=800, crc32=0, segments=[]),
    twilio_out(75, "mark", **mark("heard:0:960:4")),
    twilio_in(135, "mark", **mark("probe:0:0:2")),
    frame(138, 100, 4),
    Record(0.140, "stream", {"runs": [[0, 101.5]]}),
    twilio_out(145, "clear"),
    twilio_in(205, "mark", **mark("heard:0:160:3")),
    twilio_in(206, "mark", **mark("nobody's")),
    Record(0.300, "close", {"peer": "twilio", "code": 1006}),
]


def test_marks_frames_and_runs() -> None:
    figures = trace(CALL)
    assert (figures["call_sid"], figures["malformed"]) == ("CA1", 1)
    (stream,) = figures["streams"]
    probe, second, first, last = stream["marks"]
    assert (probe["sent_ms"], probe["back_ms"]) == (0, 60)
    assert (probe["after_stamp_ms"], probe["before_stamp_ms"]) == (20, 40), "dated by the frames around it"
    assert (first["position"], first["cleared"], first["before_stamp_ms"]) == (160, True, None)
    assert (last["position"], last["back_ms"]) == (960, None)
    assert not second["queued_audio"] and first["queued_audio"]
    assert stream["marks_lost"] == 1
    assert stream["probe_round_trip_ms"]["p0"] == 60
    assert stream["frames"]["count"] == 4
    assert stream["frames"]["arrival_minus_stamp_ms"]["p100"] == 8
    assert stream["frames"]["between_stamps_ms"]["p100"] == 60
    (run,) = stream["runs"]
    assert run["start_delay_ms"] is None, "a clear may have flushed its first mark"
    assert (run["position"], run["first_mark_audio_ms"], run["estimated_stamp_ms"]) == (0, 20.0, 101.5)
    assert stream["clears_ms"] == [145.0]
    assert stream["closed"]["code"] == 1006


def test_the_start_delay_is_what_exceeds_the_audio() -> None:
    calm = [record for record in CALL if record.event != "clear"]
    (run,) = trace(calm)["streams"][0]["runs"]
    assert run["start_delay_ms"] == 50.0


def test_each_stream_is_reported_by_itself() -> None:
    second = [twilio_in(400, "start", streamSid="MZ2", start={}), frame(430, 0, 1)]
    figures = trace([*CALL, *second])
    assert [stream["stream_sid"] for stream in figures["streams"]] == ["MZ1", "MZ2"]
    assert figures["streams"][1]["frames"]["first_arrived_ms"] == 430


def test_any_part_of_a_journal_can_be_reported() -> None:
    for length in range(len(CALL)):
        json.dumps(trace(CALL[:length]))
        json.dumps(trace(CALL[length:]))


@pytest.mark.virtual_time
async def test_a_simulated_line_is_recognised() -> None:
    async def caller(phone: Handset) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(1.0)
        phone.hang_up()

    line = Line(round_trip_s=0.08, start_delay_s=0.12, seed=1)
    call = await phone_call(caller, line=line)
    (stream,) = trace(Record(t, kind, fields) for t, kind, fields in call.records.all)["streams"]
    assert stream["probe_round_trip_ms"]["p0"] == pytest.approx(80, abs=2)
    assert stream["frames"]["arrival_minus_stamp_ms"]["p100"] == pytest.approx(0, abs=1)
    assert stream["runs"][0]["start_delay_ms"] == pytest.approx(120, abs=2)
    assert len(stream["marks"]) > 10


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tmp_path / "CA1" / "journal.jsonl"
    journal.parent.mkdir()
    journal.write_text("".join(json.dumps({"t": r.t, "kind": r.kind, **r.data}) + "\n" for r in CALL))
    monkeypatch.setenv("TELEPHONY_JOURNAL_DIR", str(tmp_path))
    by_sid = CliRunner().invoke(app, ["doctor", "--trace", "CA1"])
    assert by_sid.exit_code == 0
    assert json.loads(by_sid.stdout) == json.loads(json.dumps(trace(CALL)))
    written = tmp_path / "trace.json"
    assert CliRunner().invoke(app, ["doctor", "--trace", str(journal), "--output", str(written)]).exit_code == 0
    assert json.loads(written.read_text())["call_sid"] == "CA1"
    assert CliRunner().invoke(app, ["doctor", "--trace", "CA404"]).exit_code == 1
