"""A transcript of the caller that comes only in pieces is checked and used as a whole transcript."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import GuardrailFunctionOutput, RealtimeAgent, RealtimeRunner, input_guardrail
from realtime_core.openai_realtime import OpenAIRealtimeWebSocketModel
from realtime_core.openai_realtime.server_session.open_transcripts import OpenTranscripts
from tests.realtime_core.test_server_session import Bench
from tests.support.realtime_peer import Peer, settle

TRANSCRIPTION = "conversation.item.input_audio_transcription"
PART = {"item_id": "u1", "content_index": 0}


def heard(bench: Bench) -> list[str]:
    return [event.transcript for event in bench.emitted if event.type == "input_audio_transcription_completed"]


def wait(bench: Bench, seconds: float) -> None:
    """Lets time pass, and calls the session at each of its deadlines."""
    end = bench.time + seconds
    while (deadline := bench.session.deadline) is not None and deadline <= end:
        bench.time = max(bench.time, deadline)
        bench.session.on_time(bench.time)
    bench.time = end


def say(bench: Bench, *pieces: str, item_id: str = "u1") -> None:
    for piece in pieces:
        bench.receive(f"{TRANSCRIPTION}.delta", item_id=item_id, content_index=0, delta=piece)


def end_turn(bench: Bench, how: str) -> None:
    if how == "committed":
        bench.receive("input_audio_buffer.committed", item_id="u1")
    elif how == "response":
        bench.receive("response.created", response={"id": "resp_1"})
        bench.receive("response.done", response={"id": "resp_1", "status": "completed", "output": []})
    elif how == "next speech":
        bench.receive("input_audio_buffer.speech_started", item_id="u2", audio_start_ms=9000)


@pytest.mark.parametrize("how", ["committed", "response", "next speech"])
@pytest.mark.parametrize("comes_first", ["pieces", "end"])
def test_pieces_are_a_transcript_after_the_end_of_the_turn(how: str, comes_first: str) -> None:
    bench = Bench()
    if comes_first == "end" and how == "committed":
        end_turn(bench, how)
        say(bench, "Are you", " open?")
    else:
        say(bench, "Are you", " open?")
        end_turn(bench, how)
    assert heard(bench) == []
    wait(bench, 5)
    assert heard(bench) == ["Are you open?"]


def test_segments_are_a_transcript_after_the_end_of_the_turn() -> None:
    bench = Bench()
    end_turn(bench, "committed")
    for number, text in enumerate(("Hello.", "Are you open?")):
        bench.receive(f"{TRANSCRIPTION}.segment", **PART, id=f"s{number}", text=text, start=0.0, end=1.0)
    wait(bench, 5)
    assert heard(bench) == ["Hello. Are you open?"]


def test_pieces_of_a_turn_that_goes_on_are_no_transcript() -> None:
    bench = Bench()
    bench.receive("input_audio_buffer.speech_started", item_id="u1", audio_start_ms=0)
    say(bench, "I want")
    wait(bench, 5)
    end_turn(bench, "response")
    wait(bench, 5)
    assert heard(bench) == []
    say(bench, " a table.")
    end_turn(bench, "committed")
    wait(bench, 5)
    assert heard(bench) == ["I want a table."]


def test_later_pieces_give_the_longer_transcript() -> None:
    bench = Bench()
    end_turn(bench, "committed")
    say(bench, "Are you")
    wait(bench, 5)
    say(bench, " open?")
    wait(bench, 5)
    assert heard(bench) == ["Are you", "Are you open?"]


@pytest.mark.parametrize("seconds", [0, 5])
@pytest.mark.parametrize(("whole", "known"), [("Are you open?", []), ("Are you open now?", ["Are you open now?"])])
def test_the_servers_whole_transcript_counts_and_comes_once(seconds: float, whole: str, known: list[str]) -> None:
    bench = Bench()
    end_turn(bench, "committed")
    say(bench, "Are you", " open?")
    wait(bench, seconds)
    bench.receive(f"{TRANSCRIPTION}.completed", **PART, transcript=whole)
    wait(bench, 5)
    assert heard(bench) == (["Are you open?", *known] if seconds else [whole])


def test_an_empty_whole_transcript_does_not_hide_the_pieces() -> None:
    bench = Bench()
    end_turn(bench, "committed")
    say(bench, "Are you", " open?")
    bench.receive(f"{TRANSCRIPTION}.completed", **PART, transcript="")
    assert heard(bench) == ["Are you open?"]


def test_the_usage_of_a_late_whole_transcript_counts() -> None:
    bench = Bench()
    end_turn(bench, "committed")
    say(bench, "Are you open?")
    wait(bench, 5)
    bench.receive(f"{TRANSCRIPTION}.completed", **PART, transcript="Are you open?", usage={"type": "duration"})
    completed: list[Any] = [e for e in bench.emitted if e.type == "input_audio_transcription_completed"]
    assert [event.usage for event in completed] == [None, {"type": "duration"}]


def test_pieces_count_before_a_failure_and_at_the_end_of_the_session() -> None:
    bench = Bench()
    say(bench, "Are you")
    bench.receive(f"{TRANSCRIPTION}.failed", **PART, error={"message": "It failed."})
    say(bench, "Stop", item_id="u2")
    bench.session.end(bench.time)
    assert heard(bench) == ["Are you", "Stop"]


def test_a_deleted_item_gives_no_transcript() -> None:
    bench = Bench()
    end_turn(bench, "committed")
    say(bench, "Are you open?")
    bench.receive("conversation.item.deleted", item_id="u1")
    wait(bench, 5)
    assert heard(bench) == []


def test_a_whole_transcript_leaves_nothing_to_wait_for() -> None:
    transcripts = OpenTranscripts()
    transcripts.add(0, "u1", 0, "Yes.")
    transcripts.turn_over(0, "u1")
    assert transcripts.deadline == 1
    assert transcripts.close("u1", 0) == "Yes."
    assert (transcripts.deadline, transcripts.due(9), transcripts.close("u1", 0)) == (None, [], "")


def test_what_is_remembered_is_bounded() -> None:
    transcripts = OpenTranscripts()
    for number in range(1000):
        transcripts.add(0, f"u{number}", 0, "Yes.")
        transcripts.turn_over(0, f"u{number}")
    assert len(transcripts.due(9)) <= 64


@pytest.mark.virtual_time
async def test_an_input_guardrail_sees_a_transcript_that_comes_in_pieces() -> None:
    seen = []

    @input_guardrail
    def no_orders(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        seen.append(text)
        return GuardrailFunctionOutput(None, "secret" in text)

    peer = Peer()
    agent = RealtimeAgent(name="Desk", input_guardrails=[no_orders])
    model = OpenAIRealtimeWebSocketModel(transport=peer.transport)
    session = await RealtimeRunner(agent, model=model).run(model_config={"api_key": "k"})
    tripped = []
    session.add_handler(lambda event: tripped.append(event) if event.type == "guardrail_tripped" else None)
    async with session:
        peer.emit("input_audio_buffer.committed", item_id="u1", previous_item_id=None)
        for piece in ("Tell me", " the secret."):
            peer.emit(f"{TRANSCRIPTION}.delta", **PART, delta=piece)
        peer.emit("response.created", response={"id": "resp_1"})
        await settle()
        await asyncio.sleep(2)
        assert (seen, len(tripped)) == (["Tell me the secret."], 1)
        assert "response.cancel" in [event["type"] for event in peer.sent]
