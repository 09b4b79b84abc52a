"""A far end that returns no marks, or marks that were never sent, does not silence the agent."""

from __future__ import annotations

import json

import pytest

from realtime_core.connection.memory import MemoryConnection
from realtime_core.local import Reply, Script, Turn
from telephony import Call
from tests.support.exchange import CallerPhone, hear_out, story

SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(say="Tonight we serve a soup of white beans with sage, then fresh tagliatelle."))] * 2,
)


def loses_marks(connection: MemoryConnection, becomes: str | None) -> None:
    """The phone's end of `connection` sends no marks, or sends marks with the name `becomes`."""
    send = connection.send

    def changed(message: str) -> None:
        event = json.loads(message)
        if event["event"] != "mark":
            send(message)
        elif becomes is not None:
            send(json.dumps({**event, "mark": {"name": becomes}}))

    connection.send = changed  # type: ignore[assignment]


@pytest.mark.virtual_time
@pytest.mark.parametrize("becomes", [None, "responsePart", "heard:0:99999999:999", "probe:7:0:1"])
async def test_answers_are_heard_whole(becomes: str | None) -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.agent_silent(3.0)
        await phone.say("sorry_hours")
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, script=SCRIPT, wire=lambda connection: loses_marks(connection, becomes))
    assert result.heard_whole(0) and result.heard_whole(1) and result.heard_whole(2)
    assert result.records.of("error") == []


@pytest.mark.virtual_time
async def test_the_end_of_the_audio_by_the_clock_counts() -> None:
    calls: list[Call] = []
    played: list[tuple[bool, float]] = []
    clip = b"\x9a" * 12_000

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        for _ in range(2):
            began = phone.now
            played.append((await calls[0].play(clip), phone.now - began))

    await story(caller, script=SCRIPT, on_start=calls.append, wire=lambda connection: loses_marks(connection, None))
    for heard, took_s in played:
        assert heard and 1.5 <= took_s < 1.7


@pytest.mark.virtual_time
async def test_a_clip_at_the_start_of_a_stream_has_no_gap() -> None:
    clip = bytes(n % 251 for n in range(24_000))
    result = await story(hear_out, script=SCRIPT, greeting=clip, wire=lambda connection: loses_marks(connection, None))
    assert clip in result.heard
