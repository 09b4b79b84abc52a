"""The console's data about a live call: its turns, the heard words, who speaks, warnings, and its loudness."""

from __future__ import annotations

import asyncio
import base64
import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from realtime_core import RealtimeAgent, events, function_tool
from realtime_core.audio import g711
from realtime_core.events import AudioData, RealtimeAnyEvent
from realtime_core.model_events import (
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelTranscriptDoneEvent,
)
from realtime_core.playback import HeardItem
from realtime_core.sources import Sources
from telephony.console.access import Grant
from telephony.console.board import Board, last_part
from telephony.console.console import Console
from telephony.console.entries import heard_text
from telephony.console.live_call import LiveCall, Speaker
from telephony.console.live_feed import _live
from telephony.console.wave import STEP_MS, Wave, loudness

INFO: Any = None
SECOND = bytes(48_000)  # PCM16 at 24 kHz


@function_tool
def refund(order: str) -> str:
    """Refund an order."""
    return order


def audio(item: str, data: bytes = SECOND) -> RealtimeAnyEvent:
    return events.RealtimeAudio(AudioData(data, item_id=item), item, 0, INFO)


def said(item: str, text: str) -> RealtimeAnyEvent:
    return events.RealtimeTranscriptDelta(INFO, item, text)


def raw(event: Any) -> RealtimeAnyEvent:
    return events.RealtimeRawModelEvent(event, INFO)


def call_with(*happened: RealtimeAnyEvent) -> LiveCall:
    call = LiveCall()
    call.begin(10.0)
    for n, event in enumerate(happened):
        call.on_event(event, 11.0 + n)
    return call


def turns(call: LiveCall) -> list[dict[str, Any]]:
    return [entry for entry in call.since(0) if entry["type"] == "turn"]


def test_turns_of_both_sides_have_their_words_and_times() -> None:
    call = call_with(
        events.RealtimeSpeechStarted(INFO, "c1", 0),
        events.RealtimeInputAudioTranscriptionDelta(INFO, "c1", "A ta"),
        events.RealtimeSpeechStopped(INFO, "c1", 0),
        raw(RealtimeModelInputAudioTranscriptionCompletedEvent("c1", "A table.")),
        said("a1", "It is "),
        audio("a1"),
        raw(RealtimeModelTranscriptDoneEvent("a1", "It is booked.", "r1")),
    )
    caller, agent = turns(call)
    names = "speaker", "said", "start_ms", "end_ms"
    assert [caller[name] for name in names] == ["caller", "A table.", 1000, 3000]
    assert [agent[name] for name in names] == ["agent", "It is booked.", 5000, None]


def test_what_the_caller_has_heard_grows_and_ends_with_the_whole() -> None:
    call = call_with(said("a1", "one two three four"), audio("a1"), audio("a1"), events.RealtimeAudioEnd(INFO, "a1", 0))
    call.observe([HeardItem("a1", 0, 500.0)], 15.0)
    (turn,) = turns(call)
    assert (turn["heard_share"], turn["end_ms"], call.speaking) == (0.25, None, Speaker.AGENT)
    assert call.last_words == ("agent", "one two")
    call.observe([], 17.0)
    (turn,) = turns(call)
    assert (turn["heard_share"], turn["end_ms"], call.speaking) == (1.0, 6500, None)
    assert not turn["interrupted"]


def test_a_turn_ends_when_it_was_heard_also_if_no_page_looked_then() -> None:
    call = call_with(audio("a1"), events.RealtimeAudioEnd(INFO, "a1", 0), audio("a2"))
    call.on_event(events.RealtimeAudioEnd(INFO, "a2", 0), 13.5)
    call.observe([], 70.0)
    length_ms = len(SECOND) // 48
    first, second = turns(call)
    assert (first["start_ms"], first["end_ms"]) == (1000, 1000 + length_ms)
    assert (second["start_ms"], second["end_ms"]) == (3000, 3000 + length_ms)


@pytest.mark.parametrize("audio_format, n_bytes", [("audio/pcm", 48), ("audio/pcmu", 8)])
def test_the_heard_share_follows_the_format_of_the_audio(audio_format: str, n_bytes: int) -> None:
    updated = {"type": "session.updated", "session": {"audio": {"output": {"format": {"type": audio_format}}}}}
    call = call_with(raw(RealtimeModelRawServerEvent(updated)), audio("a1", bytes(n_bytes * 1000)))
    call.observe([HeardItem("a1", 0, 500.0)], 15.0)
    assert turns(call)[0]["heard_share"] == 0.5


