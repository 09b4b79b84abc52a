"""Keys: pressed for the other side while the session continues, and collected from the caller without a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper, function_tool
from realtime_core.local import Call as ToolCall
from realtime_core.local import Reply, Script, Turn
from telephony import Call, collect_digits, send_digits
from tests.support.exchange import CallerPhone, hear_out, story

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

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)

    result = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[send_digits()]), rest=rest)
    assert result.exchange.digits == ["4711#"]
    assert result.exchange.streams == 2
    assert len(result.records.of("open")) == 1, "one session"
    assert all(result.heard_whole(item) for item in range(4))
    assert result.heard.count(list(result.spoken().values())[1][4000:12000]) == 1, "nothing is said twice"
    assert result.reason == "hung up"
    ((_, started),) = result.records.of("tool.start")
    assert started["arguments"] == '{"digits": "•••••"}'
    assert not any("4711" in text for text in texts([fields for _, _, fields in result.records.all]))
    pieces = result.records.of("model.in", "response.function_call_arguments.delta")
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

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await phone.agent_speaks()
        await phone.heard(1.0)
        for key in "4711#":
            phone.press(key)
        await phone.agent_silent(0.3)
        await phone.agent_speaks()
        await phone.agent_silent(1.0)

    result = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[ask_pin]))
    (digits,) = seen
    assert (digits.value, digits.complete) == ("4711", True)
    assert "4711" not in f"{digits} {digits!r}"
    assert not result.heard_whole(1), "the first key silences the prompt"
    ((_, ended),) = result.records.of("tool.end")
    assert ended["output"] == "It is ••••"
    told_model = result.records.of("model.out", "conversation.item.create")
    assert "••••" in json.dumps(told_model, ensure_ascii=False)
    for kind in ("twilio.in", "model.out", "model.in", "tool.end", "control"):
        texts = [
            m for _, m in result.records.of(kind) if "audio" not in str(m.get("type")) and m.get("event") != "media"
        ]
        assert "4711" not in json.dumps(texts)
    result.assert_no_undecided_silence()


async def test_a_stored_number_is_not_told_to_the_model() -> None:
    tool = collect_digits(store="pin", max_digits=4)
    stored = []

    script = Script(
        greeting=Reply(say="Hello."),
        turns=[Turn(Reply(say="Thank you."), calls=[ToolCall("collect_digits", '{"what": "your PIN"}')])],
        otherwise=Reply(say="Please type."),
    )

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("sorry_hours")
        await hear_out(phone)
        for key in "9876":
            phone.press(key)
        await hear_out(phone)

    def remember(call: Call) -> None:
        stored.append(call.data.get("pin"))

    result = await story(caller, script=script, agent=RealtimeAgent(name="Desk", tools=[tool]), on_end=remember)
    assert stored == ["9876"]
    ((_, ended),) = result.records.of("tool.end")
    assert ended["output"] == "The caller typed 4 keys; they are stored."
    result.assert_no_undecided_silence()


async def test_a_key_silences_the_agent() -> None:
    async def caller(phone: CallerPhone) -> None:
        await phone.agent_speaks()
        await phone.heard(1.0)
        phone.press("1")
        await phone.agent_silent(0.2)
        await hear_out(phone)

    script = Script(
        greeting=Reply(say="Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans."),
        turns=[Turn(Reply(say="Yes."), text="pressed 1")],
    )
    result = await story(caller, script=script)
    assert not result.heard_whole(0)
    assert result.heard_whole(1)
    ((_, cut),) = result.records.of("model.out", "conversation.item.truncate")
    assert 900 <= cut["audio_end_ms"] <= 1600
    result.assert_no_undecided_silence()
