"""What a seal hides in single messages, also in late messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from telephony.call.recording.seal import HIDDEN, Seal, SealReason, hidden_arguments

WORD = "wallaby"


def passed(seal: Seal, kind: str = "model.in", **message: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(seal.message(kind, json.dumps(message)))
    return found


def sealed() -> Seal:
    seal = Seal()
    seal.connected()
    seal.close(SealReason.SECRET)
    return seal


def said(seal: Seal, item_id: str = "item_1") -> None:
    """The caller speaks an item now."""
    passed(seal, type="input_audio_buffer.speech_started", item_id=item_id, audio_start_ms=10)


def test_a_transcript_that_comes_late_stays_hidden() -> None:
    seal = sealed()
    said(seal)
    seal.open(SealReason.SECRET, 1.0)
    late = passed(seal, type="conversation.item.input_audio_transcription.completed", item_id="item_1", transcript=WORD)
    assert late["transcript"] == HIDDEN and late["item_id"] == "item_1"


def test_a_late_transcript_of_speech_before_the_secret_part_is_kept() -> None:
    seal = Seal()
    seal.connected()
    said(seal)
    passed(seal, type="input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=900)
    seal.close(SealReason.SECRET)
    kind = "conversation.item.input_audio_transcription.completed"
    assert passed(seal, type=kind, item_id="item_1", transcript=WORD)["transcript"] == WORD


@pytest.mark.parametrize("reason", [SealReason.SECRET, SealReason.REFUSED])
@pytest.mark.parametrize("ends", ["inside", "after"])
def test_a_sentence_of_the_caller_that_goes_on_in_a_sealed_part_is_hidden(ends: str, reason: SealReason) -> None:
    seal = Seal()
    seal.connected()
    said(seal)
    seal.close(reason)
    if ends == "after":
        seal.open(reason, 1.0)
    passed(seal, type="input_audio_buffer.speech_stopped", item_id="item_1", audio_end_ms=1900)
    kind = "conversation.item.input_audio_transcription.completed"
    assert passed(seal, type=kind, item_id="item_1", transcript=WORD)["transcript"] == HIDDEN


@pytest.mark.parametrize("ends", ["inside", "after"])
def test_a_sentence_of_the_agent_that_goes_on_in_a_sealed_part_is_hidden(ends: str) -> None:
    seal = Seal()
    seal.connected()
    passed(seal, type="response.output_item.added", item={"id": "item_1", "type": "message"})
    seal.close(SealReason.SECRET)
    if ends == "after":
        seal.open(SealReason.SECRET, 1.0)
    for type_, name in (("delta", "delta"), ("done", "transcript")):
        message = {"type": f"response.output_audio_transcript.{type_}", "item_id": "item_1", name: WORD}
        assert WORD not in json.dumps(passed(seal, **message))


def test_speech_that_began_inside_and_is_reported_later_stays_hidden() -> None:
    seal = sealed()
    seal.appended(48 * 2000)
    seal.open(SealReason.SECRET, 1.0)
    passed(seal, type="input_audio_buffer.speech_started", item_id="item_9", audio_start_ms=1500)
    assert seal.hides("item_9")
    passed(seal, type="input_audio_buffer.speech_started", item_id="item_10", audio_start_ms=4000)
    assert not seal.hides("item_10")


def test_the_copy_of_the_conversation_for_a_new_connection_stays_hidden() -> None:
    seal = sealed()
    said(seal)
    seal.open(SealReason.SECRET, 1.0)
    seal.connected()
    note = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": f"They said {WORD}."}]}
    copied = passed(seal, "model.out", type="conversation.item.create", item={"id": "new", **note})
    assert WORD not in json.dumps(copied)
    seal.appended(960)
    later = passed(seal, "model.out", type="conversation.item.create", item={"id": "later", **note})
    assert WORD in json.dumps(later)


def test_the_end_of_a_response_keeps_what_was_said_in_the_open() -> None:
    seal = Seal()
    seal.connected()
    passed(seal, type="response.output_item.added", item={"id": "open", "type": "message"})
    passed(seal, type="response.output_item.done", item={"id": "open", "type": "message"})
    seal.close(SealReason.SECRET)
    passed(seal, type="response.output_item.added", item={"id": "secret", "type": "message"})
    seal.open(SealReason.SECRET, 1.0)
    output = [{"id": name, "content": [{"transcript": f"{name} words"}]} for name in ("open", "secret")]
    done = passed(seal, type="response.done", response={"id": "resp", "output": output})
    assert [each["content"][0]["transcript"] for each in done["response"]["output"]] == ["open words", HIDDEN]


def test_audio_becomes_silence_of_the_same_length() -> None:
    seal = sealed()
    sound = base64.b64encode(b"\x11\x22" * 480).decode()
    delta = passed(seal, type="response.output_audio.delta", item_id="item_1", delta=sound)["delta"]
    assert base64.b64decode(delta) == bytes(960)
    seal.frame(20, 1.0)
    media = {"timestamp": "20", "payload": base64.b64encode(b"\x11" * 160).decode()}
    frame = passed(seal, "twilio.in", event="media", media=media)
    assert base64.b64decode(frame["media"]["payload"]) == b"\xff" * 160


def test_a_frame_that_was_spoken_inside_and_comes_late_is_hidden() -> None:
    seal = Seal()
    seal.frame(0, 0.1)  # the line delays by 100 ms at least
    seal.close(SealReason.SECRET)
    seal.open(SealReason.SECRET, 5.0)
    assert seal.frame(4900, 6.5), "a stall: it was spoken before the end"
    assert seal.frame(5100, 6.5), "within the margin"
    assert not seal.frame(5300, 6.5)


def test_seals_of_several_reasons_and_parts_are_counted() -> None:
    seal = sealed()
    seal.close(SealReason.SECRET)
    seal.close(SealReason.NOTICE)
    seal.open(SealReason.SECRET, 1.0)
    seal.open(SealReason.SECRET, 1.0)
    assert seal.is_closed and not seal.is_secret
    seal.open(SealReason.NOTICE, 1.0)
    seal.open(SealReason.NOTICE, 1.0)
    assert not seal.is_closed


def test_arguments_keep_their_names_only() -> None:
    hidden = json.loads(
        hidden_arguments(json.dumps({"name": WORD, "number": 4242, "ok": True, "list": [{"id": WORD}]}))
    )
    assert hidden == {"name": HIDDEN, "number": 0, "ok": True, "list": [{"id": HIDDEN}]}
    assert hidden_arguments('{"name": "wal') == HIDDEN


def test_a_record_of_ones_own_has_no_text_and_no_number() -> None:
    seal = sealed()
    assert seal.record("note", {"name": WORD, "n": 4242}) == {"name": HIDDEN, "n": 0}
    message = {"message": {"role": "user", "content": WORD}, "id": 1, "action": "session.send_message"}
    assert WORD not in json.dumps(seal.record("control", message))


def test_what_is_no_json_object_passes_as_it_is() -> None:
    seal = sealed()
    for text in ("{garbage", "[1]", "3"):
        assert seal.message("model.in", text) == text


def test_keys_are_hidden_and_marks_are_not() -> None:
    seal = sealed()
    assert (
        passed(seal, "twilio.in", event="dtmf", dtmf={"digit": "5", "track": "inbound_track"})["dtmf"]["digit"] != "5"
    )
    assert passed(seal, "twilio.in", event="mark", mark={"name": "m1"}) == {"event": "mark", "mark": {"name": "m1"}}
    assert passed(seal, "twilio.in", event="media", media="odd") == {"event": "media", "media": "odd"}


def test_audio_of_a_session_with_mu_law_becomes_silence_of_mu_law() -> None:
    seal = Seal()
    passed(seal, type="session.updated", session={"audio": {"output": {"format": {"type": "audio/pcmu"}}}})
    seal.close(SealReason.SECRET)
    delta = base64.b64encode(b"\x00" * 80).decode()
    hidden = passed(seal, type="response.output_audio.delta", item_id="item_1", delta=delta)
    assert base64.b64decode(hidden["delta"]) == b"\xff" * 80


def test_the_instructions_of_a_session_are_hidden_and_an_odd_session_passes() -> None:
    seal = sealed()
    update = {"type": "session.update", "session": {"instructions": WORD, "voice": "marin"}}
    assert passed(seal, "model.out", **update)["session"] == {"instructions": HIDDEN, "voice": "marin"}
    for session in ({"voice": "marin"}, "odd"):
        odd = {"type": "session.update", "session": session}
        assert passed(seal, "model.out", **odd) == odd


def test_sealed_items_are_hidden_in_lists_and_others_are_kept() -> None:
    seal = Seal()
    seal.connected()
    said(seal, "item_0")
    passed(seal, type="input_audio_buffer.speech_stopped", item_id="item_0", audio_end_ms=900)
    seal.close(SealReason.SECRET)
    said(seal, "item_1")
    seal.open(SealReason.SECRET, 1.0)
    output = [{"id": "item_0", "text": "open"}, {"id": "item_1", "text": WORD}, "odd"]
    done = passed(seal, type="response.done", response={"id": "resp_1", "output": output})
    assert done["response"]["output"] == [
        {"id": "item_0", "text": "open"}, {"id": "item_1", "text": HIDDEN}, "odd",
    ]  # fmt: skip


def test_a_tool_of_a_sealed_part_has_no_values_in_the_records() -> None:
    seal = sealed()
    start = seal.record("tool.start", {"call_id": "c1", "name": "pay", "arguments": json.dumps({"card": WORD})})
    assert start["name"] == "pay"
    assert WORD not in str(start)
    seal.open(SealReason.SECRET, 1.0)
    end = seal.record("tool.end", {"call_id": "c1", "output": WORD, "error": f"ValueError: {WORD}"})
    assert end == {"call_id": "c1", "output": HIDDEN, "error": "ValueError"}
    other = {"call_id": "c2", "output": "open"}
    assert seal.record("tool.end", other) == other


def test_hidden_values_keep_their_shape_and_deep_ones_are_cut() -> None:
    deep: Any = WORD
    for _ in range(200):
        deep = [deep]
    wide: Any = {"a": [1, 2.5, True, None, WORD], "b": {"c": WORD}}
    assert json.loads(hidden_arguments(json.dumps(wide))) == {
        "a": [0, 0, True, None, HIDDEN], "b": {"c": HIDDEN},
    }  # fmt: skip
    assert WORD not in hidden_arguments(json.dumps({"a": deep}))
    for _ in range(200):
        deep = {"x": deep}
    assert WORD not in hidden_arguments(json.dumps(deep))
    assert hidden_arguments(WORD) == hidden_arguments(None) == HIDDEN