def test_an_interruption_cuts_what_was_playing_and_what_was_queued() -> None:
    call = call_with(said("a1", "one two"), audio("a1"), said("a2", "three"), audio("a2"))
    cut = (HeardItem("a1", 0, 500.0), HeardItem("a2", 0, 0.0))
    call.on_event(events.RealtimeAudioInterrupted(INFO, "a1", 0, items=cut), 20.0)
    call.observe([], 21.0)
    first, second = turns(call)
    assert (first["interrupted"], first["heard_share"]) == (True, 0.5)
    assert (second["interrupted"], second["heard_share"]) == (True, 0)
    (note,) = [entry for entry in call.since(0) if entry["type"] == "interruption"]
    assert (note["cause"], note["start_ms"]) == ("caller", 10_000)


def test_a_tool_shows_arguments_result_failure_and_that_it_waits() -> None:
    agent = RealtimeAgent[Any](name="Desk")
    asked = events.RealtimeToolApprovalRequired(agent, refund, "t1", '{"order": "7"}', INFO)
    call = call_with(asked)
    assert call.waiting == {"t1": "refund"}
    assert call.warnings(12.0) == ["Waits for approval: refund"]
    call.on_event(events.RealtimeToolStart(agent, refund, '{"order": "7"}', INFO, call_id="t1"), 13.0)
    failed = events.RealtimeToolEnd(agent, refund, "{}", "Sorry.", INFO, call_id="t1", error=OSError("no line"))
    call.on_event(failed, 14.0)
    (tool,) = [entry for entry in call.since(0) if entry["type"] == "tool"]
    assert (tool["arguments"], tool["output"], tool["error"]) == ('{"order": "7"}', "Sorry.", "OSError: no line")
    assert (tool["waits"], tool["end_ms"], call.waiting) == (False, 4000, {})
    assert call.warnings(15.0) == ["The tool refund failed"]


def test_warnings_come_and_go() -> None:
    call = call_with(events.RealtimeConnectionStatusEvent(INFO, "disconnected"))
    call.on_latency(2.6)
    assert call.warnings(12.0) == ["No connection to the model", "Slow answers"]
    call.on_event(events.RealtimeConnectionStatusEvent(INFO, "connected"), 13.0)
    call.on_latency(0.6)
    assert call.warnings(14.0) == []
    assert call.warnings(31.0) == ["Silence for 20 s"]


def test_a_take_over_is_no_silence() -> None:
    call = call_with()
    call.on_record("supervisor", {}, 30.0)
    assert call.warnings(31.0) == [], "the caller hears the supervisor"
    call.is_taken_over = lambda: True
    call.observe([], 60.0)
    assert call.warnings(61.0) == [], "the supervisor listens"
    call.is_taken_over = lambda: False
    call.observe([], 70.0)
    assert call.warnings(70.0) == []
    assert call.warnings(80.0) == ["Silence for 20 s"]


def test_handoffs_guardrails_keys_and_the_calls_own_acts_are_listed() -> None:
    desk, billing = RealtimeAgent[Any](name="Desk"), RealtimeAgent[Any](name="Billing")
    call = call_with(
        events.RealtimeHandoffEvent(desk, billing, INFO), events.RealtimeGuardrailTripped([], "a text", INFO)
    )
    call.on_key(14.0)
    call.on_record("control", {"action": "hang_up"}, 15.0)
    call.on_record("control", {"action": "say", "ours": True}, 15.0)
    call.on_record("play", {"item_id": "clip1", "text": "Please hold."}, 16.0)
    assert [entry["type"] for entry in call.since(0)] == ["handoff", "guardrail", "key", "control", "turn"]
    assert call.agent == "Billing"
    assert all("5" not in entry.get("text", "") for entry in call.since(0)), "which key it was is not shown"


def test_nothing_of_a_secret_part_is_shown() -> None:
    call = call_with()
    sealed = True
    call.is_sealed, call.hides = lambda: sealed, lambda item_id: item_id == "c1"
    agent = RealtimeAgent[Any](name="Desk")
    call.on_event(events.RealtimeInputAudioTranscriptionDelta(INFO, "c1", "four one one"), 11.0)
    call.on_event(said("a1", "I heard 411."), 12.0)
    call.on_event(events.RealtimeToolStart(agent, refund, '{"order": "411"}', INFO, call_id="t1"), 13.0)
    failed = events.RealtimeToolEnd(agent, refund, "{}", "411", INFO, call_id="t1", error=OSError("411"))
    call.on_event(failed, 14.0)
    call.on_event(events.RealtimeError({"message": "411"}, INFO), 14.5)
    sealed = False
    call.on_event(raw(RealtimeModelInputAudioTranscriptionCompletedEvent("c1", "four one one 411")), 15.0)
    call.on_event(said("a2", "Thank you."), 16.0)
    shown = json.dumps(call.since(0)) + json.dumps(call.warnings(16.0))
    assert "411" not in shown and "four" not in shown
    assert "Thank you." in shown


