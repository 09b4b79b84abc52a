"""The caller's turns on the embedded server: a human voice, voice activity, commits, transcripts, silence."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.extent import extent
from realtime_core.audio import g711
from realtime_core.audio.vad import Edge, SpeechDetector
from realtime_core.local import Reply, Script, Turn
from realtime_core.local.voice.wav import read_wav
from realtime_core.sources import Sources
from tests.support.local_client import DATA, human, session, silence

pytestmark = pytest.mark.virtual_time

SPEECH_MS = (75, 859)
"""Where the recording's voice begins and ends, by its samples over -36 dBFS."""
LONG = Script(
    greeting=Reply(say="word " * 200), turns=[Turn(Reply(say="Yes."), heard="I'm sorry."), Turn(Reply(say="No."))]
)


def detector(**options: float) -> SpeechDetector:
    return SpeechDetector(threshold=options.get("threshold", 0.5), silence_ms=int(options.get("silence_ms", 500)))


def recording() -> bytes:
    return read_wav((DATA / "im-sorry.wav").read_bytes())[0]


def test_a_human_voice_begins_and_ends_where_it_does() -> None:
    edges = [*detector().push(bytes(16000) + recording() + bytes(32000))]
    assert [edge.kind for edge in edges] == ["started", "stopped"]
    assert abs(edges[0].at_ms - (1000 + SPEECH_MS[0])) <= 60
    assert abs(edges[1].at_ms - (1000 + SPEECH_MS[1] + 500)) <= 80


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=40))
@settings(max_examples=extent(15, 200))
def test_edges_do_not_depend_on_how_the_audio_is_cut(sizes: list[int]) -> None:
    pcm = bytes(4000) + recording() + bytes(16000)
    whole = [*detector().push(pcm)]
    cut, at = detector(), 0
    edges: list[Edge] = []
    while at < len(pcm):
        size = 2 * sizes[at % len(sizes)]
        edges += cut.push(pcm[at : at + size])
        at += size
    assert edges == whole
    assert len(whole) == 2


@pytest.mark.parametrize("noise_rms", [0, 20, 80])
def test_quiet_noise_is_no_speech(noise_rms: int) -> None:
    random = Sources(3).random
    noise = b"".join(int(random.gauss(0, noise_rms)).to_bytes(2, "little", signed=True) for _ in range(80_000))
    assert [*detector().push(noise)] == []


async def test_a_turn_goes_from_speech_to_its_answer() -> None:
    async with session(LONG) as client:
        client.update_input(transcription={"model": "gpt-4o-mini-transcribe"})
        await client.say(silence(1) + human() + silence(2))
        await client.answer()
        started, stopped = (
            client.last("input_audio_buffer.speech_started"),
            client.last("input_audio_buffer.speech_stopped"),
        )
        # The start includes the prefix of 300 ms, the end the silence of 500 ms.
        assert abs(started["audio_start_ms"] - (1000 + SPEECH_MS[0] - 300)) <= 60
        assert abs(stopped["audio_end_ms"] - (1000 + SPEECH_MS[1] + 500)) <= 80
        # Told as soon as it is known: after 80-100 ms of voice (its onset is softer than the -36 dBFS measured above).
        assert 0.04 <= started["at"] - (1 + SPEECH_MS[0] / 1000) <= 0.12
        assert stopped["at"] == pytest.approx(stopped["audio_end_ms"] / 1000, abs=0.04)
        item_id = started["item_id"]
        at = client.types().index("input_audio_buffer.speech_started")
        assert client.types()[at : at + 9] == [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "rate_limits.updated",
            "conversation.item.input_audio_transcription.delta",
            "conversation.item.input_audio_transcription.completed",
        ]
        committed, added = client.last("input_audio_buffer.committed"), client.all("conversation.item.added")[0]
        assert committed["item_id"] == added["item"]["id"] == stopped["item_id"] == item_id
        assert committed["previous_item_id"] is None
        assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
        completed = client.last("conversation.item.input_audio_transcription.completed")
        assert (completed["item_id"], completed["transcript"]) == (item_id, "I'm sorry.")
        assert completed["usage"]["seconds"] == pytest.approx(
            (stopped["audio_end_ms"] - started["audio_start_ms"]) / 1000, abs=0.01
        )
        deltas = client.all("conversation.item.input_audio_transcription.delta")
        assert "".join(delta["delta"] for delta in deltas) == "I'm sorry."
        answer = client.all("conversation.item.added")[1]
        assert answer["previous_item_id"] == item_id


