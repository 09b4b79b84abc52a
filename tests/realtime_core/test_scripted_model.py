"""The scripted model: row 71 of the behaviour table. It must fail where a script and the session do not agree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeRunner, RealtimeSession, function_tool
from realtime_core.model import RealtimeModelListener
from realtime_core.model_events import RealtimeModelEvent, RealtimeModelToolCallEvent
from realtime_core.model_inputs import (
    RealtimeModelSendInterrupt,
    RealtimeModelSendToolOutput,
    RealtimeModelSendUserInput,
)
from realtime_core.testing import (
    RealtimeScriptError,
    RealtimeStep,
    ScriptedRealtimeModel,
    UnconsumedRealtimeSteps,
    UnexpectedRealtimeSend,
)
from tests.support.session_kit import audio, settle

pytestmark = pytest.mark.virtual_time

HELLO = RealtimeModelSendUserInput("Hello")


async def enter(model: ScriptedRealtimeModel) -> RealtimeSession:
    return await RealtimeSession(model, RealtimeAgent(name="Desk")).enter()


async def test_the_example_of_the_documentation() -> None:
    @function_tool
    def opening_hours(day: str) -> str:
        return f"On {day} from noon to eleven."

    call = RealtimeModelToolCallEvent(name="opening_hours", call_id="call_1", arguments='{"day": "Friday"}')
    model = ScriptedRealtimeModel(
        [
            RealtimeStep(expect=RealtimeModelSendUserInput("When are you open?"), emit=[call]),
            RealtimeStep(expect=RealtimeModelSendToolOutput(call, "On Friday from noon to eleven.")),
        ]
    )
    agent = RealtimeAgent(name="Desk", tools=[opening_hours])
    async with await RealtimeRunner(agent, model=model).run() as session:
        await session.send_message("When are you open?")
        async for event in session:
            if event.type == "tool_end":
                break
    model.assert_complete()


@pytest.mark.parametrize("expect", [HELLO, RealtimeModelSendUserInput, lambda sent: sent.user_input == "Hello"])
@pytest.mark.parametrize("immediate", [True, False])
async def test_a_step_is_matched_and_answers(expect: Any, immediate: bool) -> None:
    model = ScriptedRealtimeModel([RealtimeStep(expect, emit=[audio(), audio()])], immediate=immediate)
    session = await enter(model)
    seen: list[str] = []
    session.add_handler(lambda event: seen.append(event.type))
    await session.send_message("Hello")
    await settle()
    assert seen.count("audio") == 2
    assert (model.sent_events, model.remaining_steps) == ((HELLO,), 0)
    model.assert_complete()
    await session.close()


async def test_a_step_may_fail() -> None:
    model = ScriptedRealtimeModel([RealtimeStep(HELLO, error=OSError("lost"))])
    session = await enter(model)
    with pytest.raises(OSError, match="lost"):
        await session.send_message("Hello")
    model.assert_complete()
    await session.close()


async def test_what_is_not_expected_fails_for_the_sender_and_at_the_end() -> None:
    model = ScriptedRealtimeModel([RealtimeStep(RealtimeModelSendInterrupt)])
    session = await enter(model)
    with pytest.raises(UnexpectedRealtimeSend) as raised:
        await session.send_message("Hello")
    assert (raised.value.actual, raised.value.expected) == (HELLO, RealtimeModelSendInterrupt)
    await session.interrupt()
    with pytest.raises(UnexpectedRealtimeSend):
        model.assert_complete()
    await session.close()


async def test_what_is_not_reached_fails_at_the_end() -> None:
    model = ScriptedRealtimeModel([RealtimeStep(HELLO), RealtimeStep(HELLO)])
    session = await enter(model)
    await session.send_message("Hello")
    with pytest.raises(UnconsumedRealtimeSteps) as raised:
        model.assert_complete()
    assert raised.value.remaining_steps == 1
    assert isinstance(raised.value, RealtimeScriptError)
    assert isinstance(raised.value, AssertionError)
    await session.close()


async def test_without_strictness_everything_is_taken() -> None:
    model = ScriptedRealtimeModel([RealtimeStep(RealtimeModelSendInterrupt, emit=[audio()])], strict=False)
    session = await enter(model)
    await session.send_message("Hello")
    await session.interrupt()
    assert (len(model.sent_events), model.remaining_steps) == (2, 0)
    model.assert_complete()
    await session.close()


async def test_connecting_and_closing_may_fail_and_secrets_are_not_kept() -> None:
    with pytest.raises(OSError, match="refused"):
        await enter(ScriptedRealtimeModel(connect_error=OSError("refused")))
    model = ScriptedRealtimeModel(close_error=OSError("stuck"), connect_events=[audio()])
    session = RealtimeSession(
        model,
        RealtimeAgent(name="Desk"),
        None,
        {"api_key": "secret", "headers": {"api-key": "secret"}, "url": "wss://x"},
    )
    seen: list[str] = []
    session.add_handler(lambda event: seen.append(event.type))
    await session.enter()
    assert "audio" in seen
    assert "secret" not in repr(model.connect_calls)
    assert model.connect_calls[0]["url"] == "wss://x"
    with pytest.raises(OSError, match="stuck"):
        await session.close()
    await session.close()
    assert model.close_calls == 2


@pytest.mark.parametrize("immediate", [True, False])
async def test_a_listener_may_send_an_input_and_await_it(immediate: bool) -> None:
    class Answering(RealtimeModelListener):
        async def on_event(self, event: RealtimeModelEvent) -> None:
            seen.append(event)
            if event is first:
                await model.send_event(RealtimeModelSendInterrupt())
                await model.send_event(RealtimeModelSendInterrupt())

    seen: list[RealtimeModelEvent] = []
    first, second, third = audio(1), audio(2), audio(3)
    interrupt = RealtimeModelSendInterrupt
    steps = [RealtimeStep(HELLO, [first]), RealtimeStep(interrupt, [second]), RealtimeStep(interrupt, [third])]
    model = ScriptedRealtimeModel(steps, immediate=immediate)
    model.add_listener(Answering())
    async with asyncio.timeout(1):
        await model.send_event(HELLO)
    assert seen == [first, second, third]
    model.assert_complete()


async def test_a_sender_that_is_cancelled_stops_no_events() -> None:
    class Slow(RealtimeModelListener):
        async def on_event(self, event: RealtimeModelEvent) -> None:
            await asyncio.sleep(1)
            seen.append(event)

    seen: list[RealtimeModelEvent] = []
    first, second = audio(1), audio(2)
    interrupt = RealtimeModelSendInterrupt
    model = ScriptedRealtimeModel([RealtimeStep(HELLO, [first]), RealtimeStep(interrupt, [second])])
    model.add_listener(Slow())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await model.send_event(HELLO)
    await model.send_event(interrupt())
    assert seen == [first, second]


async def test_listeners_that_want_to_be_awaited_are() -> None:
    class Slow(RealtimeModelListener):
        def __init__(self) -> None:
            self.seen: list[RealtimeModelEvent] = []

        async def on_event(self, event: RealtimeModelEvent) -> None:
            await asyncio.sleep(1)
            self.seen.append(event)

    model, listener = ScriptedRealtimeModel(), Slow()
    model.add_listener(listener)
    model.add_listener(listener)
    first, second = audio(1), audio(2)
    await model.emit(first, second)
    assert (listener.seen, model.listeners) == ([first, second], (listener,))


async def test_a_listener_that_fails_at_the_connection_leaves_the_model_unconnected() -> None:
    class Failing(RealtimeModelListener):
        async def on_event(self, event: object) -> None:
            raise LookupError("no")

    model = ScriptedRealtimeModel(connect_events=[audio()])
    model.add_listener(Failing())
    with pytest.raises(LookupError):
        await model.connect({})
    assert not model.connected


async def test_an_input_is_recorded_as_it_was_when_it_was_sent() -> None:
    model = ScriptedRealtimeModel(strict=False)
    message: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "first"}]}
    async with RealtimeSession(model, RealtimeAgent(name="Desk")) as session:
        for text in ("first", "second"):
            message["content"][0]["text"] = text
            await session.send_message(message)
    said = [event.user_input for event in model.sent_events if isinstance(event, RealtimeModelSendUserInput)]
    assert [each["content"][0]["text"] for each in said if isinstance(each, dict)] == ["first", "second"]  # type: ignore[typeddict-item]
