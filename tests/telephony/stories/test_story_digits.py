"""Keys: pressed for the far end with the session kept, collected from the caller and shown to nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import Call, collect_digits, send_digits
from tests.support.exchange import Ear, hear_out, story

pytestmark = pytest.mark.virtual_time

LINE = "We are open every day from noon until eleven in the evening."


def texts(value: Any) -> Iterator[str]:
    """All that is written in words: no number, no audio, no id."""
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from texts(each)
        case dict():
            for name, each in value.items():
                if name not in ("payload", "id") and not name.endswith("_id") and "audio.delta" not in str(value):
                    yield from texts(each)


@pytest.mark.parametrize("rest", [True, False])
async def test_digits_are_sent_and_the_session_is_kept(rest: bool) -> None:
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[
            Turn(Reply(say="Done."), filler=LINE, calls=[ToolCall("send_digits", '{"digits": "4711#"}')]),
            Turn(Reply(say="Yes, we are open.")),
        ],
    )

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("sorry_hours")
        await hear_out(ear)
        await hear_out(ear)
        await ear.say("sorry_hours")
        await hear_out(ear)

    told = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[send_digits()]), rest=rest)
    assert told.exchange.digits == ["4711#"]
    assert told.exchange.streams == 2
    assert len(told.records.of("open")) == 1, "one session"
    assert all(told.heard_whole(item) for item in range(4))
    assert told.heard.count(list(told.spoken().values())[1][4000:12000]) == 1, "nothing is said twice"
    assert told.reason == "hung up"
    ((_, started),) = told.records.of("tool.start")
    assert started["arguments"] == '{"digits": "•••••"}'
    assert not any("4711" in text for text in texts([fields for _, _, fields in told.records.all]))
    pieces = told.records.of("model.in", "response.function_call_arguments.delta")
    assert pieces and not any(digit in piece["delta"] for _, piece in pieces for digit in "0123456789")


async def test_digits_are_collected_and_no_record_shows_them() -> None:
    seen = []

    @function_tool
    async def ask_pin(ctx: RunContextWrapper[Call]) -> str:
        """Ask for the PIN."""
        digits = await ctx.context.collect_digits("ask for the pin")
        seen.append(digits)
        return f"It is {digits.value}"

    script = Script(
        greeting=Reply(say="Hello."),
        turns=[
            Turn(Reply(say="Thank you."), calls=[ToolCall("ask_pin", "{}")]),
            Turn(Reply(say="Please type your number, and then the hash key. We are open every day."), text="pin"),
        ],
    )

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("sorry_hours")
        await ear.agent_speaks()
        await ear.heard(1.0)
        for key in "4711#":
            ear.press(key)
        await ear.agent_silent(0.3)
        await ear.agent_speaks()
        await ear.agent_silent(1.0)

    told = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[ask_pin]))
    (digits,) = seen
    assert (digits.value, digits.complete) == ("4711", True)
    assert "4711" not in f"{digits} {digits!r}"
    assert not told.heard_whole(1), "the first key silences the prompt"
    ((_, ended),) = told.records.of("tool.end")
    assert ended["output"] == "It is ••••"
    told_model = told.records.of("model.out", "conversation.item.create")
    assert "••••" in json.dumps(told_model, ensure_ascii=False)
    for kind in ("twilio.in", "model.out", "model.in", "tool.end", "control"):
        texts = [m for _, m in told.records.of(kind) if "audio" not in str(m.get("type")) and m.get("event") != "media"]
        assert "4711" not in json.dumps(texts)
    told.assert_no_undecided_silence()


async def test_a_stored_number_is_not_told_to_the_model() -> None:
    tool = collect_digits(store="pin", max_digits=4)
    stored = []

    script = Script(
        greeting=Reply(say="Hello."),
        turns=[Turn(Reply(say="Thank you."), calls=[ToolCall("collect_digits", '{"what": "your PIN"}')])],
        otherwise=Reply(say="Please type."),
    )

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("sorry_hours")
        await hear_out(ear)
        for key in "9876":
            ear.press(key)
        await hear_out(ear)

    def remember(call: Call) -> None:
        stored.append(call.data.get("pin"))

    told = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[tool]), on_end=remember)
    assert stored == ["9876"]
    ((_, ended),) = told.records.of("tool.end")
    assert ended["output"] == "The caller typed 4 keys; they are stored."
    told.assert_no_undecided_silence()


async def test_a_key_silences_the_agent() -> None:
    async def caller(ear: Ear) -> None:
        await ear.agent_speaks()
        await ear.heard(1.0)
        ear.press("1")
        await ear.agent_silent(0.2)
        await hear_out(ear)

    script = Script(
        greeting=Reply(say="Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans."),
        turns=[Turn(Reply(say="Yes."), text="pressed 1")],
    )
    told = await story(caller, script=script)
    assert not told.heard_whole(0)
    assert told.heard_whole(1)
    ((_, cut),) = told.records.of("model.out", "conversation.item.truncate")
    assert 900 <= cut["audio_end_ms"] <= 1600
    told.assert_no_undecided_silence()
