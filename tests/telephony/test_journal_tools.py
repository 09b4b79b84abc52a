"""Audio, transcript, figures and picture of a journal, compared with calls whose truth is known."""

from __future__ import annotations

import io
import wave
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from realtime_core.audio import g711
from telephony.journal.audio import CallAudio, rebuild
from telephony.journal.collector import collect
from telephony.journal.drawing import text_width, wrap
from telephony.journal.figures import figures_of
from telephony.journal.format import Record
from telephony.journal.reader import read_journal
from telephony.journal.recorded import RecordedCall
from telephony.journal.timeline import timeline_png, timeline_svg
from telephony.journal.transcript import Event, Turn, events_of, to_json, to_text
from telephony.journal.wav import write_stereo
from tests.support.synthetic_call import GREETING, HOURS, LAG_S, LONG_ANSWER, SyntheticCall, restaurant_call


def load(call: SyntheticCall, tmp_path: Path) -> tuple[RecordedCall, CallAudio]:
    recorded = collect(read_journal(call.write(tmp_path / "journal.jsonl")))
    return recorded, rebuild(recorded)


@pytest.fixture
def call() -> SyntheticCall:
    return restaurant_call()


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_are_rebuilt_to_the_sample(tmp_path: Path, seed: int) -> None:
    call = restaurant_call(seed=seed)
    _, audio = load(call, tmp_path)
    assert audio.mismatches == 0
    assert audio.caller == bytes(call.caller)
    assert audio.agent == bytes(call.heard)


def test_the_wav_is_aligned_to_the_sample(call: SyntheticCall, tmp_path: Path) -> None:
    _, audio = load(call, tmp_path)
    write_stereo(tmp_path / "call.wav", audio)
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (2, 8000, 2)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert samples[:, 0].tobytes() == g711.decode(bytes(call.caller))
    assert samples[:, 1].tobytes() == g711.decode(bytes(call.heard))


def test_holes_in_the_callers_audio_are_silence_and_counted(call: SyntheticCall, tmp_path: Path) -> None:
    call.missing_frames = {*range(350, 360), 400}
    recorded, audio = load(call, tmp_path)
    assert recorded.gaps == 2
    assert audio.caller[350 * 160 : 360 * 160] == g711.SILENCE * 1600
    assert audio.caller == bytes(call.caller)
    assert audio.agent == bytes(call.heard)


def test_a_journal_that_ends_in_mid_call_gives_the_call_up_to_there(call: SyntheticCall, tmp_path: Path) -> None:
    records = list(read_journal(call.write(tmp_path / "journal.jsonl")))
    for killed_s in (1.0, 5.0, 12.0, 14.2, 20.0):
        recorded = collect(record for record in records if record.t <= killed_s + LAG_S)
        audio = rebuild(recorded)
        assert len(audio.caller) == len(audio.agent) == pytest.approx(killed_s * 8000, abs=400)
        assert audio.caller == bytes(call.caller[: len(audio.caller)])
        # The run that was open is not in the journal: it is dated by when its first frame was sent, 5 ms too early.
        truth, lag = np.frombuffer(call.heard, np.uint8), 5 * 8
        agent = np.frombuffer(audio.agent, np.uint8)
        same = (agent == truth[: len(agent)]) | (agent == truth[lag : lag + len(agent)])
        assert same.mean() > 0.999
        assert events_of(recorded, audio)


def test_a_clear_that_no_interruption_explains_silences_what_it_cleared(tmp_path: Path) -> None:
    call = SyntheticCall(20_000)
    call.agent_says(1000, LONG_ANSWER, "item_1", cut_ms=4000)
    recorded = collect(
        record for record in read_journal(call.write(tmp_path / "journal.jsonl")) if record.kind != "interruption"
    )
    assert rebuild(recorded).agent == bytes(call.heard)


def test_audio_that_is_not_what_was_sent_is_counted(call: SyntheticCall, tmp_path: Path) -> None:
    records = list(read_journal(call.write(tmp_path / "journal.jsonl")))
    first = next(n for n, record in enumerate(records) if record.event == "response.output_audio.delta")
    assert rebuild(collect(records[:first] + records[first + 1 :])).mismatches > 0


def test_records_that_make_no_sense_are_counted_and_skipped(call: SyntheticCall, tmp_path: Path) -> None:
    records = list(read_journal(call.write(tmp_path / "journal.jsonl")))
    nonsense = [
        Record(1.0, "twilio.in", {"message": {"event": "media", "media": {"payload": "???", "timestamp": "soon"}}}),
        Record(1.0, "twilio.in", {"message": {"event": "media"}}),
        Record(1.0, "tool.start", {}),
        Record(1.0, "stream", {"runs": 5}),
        Record(1.0, "model.in", {"message": {"type": "input_audio_buffer.speech_stopped", "item_id": "item_2"}}),
    ]
    recorded = collect([*records[:400], *nonsense, *records[400:]])
    assert recorded.malformed == 4  # the last one is about speech that has not begun
    assert rebuild(recorded).agent == bytes(call.heard)


