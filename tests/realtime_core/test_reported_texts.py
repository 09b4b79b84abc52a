"""The texts of the agent and of the caller count once, whichever of the server's events reports them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from realtime_core.history import Items, reduce
from realtime_core.history_order import listed
from tests.realtime_core.test_server_session import Bench

PLACE = {"response_id": "resp_1", "item_id": "a1", "content_index": 0, "output_index": 0}


def message(kind: str, status: str = "completed") -> dict[str, Any]:
    part = {"type": f"output_{kind}", "transcript" if kind == "audio" else "text": "We are open."}
    return {"id": "a1", "type": "message", "role": "assistant", "status": status, "content": [part]}


def events(kind: str) -> dict[str, dict[str, Any]]:
    part = {"type": kind, "transcript" if kind == "audio" else "text": "We are open."}
    name = "response.output_audio_transcript.done" if kind == "audio" else "response.output_text.done"
    return {
        name: {**PLACE, **{key: value for key, value in part.items() if key != "type"}},
        "response.content_part.done": {**PLACE, "part": part},
        "conversation.item.done": {"item": message(kind)},
        "conversation.item.added": {"item": message(kind)},
        "response.output_item.added": {"response_id": "resp_1", "item": message(kind)},
        "response.output_item.done": {"response_id": "resp_1", "item": message(kind)},
    }


def texts(bench: Bench) -> list[str]:
    """Returns the final texts that guardrails see."""
    said = [each for each in bench.emitted if each.type in ("transcript_done", "output_text_done")]
    return [str(getattr(each, "transcript", None) or getattr(each, "text", "")) for each in said]


def history(bench: Bench) -> Items:
    items: Items = ()
    for event in bench.emitted:
        items, _ = reduce(items, event)
    return items


@pytest.mark.parametrize(("kind", "only"), [(kind, only) for kind in ("audio", "text") for only in events(kind)])
def test_the_agents_text_counts_in_each_event_that_has_it(kind: str, only: str) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    bench.receive(only, **events(kind)[only])
    bench.receive("response.done", response={"id": "resp_1", "status": "completed", "output": []})
    assert texts(bench) == ["We are open."]
    assert [getattr(item, "text", None) for item in listed(history(bench))] == ["We are open."]


@pytest.mark.parametrize("kind", ["audio", "text"])
def test_the_agents_text_counts_once_where_all_events_have_it(kind: str) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    for type, fields in events(kind).items():
        bench.receive(type, **fields)
    bench.receive("response.done", response={"id": "resp_1", "status": "completed", "output": [message(kind)]})
    assert texts(bench) == ["We are open."]


def test_a_message_that_the_client_has_restored_is_no_new_text_of_the_agent() -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    bench.session.items.create(message("text"), hidden=True)
    bench.session.items.edit("evt", "conversation.item.create", {"item": {**message("text"), "id": "a2"}})
    for item_id in ("a1", "a2"):
        bench.receive("conversation.item.done", item={**message("text"), "id": item_id})
    assert texts(bench) == []


def heard(transcript: str | None) -> dict[str, Any]:
    content = [{"type": "input_audio", "transcript": transcript}]
    return {"id": "u1", "type": "message", "role": "user", "status": "completed", "content": content}


@pytest.mark.parametrize("type", ["conversation.item.added", "conversation.item.done"])
def test_the_callers_transcript_counts_in_an_item(type: str) -> None:
    bench = Bench()
    part = {"item_id": "u1", "content_index": 0}
    bench.receive("input_audio_buffer.committed", item_id="u1")
    bench.receive("conversation.item.added", item=heard(None))
    bench.receive(type, item=heard("Are you open?"))
    bench.receive("conversation.item.input_audio_transcription.delta", **part, delta="Are")
    transcribed = [e for e in bench.emitted if e.type == "input_audio_transcription_completed"]
    assert [event.transcript for event in transcribed] == ["Are you open?"]
    assert [getattr(item, "text", None) for item in listed(history(bench))] == ["Are you open?"]


def test_the_usage_of_a_transcription_counts_after_its_item() -> None:
    bench = Bench()
    bench.receive("conversation.item.done", item=heard("Are you open?"))
    completed = "conversation.item.input_audio_transcription.completed"
    usage = {"type": "duration", "seconds": 2}
    bench.receive(completed, item_id="u1", content_index=0, transcript="Are you open?", usage=usage)
    transcribed = [e for e in bench.emitted if e.type == "input_audio_transcription_completed"]
    assert [event.usage for event in transcribed] == [None, usage]


SEGMENT = "conversation.item.input_audio_transcription.segment"


def segment(id: str, text: str) -> dict[str, Any]:
    return {"item_id": "u1", "content_index": 0, "id": id, "text": text, "speaker": "A", "start": 0.0, "end": 1.0}


def test_the_callers_text_counts_where_only_segments_have_it() -> None:
    bench = Bench()
    bench.receive("input_audio_buffer.committed", item_id="u1")
    for each in (segment("s1", "Hello."), segment("s1", "Hello."), segment("s2", "Are you open?")):
        bench.receive(SEGMENT, **each)
    assert [getattr(item, "text", None) for item in listed(history(bench))] == ["Hello. Are you open?"]


@pytest.mark.parametrize("first", ["segment", "delta"])
def test_the_callers_text_counts_once_in_segments_and_deltas(first: str) -> None:
    bench = Bench()
    delta = "conversation.item.input_audio_transcription.delta"
    events = [(SEGMENT, segment("s1", "Hello.")), (delta, {"item_id": "u1", "content_index": 0, "delta": "Hello."})]
    bench.receive("input_audio_buffer.committed", item_id="u1")
    for type, fields in events if first == "segment" else reversed(events):
        bench.receive(type, **fields)
    assert [getattr(item, "text", None) for item in listed(history(bench))] == ["Hello."]


AUDIO = base64.b64encode(bytes(range(48)) * 20).decode()
DELTA = "response.output_audio.delta"


def whole(part_type: str) -> dict[str, dict[str, Any]]:
    """Returns the events that have the whole audio of the part."""
    part = {"type": part_type, "transcript": "We are open.", "audio": AUDIO}
    item = {**message("audio"), "content": [part]}
    return {
        "response.content_part.done": {**PLACE, "part": part},
        "response.output_item.done": {"response_id": "resp_1", "item": item},
        "response.done": {"response": {"id": "resp_1", "status": "completed", "output": [item]}},
    }


def played(bench: Bench) -> bytes:
    return b"".join(bytes(event.data) for event in bench.emitted if event.type == "audio")


@pytest.mark.parametrize("part_type", ["audio", "output_audio"])
@pytest.mark.parametrize("only", whole("audio"))
def test_the_agents_audio_is_played_in_each_event_that_has_it(only: str, part_type: str) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    bench.receive(only, **whole(part_type)[only])
    bench.receive("response.done", response={"id": "resp_1", "status": "completed", "output": []})
    assert played(bench) == base64.b64decode(AUDIO)
    assert [event.type for event in bench.emitted].count("audio_done") == 1


@pytest.mark.parametrize("at", range(4))
def test_the_agents_audio_is_played_once_where_all_events_have_it(at: int) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    events = list(whole("audio").items())
    events.insert(at, (DELTA, {**PLACE, "delta": AUDIO}))
    for type, fields in events:
        bench.receive(type, **fields)
    assert played(bench) == base64.b64decode(AUDIO)


@pytest.mark.parametrize("only", whole("audio"))
def test_the_whole_audio_of_an_interrupted_response_is_not_played(only: str) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    bench.receive("response.output_item.added", response_id="resp_1", item=message("audio", "in_progress"))
    bench.session.audio.mute("resp_1")
    bench.receive(only, **whole("audio")[only])
    assert played(bench) == b""


@pytest.mark.parametrize("audio", ["no base64!", 7, None, ""])
def test_a_part_with_invalid_audio_still_has_its_text(audio: object) -> None:
    bench = Bench()
    bench.receive("response.created", response={"id": "resp_1"})
    part = {"type": "audio", "transcript": "We are open.", "audio": audio}
    bench.receive("response.content_part.done", **PLACE, part=part)
    assert (texts(bench), played(bench)) == (["We are open."], b"")
