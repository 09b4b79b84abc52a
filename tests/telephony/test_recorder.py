"""What the recorder of a call does with the messages of the model."""

from __future__ import annotations

import json
from typing import Any

import pytest

from realtime_core.testing import virtual_time
from telephony.call.recording import recorder, seal
from telephony.call.recording.recorder import CallRecorder
from telephony.call.recording.seal import SealReason
from telephony.journal.encoding import parse_object
from telephony.journal.memory import MemoryJournal

AUDIO = "4711" * 400


def delta(audio: str) -> str:
    begin = '{"type":"response.output_audio.delta","response_id":"r","item_id":"i","content_index":0'
    return f'{begin},"delta":"{audio}"}}'


def recorded(*messages: str, hidden: bool = False) -> list[dict[str, Any]]:
    """The data of the records of these messages. With `hidden`, the call is in a secret part."""

    async def main() -> list[dict[str, Any]]:
        journal = MemoryJournal()
        record = CallRecorder(journal)
        record.hide("4711")
        if hidden:
            record.close_seal(SealReason.SECRET)
        for message in messages:
            record.received(message)
        return [dict(each.data) for each in journal.records() if each.kind == "model.in"]

    return virtual_time.run(main())


def test_audio_of_the_model_is_recorded_as_it_came() -> None:
    assert recorded(delta(AUDIO)) == [{"message": json.loads(delta(AUDIO))}]


def test_audio_of_a_secret_part_is_recorded_as_silence() -> None:
    assert recorded(delta(AUDIO), hidden=True)[0]["message"]["delta"].strip("A=") == ""


@pytest.mark.parametrize("broken", [f"{AUDIO}\n", f"{AUDIO}\\x", f'{AUDIO}","x":"\t'])
def test_a_message_with_audio_that_is_not_json_is_recorded_as_text(broken: str) -> None:
    (data,) = recorded(delta(broken))
    assert data["chars"] == len(delta(broken)) and len(data["text"]) == 1000
    assert not set(data["text"]) & set("123456789")


@pytest.mark.parametrize(
    ("message", "times"),
    [
        (delta(AUDIO), 0),
        (json.dumps({"type": "response.output_audio_transcript.delta", "item_id": "i", "delta": "Hello"}), 1),
        (json.dumps({"type": "response.done", "response": {"id": "r", "output": [{"id": "i"}]}}), 1),
    ],
    ids=["audio", "words", "an item"],
)
def test_a_message_is_parsed_at_most_once(message: str, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []

    def parse(text: str | bytes) -> dict[str, Any] | None:
        parsed.append(text)
        return parse_object(text)

    monkeypatch.setattr(recorder, "parse_object", parse)
    monkeypatch.setattr(seal, "parse_object", parse)
    assert recorded(message)[0]["message"] == json.loads(message)
    assert len(parsed) == times