def test_a_page_gets_only_what_changed_since_its_version() -> None:
    call = call_with(said("a1", "one"), said("a2", "two"))
    seen = call.version
    call.on_event(said("a1", " more"), 20.0)
    assert [entry["said"] for entry in call.since(seen)] == ["one more"]
    assert call.since(call.version) == []


def test_a_long_call_keeps_its_newest_entries() -> None:
    call = call_with(*(said(f"a{n}", "x" * 5000) for n in range(700)))
    kept = call.since(0)
    assert len(kept) == 600
    assert kept[-1]["id"] == 700
    assert len(kept[-1]["said"]) < 5000


@pytest.mark.parametrize(
    "share, heard",
    [(0, ""), (0.3, "one two"), (0.5, "one two three"), (0.99, "one two three four"), (1.0, "one two three four")],
)
def test_the_heard_text_ends_with_a_word(share: float, heard: str) -> None:
    assert heard_text("one two three four", share) == heard


# --- loudness ----------------------------------------------------------------------------------------------------


def frame(level: int, timestamp: int) -> str:
    pcm = np.full(160, level, "<i2").tobytes()
    payload = base64.b64encode(g711.encode(pcm)).decode()
    return json.dumps({"event": "media", "media": {"payload": payload, "timestamp": str(timestamp)}})


def delta(level: int, ms: int) -> str:
    audio = base64.b64encode(np.full(24 * ms, level, "<i2").tobytes()).decode()
    return json.dumps({"type": "response.output_audio.delta", "item_id": "a1", "content_index": 0, "delta": audio})


def sent(position: int, samples: int, offset: int) -> dict[str, Any]:
    return {"message": {"event": "media", "position": position, "segments": [["a1", 0, offset, samples]]}}