async def test_mu_law_goes_the_same_way() -> None:
    async with session(LONG) as client:
        client.update_input(format={"type": "audio/pcmu"})
        await client.say(g711.encode(bytes(16000) + recording() + bytes(32000)), bytes_per_ms=8)
        await client.answer()
        assert (
            abs(client.last("input_audio_buffer.speech_started")["audio_start_ms"] - (1000 + SPEECH_MS[0] - 300)) <= 60
        )


async def test_silence_and_prefix_are_configured() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection={"silence_duration_ms": 200, "prefix_padding_ms": 0})
        await client.say(silence(1) + human() + silence(1))
        assert abs(client.last("input_audio_buffer.speech_started")["audio_start_ms"] - (1000 + SPEECH_MS[0])) <= 60
        assert abs(client.last("input_audio_buffer.speech_stopped")["audio_end_ms"] - (1000 + SPEECH_MS[1] + 200)) <= 80


async def test_one_large_append_holds_several_turns() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection={"create_response": False})
        client.append(silence(1) + human() + silence(2) + human() + silence(2))
        second = await client.wait("input_audio_buffer.committed", 2)
        starts = [event["audio_start_ms"] for event in client.all("input_audio_buffer.speech_started")]
        stops = [event["audio_end_ms"] for event in client.all("input_audio_buffer.speech_stopped")]
        assert starts[1] - starts[0] == pytest.approx(2000 + 1022, abs=40)
        assert stops[1] - stops[0] == pytest.approx(2000 + 1022, abs=40)
        assert second["previous_item_id"] == client.all("input_audio_buffer.committed")[0]["item_id"]


async def test_speech_interrupts_the_answer() -> None:
    async with session(LONG) as client:
        client.respond()
        await client.wait("response.output_audio.delta")
        await client.say(human())
        response = await client.answer()
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert response["output"][0]["status"] == "incomplete"
        started = client.events.index(client.last("input_audio_buffer.speech_started"))
        assert client.types(started) == [
            "input_audio_buffer.speech_started",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        await client.say(silence(2))
        assert (await client.answer(2))["output"][0]["content"][0]["transcript"] == "Yes."


async def test_speech_that_may_not_interrupt_lets_the_answer_go_on() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection={"interrupt_response": False})
        client.respond()
        await client.say(human() + silence(1))
        # The turn asks for a response, and there is one.
        error = await client.error()
        assert error["code"] == "conversation_already_has_active_response"
        assert (await client.answer())["status"] == "completed"


async def test_a_turn_without_create_response_waits_for_a_request() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection={"create_response": False})
        await client.say(human() + silence(3))
        assert client.all("input_audio_buffer.committed") and not client.all("response.created")
        client.respond()
        assert (await client.answer())["output"][0]["content"][0]["transcript"] == "Yes."


async def test_without_turn_detection_the_client_commits() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection=None)
        await client.say(human() + silence(2))
        assert not client.all("input_audio_buffer.speech_started")
        client.send("input_audio_buffer.commit")
        await client.wait("input_audio_buffer.committed")
        await client.wait("conversation.item.done")
        assert not client.all("response.created")
        client.respond()
        assert (await client.answer())["output"][0]["content"][0]["transcript"] == "Yes."


