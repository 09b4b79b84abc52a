"""Callers from TOML files, by name and by import string, and their clips."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from realtime_core.connection.memory import memory_pair
from realtime_core.testing import virtual_time
from telephony.audio.files import write_ulaw
from telephony.errors import CallerError
from telephony.simulator import Caller, Handset, Line, MediaPeer, callers, clips
from telephony.simulator.events import ClipStarted, Event, HungUp, Pressed
from telephony.twilio.media_stream import encode_clear, encode_media

VOICE = b"\x10\x90" * 4000


def call(caller: Caller) -> list[Event]:
    """Makes a call to an agent that greets, answers each word with ten seconds of speech, and becomes silent when
    interrupted.
    """

    async def main() -> list[Event]:
        ours, theirs = memory_pair()
        peer = MediaPeer(theirs, line=Line(round_trip_s=0.05, seed=1))

        def on_message(text: str | bytes) -> None:
            message = json.loads(text)
            if message["event"] == "start":
                ours.send(encode_media(peer.stream_sid, VOICE))

        def on_event(event: Event) -> None:
            if isinstance(event, ClipStarted):
                ours.send(encode_clear(peer.stream_sid))
            if isinstance(event, ClipStarted | Pressed):
                asyncio.get_running_loop().call_later(5.5, ours.send, encode_media(peer.stream_sid, 10 * VOICE))

        peer._on_event = on_event
        async with asyncio.TaskGroup() as group:
            group.create_task(ours.run(on_message))
            await peer.run(caller)
        return peer.events

    return virtual_time.run(main)


def _deeds(events: list[Event]) -> list[str]:
    names = {ClipStarted: "what", Pressed: "digit"}
    return [getattr(event, names[type(event)]) for event in events if type(event) in names]


def test_the_demo_caller_books_interrupts_presses_and_leaves() -> None:
    events = call(callers.demo)
    assert _deeds(events) == ["booking", "sorry_hours", "1", "goodbye"]
    said = [event.at_s for event in events if isinstance(event, ClipStarted)]
    # Begins a second after the greeting; interrupts four seconds into the answer.
    assert said[0] == pytest.approx(2.05, abs=0.1)
    assert said[1] == pytest.approx(said[0] + 5.5 + 4.05, abs=0.1)
    assert any(isinstance(event, HungUp) for event in events)


def test_a_caller_from_a_file(tmp_path: Path) -> None:
    write_ulaw(tmp_path / "mine.wav", b"\x22" * 1600)
    path = tmp_path / "caller.toml"
    path.write_text("""
steps = [
  { agent_speaks = 20 },
  { agent_silent = 1.0 },
  { say = "hello" },
  { pause = 0.5 },
  { agent_speaks = 20 },
  { heard = 2 },
  { say = "mine.wav" },
  { press = "#" },
  { hang_up = true },
]
""")
    events = call(callers.find(str(path)))
    said = [event for event in events if isinstance(event, ClipStarted)]
    assert [event.samples for event in said] == [len(clips.load("hello")), 1600]
    assert [event.digit for event in events if isinstance(event, Pressed)] == ["#"]
    assert any(isinstance(event, HungUp) for event in events)


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("steps = [", "caller.toml"),
        ("", "steps"),
        ("steps = []\nname = 'x'", "has only"),
        ("steps = [{}]", "step 1 is not one action"),
        ("steps = ['say']", "step 1 is not one action"),
        ("steps = [{pause = 1}, {say = 'hello', press = '1'}]", "step 2 is not one action"),
        ("steps = [{sing = 'hello'}]", "'sing' is not known; agent_speaks,"),
        ("steps = [{say = 'nothing'}]", "There is no clip 'nothing'. Choose booking,"),
        ("steps = [{say = 5}]", "not a clip"),
        ("steps = [{say = 'missing.wav'}]", "missing.wav"),
        ("steps = [{press = '12'}]", "not a key"),
        ("steps = [{press = 1}]", "not a key"),
        ("steps = [{pause = -1}]", "not a number"),
        ("steps = [{pause = inf}]", "not a number"),
        ("steps = [{heard = true}]", "not a number"),
        ("steps = [{hang_up = false}]", "hang_up = true"),
    ],
)
def test_a_file_that_does_not_fit_says_where(tmp_path: Path, toml: str, says: str) -> None:
    path = tmp_path / "caller.toml"
    path.write_text(toml)
    with pytest.raises(CallerError) as caught:
        callers.load(path)
    assert says in str(caught.value)


async def somebody(phone: Handset) -> None:
    """A caller of this module."""


def test_callers_by_name() -> None:
    assert callers.find("demo") is callers.demo
    assert callers.find("telephony.simulator.callers:patient") is callers.patient
    for unknown in (
        "nobody",
        "nowhere:nobody",
        "telephony.simulator.callers:nobody",
        "telephony.simulator.callers:NAMED",
    ):
        with pytest.raises(CallerError, match="no caller"):
            callers.find(unknown)


def test_every_clip_is_speech_in_whole_frames() -> None:
    assert {"hello", "booking", "sorry_hours", "goodbye"} < set(clips.names())
    total = 0
    for name in clips.names():
        ulaw = clips.load(name)
        total += len(ulaw)
        assert len(ulaw) % 160 == 0
        assert 0.5 <= len(ulaw) / 8000 <= 10
        assert len(set(ulaw)) > 100
    assert total < 300_000