def test_the_callers_loudness_is_where_the_frames_came() -> None:
    wave = Wave()
    wave.raw("twilio.in", frame(8000, 0), 120.0)
    wave.raw("twilio.in", frame(0, 20), 170.0)
    (first, loud), (second, quiet) = wave.take()["caller"]
    assert (first, second) == (100 // STEP_MS, 150 // STEP_MS)
    assert (loud > 60, quiet) == (True, loudness(0))
    assert wave.take() == {}


def test_the_agents_loudness_is_where_it_is_heard_and_not_where_it_came() -> None:
    wave = Wave()
    wave.raw("twilio.in", frame(0, 0), 20.0)
    wave.raw("model.in", delta(8000, 400), 100.0)
    wave.record("twilio.out", sent(0, 1600, 0), 100.0)
    wave.record("twilio.out", sent(1600, 1600, 1600), 200.0)
    agent = dict(wave.take()["agent"])
    assert min(agent) == 100 // STEP_MS and max(agent) == 499 // STEP_MS
    assert all(level > 60 for level in agent.values())


def test_cleared_audio_is_removed_from_the_wave() -> None:
    wave = Wave()
    wave.raw("twilio.in", frame(0, 0), 20.0)
    wave.raw("model.in", delta(8000, 400), 100.0)
    wave.record("twilio.out", sent(0, 3200, 0), 100.0)
    wave.take()
    wave.raw("twilio.out", '{"event":"clear"}', 200.0)
    taken = wave.take()
    assert dict(taken["agent"]) == dict.fromkeys(range(200 // STEP_MS + 1, 499 // STEP_MS + 1), 0)
    assert taken["clears"] == [200]


@pytest.mark.parametrize(
    "kind, text",
    [
        ("twilio.in", '{"event":"media"}'),
        ("twilio.in", '{"event":"media","media":{"payload":"?","timestamp":"x"}}'),
        ("twilio.in", "no JSON"),
        ("model.in", '{"type":"response.output_audio.delta"}'),
        ("twilio.out", '{"event":"media","position":"x"}'),
    ],
)
def test_malformed_records_are_skipped(kind: str, text: str) -> None:
    wave = Wave()
    wave.raw(kind, text, 100.0)
    assert wave.take() == {}


def test_a_supervisors_voice_is_the_agents_side() -> None:
    wave = Wave()
    wave.raw("twilio.in", frame(0, 0), 20.0)
    voice = base64.b64encode(g711.encode(np.full(800, 8000, "<i2").tobytes())).decode()
    wave.record("supervisor", {"item_id": "s1", "payload": voice}, 100.0)
    segments = {"message": {"event": "media", "position": 0, "segments": [["s1", 0, 0, 800]]}}
    wave.record("twilio.out", segments, 100.0)
    agent = dict(wave.take()["agent"])
    assert (min(agent), max(agent)) == (100 // STEP_MS, 199 // STEP_MS)
    assert all(level > 60 for level in agent.values())


def test_audio_of_mu_law_and_audio_that_is_not_known() -> None:
    wave = Wave()
    created = {"type": "session.created", "session": {"audio": {"output": {"format": {"type": "audio/pcmu"}}}}}
    wave.raw("model.in", json.dumps(created), 10.0)
    audio = base64.b64encode(g711.encode(np.full(800, 8000, "<i2").tobytes())).decode()
    piece = {"type": "response.output_audio.delta", "item_id": "a1", "content_index": 0, "delta": audio}
    wave.raw("model.in", json.dumps(piece), 20.0)
    wave.record("twilio.out", sent(0, 1600, 0), 100.0)  # more than came
    other = {"message": {"event": "media", "position": 1600, "segments": [["a9", 0, 0, 160]]}}
    wave.record("twilio.out", other, 300.0)
    wave.record("note", {"text": "x"}, 300.0)
    wave.raw("note", "{}", 300.0)
    assert dict(wave.take()["agent"]).keys() == {2, 3}


def test_the_runs_of_a_stream_say_when_a_position_is_heard() -> None:
    wave = Wave()
    wave.record("stream", {"runs": [[0, 400.0]]}, 5.0)  # before the first frame: the clock of the stream is unknown
    wave.raw("twilio.in", frame(0, 0), 100.0)
    wave.raw("model.in", delta(8000, 100), 110.0)
    wave.record("stream", {"runs": [[0, 400.0]]}, 120.0)
    wave.record("twilio.out", sent(0, 800, 0), 120.0)
    wave.raw("twilio.in", '{"event":"mark","mark":{"name":"m"}}', 610.0)
    taken = wave.take()
    assert min(dict(taken["agent"])) == 500 // STEP_MS
    assert taken["marks"] == [610]


def test_a_long_call_keeps_the_audio_of_the_last_items() -> None:
    wave = Wave()
    for n in range(40):
        piece = {**json.loads(delta(8000, 20)), "item_id": f"i{n}"}
        wave.raw("model.in", json.dumps(piece), 10.0)
    for n, item in ((0, "i0"), (1, "i39")):
        message = {"event": "media", "position": n * 160, "segments": [[item, 0, 0, 160]]}
        wave.record("twilio.out", {"message": message}, 100.0 + 20 * n)
    assert dict(wave.take()["agent"]).keys() == {2}


def test_a_page_that_takes_nothing_keeps_the_newest_values() -> None:
    wave = Wave()
    for n in range(4000):
        wave.raw("twilio.in", frame(8000, 20 * n), 20.0 * n)
    caller = wave.take()["caller"]
    assert len(caller) == 500
    assert caller[-1][0] == (20 * 3999 - 20) // STEP_MS


@pytest.mark.parametrize(
    "words, shown",
    [("Yes.", "Yes."), ("x" * 200, "x" * 160), ("abcd " * 60, "… " + "abcd " * 31)],
)
def test_the_last_words_of_a_list_begin_with_a_whole_word(words: str, shown: str) -> None:
    assert last_part(words) == shown


# --- the feed of the list ---------------------------------------------------------------------------------------------


def a_call(sid: str) -> Any:
    info = SimpleNamespace(direction="inbound", caller="+14155550123", called="+14155550100")
    idle = SimpleNamespace(is_active=False, transcribes=False)
    return SimpleNamespace(
        sid=sid, caller=info.caller, called=info.called, info=info, supervision=idle, heard=list, masked=lambda it: it
    )


@pytest.mark.virtual_time
async def test_each_page_gets_the_rows_of_calls_that_begin_while_another_page_follows() -> None:
    """The pages ask at different times. Rows are updated every 0.4 s, and new rows at once."""
    board = Board(Sources(1))
    registry = SimpleNamespace(draining=False, max_calls=10)
    records = SimpleNamespace(client=SimpleNamespace(process=""))
    phone = SimpleNamespace(registry=registry, sources=Sources(1), call_records=records)
    everything = cast(Grant, SimpleNamespace(allows=lambda *_, **__: True))
    console = cast(Console, SimpleNamespace(board=board, phone=phone))
    seen: list[set[str]] = [set(), set()]

    async def page(number: int) -> None:
        await asyncio.sleep(0.3 * number)
        async for event in _live(console, everything):
            seen[number] |= {call["sid"] for call in json.loads(event.removeprefix(b"data: "))["calls"]}
            if len(seen[number]) == 7:
                return

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(2):
            group.create_task(page(number))
        for number in range(7):
            board.start(a_call(f"CA{number}"), LiveCall())
            await asyncio.sleep(0.05)
    assert seen[0] == seen[1]