def test_the_transcript_shows_what_was_said_and_what_was_heard(call: SyntheticCall, tmp_path: Path) -> None:
    entries = events_of(*load(call, tmp_path))
    turns = {entry.item_id: entry for entry in entries if isinstance(entry, Turn)}
    assert turns["item_1"].said == turns["item_1"].heard == GREETING
    cut = turns["item_3"]
    assert cut.interrupted and cut.said == LONG_ANSWER and LONG_ANSWER.startswith(cut.heard)
    assert cut.heard_ms == 4110
    assert 0.5 < (len(cut.heard) / len(cut.said)) / (cut.heard_ms / cut.received_ms) < 1.5
    assert turns["item_5"].heard == HOURS and not turns["item_5"].interrupted
    assert "".join(turns[f"item_{n}"].speaker[0] for n in range(1, 9)) == "acacaaca"
    assert [entry.kind for entry in entries if isinstance(entry, Event)] == ["tool", "interruption", "key"]
    assert [entry.start_ms for entry in entries] == sorted(entry.start_ms for entry in entries)


def test_an_answer_of_which_nothing_was_heard(tmp_path: Path) -> None:
    call = SyntheticCall(20_000)
    call.agent_says(1000, GREETING, "item_1", cut_ms=3000)
    call.model(2990, "response.output_audio_transcript.done", item_id="item_2", content_index=0, transcript="And more.")
    call.add(3001.5, "interruption", item_id="item_1", position=None, heard=[["item_2", 0, 0]], truncations=[])
    turns = [entry for entry in events_of(*load(call, tmp_path)) if isinstance(entry, Turn)]
    assert (turns[1].said, turns[1].heard, turns[1].heard_ms) == ("And more.", "", 0)


def test_the_transcript_as_text_and_json(call: SyntheticCall, tmp_path: Path) -> None:
    entries = events_of(*load(call, tmp_path))
    text = to_text(entries)
    assert text.startswith("00:00.4  Agent   Hello, this is Trattoria Blu.")
    assert 'tool book_table(day="Friday", people=2) -> Confirmed: BLU-2711' in text
    assert "[not heard: " in text and "the caller pressed 1" in text and "4110 ms were heard" in text
    objects = to_json(entries)
    assert [o["type"] for o in objects].count("turn") == 8
    assert objects[0] | {"heard_ms": 0, "received_ms": 0, "end_ms": 0} == {
        "type": "turn", "start_ms": 400, "end_ms": 0, "speaker": "agent", "item_id": "item_1", "said": GREETING,
        "heard": GREETING, "heard_ms": 0, "received_ms": 0, "content_index": 0, "interrupted": False,
    }  # fmt: skip


def test_the_figures(call: SyntheticCall, tmp_path: Path) -> None:
    figures = figures_of(*load(call, tmp_path))
    speech = [latency.ms for latency in figures.latencies if latency.after == "speech"]
    assert speech == pytest.approx([700, 480, 450], abs=100)  # a rendered clip ends in a little silence
    assert [latency.ms for latency in figures.latencies if latency.after == "key"] == [pytest.approx(200)]
    assert [silence.ms for silence in figures.silences] == [pytest.approx(10 - 1, abs=15)]
    assert figures.truncations == (("item_3", 4110),)
    assert [underrun.gap_ms for underrun in figures.underruns] == [340]
    assert figures.greeting_ms == 400
    json = figures.to_json()
    assert json["cpu_ms_per_call_s"] == pytest.approx(310 / json["call_s"], abs=0.1)
    assert json["counts"] | {"media_sent": 0, "caller_frames": 0} == {
        "caller_frames": 0, "caller_gaps": 0, "media_sent": 0, "marks_sent": 0, "marks_returned": 0, "clears": 1,
        "keys": 1, "tool_calls": 1, "interruptions": 1, "records_lost": 0, "samples_mismatched": 0,
    }  # fmt: skip


def test_the_figures_of_an_empty_call() -> None:
    call = collect([])
    audio = rebuild(call)
    figures = figures_of(call, audio)
    assert figures.to_json()["response_latency_ms"] == {"p50": None, "worst": None, "turns": []}
    assert timeline_png(call, audio, events_of(call, audio), figures)


def test_the_picture(call: SyntheticCall, tmp_path: Path) -> None:
    recorded, audio = load(call, tmp_path)
    entries, figures = events_of(recorded, audio), figures_of(recorded, audio)
    image = Image.open(io.BytesIO(timeline_png(recorded, audio, entries, figures)))
    assert image.size == (1600, 540)
    ElementTree.fromstring(timeline_svg(recorded, audio, entries, figures))
    silent = timeline_png(recorded, replace(audio, agent=b"\xff" * len(audio.agent)), entries, figures)
    assert silent != timeline_png(recorded, audio, entries, figures)


@pytest.mark.parametrize("width", [30, 60, 200])
def test_texts_fit_their_room(width: float) -> None:
    lines = wrap(LONG_ANSWER, 13, width, 3)
    assert len(lines) == 3 and lines[-1].endswith("…")
    assert text_width(lines[-1], 13) <= width
    assert wrap("short", 13, 200, 3) == ["short"]
