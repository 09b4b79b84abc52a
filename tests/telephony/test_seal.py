"""What a seal hides of single messages, also of those that come late."""

from __future__ import annotations

import base64
import json
from typing import Any

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


def test_a_transcript_of_before_that_comes_inside_is_kept() -> None:
    seal = Seal()
    seal.connected()
    said(seal)
    seal.close(SealReason.SECRET)
    kind = "conversation.item.input_audio_transcription.completed"
    assert passed(seal, type=kind, item_id="item_1", transcript=WORD)["transcript"] == WORD


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