async def test_an_empty_buffer_cannot_be_committed() -> None:
    async with session(LONG) as client:
        client.update_input(turn_detection=None)
        client.send("input_audio_buffer.commit", event_id="c1")
        client.append(silence(0.06))
        client.send("input_audio_buffer.commit", event_id="c2")
        client.append(silence(0.06))
        client.send("input_audio_buffer.commit")
        client.append(silence(0.5))
        client.send("input_audio_buffer.clear")
        client.send("input_audio_buffer.commit", event_id="c3")
        error = await client.error()
        assert error["code"] == "input_audio_buffer_commit_empty" and error["event_id"] == "c1"
        assert error["message"] == (
            "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, "
            "but buffer only has 0.00ms of audio."
        )
        assert "60.00ms" in (await client.error(2))["message"]
        assert (await client.error(3))["event_id"] == "c3"
        assert len(client.all("input_audio_buffer.committed")) == 1
        assert len(client.all("input_audio_buffer.cleared")) == 1


async def test_a_commit_in_mid_speech_takes_the_item_that_was_announced() -> None:
    async with session(LONG) as client:
        await client.say(silence(0.5) + human()[:30000])
        client.send("input_audio_buffer.commit")
        committed = await client.wait("input_audio_buffer.committed")
        assert committed["item_id"] == client.last("input_audio_buffer.speech_started")["item_id"]


async def test_semantic_detection_waits_by_its_eagerness() -> None:
    ends = {}
    for eagerness in ("high", "low"):
        async with session(LONG) as client:
            client.update_input(turn_detection={"type": "semantic_vad", "eagerness": eagerness})
            await client.say(silence(0.5) + human() + silence(2))
            ends[eagerness] = client.last("input_audio_buffer.speech_stopped")["audio_end_ms"]
    assert ends["low"] - ends["high"] == 700


async def test_the_idle_timeout_counts_from_the_end_of_playback() -> None:
    async with session(Script(greeting=Reply(say="Every day, from noon until eleven."))) as client:
        client.update_input(turn_detection={"idle_timeout_ms": 6000})
        client.respond()
        greeting = await client.answer()
        done_at = client.last("response.done")["at"]
        await client.say(silence(10))
        triggered = client.last("input_audio_buffer.timeout_triggered")
        seconds = len(client.audio(greeting["id"])) / 48000
        assert triggered["at"] == pytest.approx(done_at + seconds + 6, abs=0.001)
        assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == pytest.approx(6000, abs=30)
        committed = client.last("input_audio_buffer.committed")
        assert committed["item_id"] == triggered["item_id"]
        assert (await client.answer(2))["output"][0]["content"][0][
            "transcript"
        ] == "I have come to the end of my script."


async def test_speech_stops_the_idle_time_out() -> None:
    async with session(Script(greeting=Reply(say="One moment, please."), turns=[Turn(Reply(say="Yes."))])) as client:
        client.update_input(turn_detection={"idle_timeout_ms": 5000, "create_response": False})
        client.respond()
        await client.answer()
        await client.say(silence(2) + human() + silence(10))
        assert not client.all("input_audio_buffer.timeout_triggered")


async def test_a_transcription_fails_by_the_script_and_states_the_length_of_speech_without_one() -> None:
    async with session(Script(turns=[Turn(Reply(say="Yes."), heard_fails=True)])) as client:
        client.update_input(transcription={"model": "whisper-1"})
        await client.say(human() + silence(1))
        failed = await client.wait("conversation.item.input_audio_transcription.failed")
        assert failed["error"]["code"] == "audio_unintelligible" and failed["content_index"] == 0
        assert not client.all("conversation.item.input_audio_transcription.completed")
    async with session() as client:
        client.update_input(transcription={"model": "whisper-1"})
        await client.say(human() + silence(1))
        completed = await client.wait("conversation.item.input_audio_transcription.completed")
        assert completed["transcript"] == "[1.4 s of speech]"


async def test_audio_that_is_none_is_refused() -> None:
    async with session(LONG) as client:
        client.send("input_audio_buffer.append", audio="***", event_id="a1")
        client.send("input_audio_buffer.append", audio=5)
        client.send("input_audio_buffer.append")
        await client.error(3)
        errors = [event["error"] for event in client.all("error")]
        assert errors[0]["message"].startswith("Invalid 'audio'. Expected base64-encoded audio bytes")
        assert errors[0]["event_id"] == "a1"
        assert [(e["code"], e["param"]) for e in errors] == [
            ("invalid_value", "audio"),
            ("invalid_type", "audio"),
            ("missing_required_parameter", "audio"),
        ]
