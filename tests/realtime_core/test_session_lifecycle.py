"""Opening, closing, errors and iteration: rows 1 to 10 of the behaviour table."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from realtime_core import (
    RealtimeAgent,
    RealtimeCoreError,
    RealtimeRunner,
    RealtimeSession,
    RunContextWrapper,
    UserError,
    function_tool,
)
from realtime_core.agent import RealtimeRunHooks
from realtime_core.config import RealtimeRunConfig
from realtime_core.connection import Close
from realtime_core.errors import ConnectionLost
from realtime_core.model import DONE
from realtime_core.model_events import (
    RealtimeModelConnectionStatusEvent,
    RealtimeModelEndOfStreamEvent,
    RealtimeModelErrorEvent,
    RealtimeModelExceptionEvent,
    RealtimeModelOtherEvent,
)
from realtime_core.model_inputs import RealtimeModelSendAudio, RealtimeModelSendUserInput
from realtime_core.outbox import Outbox
from realtime_core.session_core import TaskScope
from realtime_core.testing import ScriptedRealtimeModel
from tests.support.session_kit import audio, call, ended, opened, said, settle, started, types

pytestmark = pytest.mark.virtual_time

AGENT = RealtimeAgent(name="Desk")


class FalsyModel(ScriptedRealtimeModel):
    def __bool__(self) -> bool:
        return False


# Row 1: the runner


async def test_run_does_no_io_and_hands_the_configs_on_unmerged() -> None:
    model = ScriptedRealtimeModel()
    runner = RealtimeRunner(AGENT, model=model, config={"model_settings": {"voice": "coral"}})
    session = await runner.run(context={"user": 1}, model_config={"initial_model_settings": {"speed": 1.5}})
    assert (session.model, session.status, model.connect_calls) == (model, "new", ())
    assert session.context.context == {"user": 1}


async def test_a_falsy_model_is_kept() -> None:
    model = FalsyModel()
    assert (await RealtimeRunner(AGENT, model=model).run()).model is model


async def test_a_factory_serves_many_sessions_at_once() -> None:
    runner = RealtimeRunner(AGENT, model=lambda: ScriptedRealtimeModel(strict=False))
    async with await runner.run() as one, await runner.run() as two:
        assert one.model is not two.model
        assert (one.status, two.status) == ("connected", "connected")


async def test_a_model_object_serves_one_session_at_a_time() -> None:
    runner = RealtimeRunner(AGENT, model=ScriptedRealtimeModel(strict=False))
    async with await runner.run():
        with pytest.raises(UserError, match="serves an open session"):
            await runner.run()
    async with await runner.run() as again:
        assert again.status == "connected"


# Row 2: entering


async def test_enter_connects_with_the_resolved_settings_and_announces_the_history() -> None:
    agent = RealtimeAgent(name="Desk", instructions="Be brief.")
    async with opened(agent, model_config={"api_key": "secret", "initial_model_settings": {"speed": 1.2}}) as kit:
        (options,) = kit.model.connect_calls
        assert options["initial_model_settings"]["instructions"] == "Be brief."
        assert options["initial_model_settings"]["speed"] == 1.2
        assert (kit.types, kit.events[0].history) == (["history_updated"], [])


async def test_settings_are_resolved_before_the_first_listener() -> None:
    def fails(context: Any, agent: Any) -> str:
        raise ValueError("no instructions")

    model = ScriptedRealtimeModel()
    with pytest.raises(ValueError, match="no instructions"):
        await RealtimeSession(model, RealtimeAgent(name="Desk", instructions=fails)).enter()
    assert (model.listeners, model.connect_calls) == ((), ())


async def test_a_failed_connect_leaves_nothing_behind() -> None:
    model = ScriptedRealtimeModel(connect_error=OSError("refused"))
    session = RealtimeSession(model, AGENT)
    with pytest.raises(OSError, match="refused"):
        await session.enter()
    assert (model.listeners, session.status) == ((), "closed")
    assert [event async for event in session] == []
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancelled_connect_leaves_nothing_behind() -> None:
    class Slow(ScriptedRealtimeModel):
        async def connect(self, options: Any) -> None:
            await asyncio.sleep(60)

    model = Slow()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await RealtimeSession(model, AGENT).enter()
    assert model.listeners == ()
    assert len(asyncio.all_tasks()) == 1


async def test_a_session_is_entered_once() -> None:
    async with opened() as kit:
        with pytest.raises(UserError, match="entered only once"):
            await kit.session.enter()


async def test_sending_needs_an_open_session() -> None:
    session = RealtimeSession(ScriptedRealtimeModel(), AGENT)
    with pytest.raises(UserError, match="not open"):
        await session.send_message("Hello")


# Rows 3 and 4: closing


async def test_close_is_idempotent_and_ends_iteration() -> None:
    async with opened() as kit:
        session = kit.session
        waiting = [asyncio.create_task(anext(session)) for _ in range(3)]
        await settle()
        await session.close()
        await session.close()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [StopAsyncIteration] * 3
        assert (session.status, kit.model.close_calls, kit.model.listeners) == ("closed", 1, ())
        with pytest.raises(UserError, match="has ended"):
            await session.send_message("Hello")


async def test_tools_are_cancelled_and_have_ended_before_the_model_is_closed() -> None:
    order: list[str] = []

    @function_tool
    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            order.append("tool ended")
        return "never"

    class Watched(ScriptedRealtimeModel):
        async def close(self) -> None:
            order.append("model closed")

    async with opened(RealtimeAgent(name="Desk", tools=[slow]), model=Watched(strict=False)) as kit:
        kit.emit(call("slow"))
        await settle()
    assert order == ["tool ended", "model closed"]
    assert kit.outputs == []


async def test_a_tool_that_ends_late_sends_nothing() -> None:
    gate = asyncio.Event()

    @function_tool
    async def stubborn() -> str:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                pass
        return "late"

    async with opened(RealtimeAgent(name="Desk", tools=[stubborn])) as kit:
        kit.emit(call("stubborn"))
        await settle()
        before = asyncio.get_running_loop().time()
        await kit.session.close()
        assert asyncio.get_running_loop().time() - before <= 1.0
    gate.set()
    await settle()
    assert (kit.outputs, kit.types) == ([], ["history_updated", "history_added", "tool_start"])


async def test_close_takes_at_most_a_second_when_the_model_does_not_close() -> None:
    class Hanging(ScriptedRealtimeModel):
        async def close(self) -> None:
            await asyncio.sleep(60)

    loop = asyncio.get_running_loop()
    async with opened(model=Hanging()) as kit:
        before = loop.time()
        await kit.session.close()
        assert loop.time() - before <= 1.0
        assert kit.session.status == "closed"


async def test_concurrent_closers_share_a_failure_and_a_later_close_tries_again() -> None:
    class Failing(ScriptedRealtimeModel):
        async def close(self) -> None:
            await super().close()
            await asyncio.sleep(0.1)
            if self.close_calls == 1:
                raise OSError("still busy")

    model = Failing()
    session = await RealtimeSession(model, AGENT).enter()

    async def first_event() -> Any:
        return await anext(aiter(session.subscribe()))

    iteration = asyncio.create_task(first_event())
    results = await asyncio.gather(session.close(), session.close(), return_exceptions=True)
    assert [str(result) for result in results] == ["still busy", "still busy"]
    # Unlike the reference, nobody who iterates waits for ever when the model fails to close.
    with pytest.raises(StopAsyncIteration):
        await iteration
    await session.close()
    assert (session.status, model.close_calls) == ("closed", 2)


async def test_cancelling_one_closer_does_not_cancel_the_closing() -> None:
    class Slow(ScriptedRealtimeModel):
        async def close(self) -> None:
            await asyncio.sleep(0.3)
            await super().close()

    model = Slow()
    session = await RealtimeSession(model, AGENT).enter()
    first = asyncio.create_task(session.close())
    await settle()
    first.cancel()
    await session.close()
    assert (first.cancelled(), model.close_calls, session.status) == (True, 1, "closed")


async def test_a_tool_may_close_the_session() -> None:
    ends: list[str] = []

    @function_tool
    async def hang_up(context: RunContextWrapper[Any]) -> str:
        try:
            await context.context["session"].close()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return "never"

    held: dict[str, Any] = {}
    async with opened(RealtimeAgent(name="Desk", tools=[hang_up]), context=held) as kit:
        held["session"] = kit.session
        kit.emit(call("hang_up"))
        async for _ in kit.session:
            pass
        await kit.session.close()
        assert (kit.session.status, ends, kit.model.close_calls) == ("closed", ["cancelled"], 1)


async def test_events_after_close_change_nothing() -> None:
    async with opened() as kit:
        listener = kit.model.listeners[0]
    count = len(kit.events)
    await listener.on_event(audio())
    assert listener.on_event(call("x")) is DONE
    assert (len(kit.events), kit.session.history) == (count, [])


async def test_nothing_is_left_running_or_alive() -> None:
    async with opened() as kit:
        kit.emit(started(), audio(), ended())
    session = weakref.ref(kit.session)
    del kit
    gc.collect()
    assert len(asyncio.all_tasks()) == 1
    assert session() is None


# Rows 6, 7 and 9: iteration, exceptions, the end of the stream


async def test_a_disconnect_alone_does_not_end_iteration_but_the_end_of_the_stream_does() -> None:
    async with await RealtimeRunner(AGENT, model=(model := ScriptedRealtimeModel())).run() as session:
        close = Close(1001, "going away", "peer")
        model.emit_now(RealtimeModelConnectionStatusEvent("disconnected", close=close))
        assert session.status == "disconnected"
        model.emit_now(audio(), RealtimeModelEndOfStreamEvent(), audio())
        seen = [event async for event in session.events()]
    outcome = [e for e in seen if e.type == "connection_status"]
    assert [(e.status, e.close.code, e.close.reason) for e in outcome] == [("disconnected", 1001, "going away")]
    assert types(seen)[-3:] == ["audio", "raw_model_event", "session_ended"]
    assert seen[-1].exception is None


async def test_what_was_queued_comes_before_the_exception() -> None:
    """A deliberate difference: the reference raises the exception first, and loses the queued events."""
    failure = ConnectionLost(Close(1011, "server error", "peer"))
    session = await RealtimeSession(model := ScriptedRealtimeModel(), AGENT).enter()
    model.emit_now(started(), *[audio()] * 20, RealtimeModelExceptionEvent(failure), audio())
    for consumer in (session.events(), session):
        seen: list[Any] = []
        with pytest.raises(ConnectionLost) as raised:
            while True:
                seen.append(await anext(consumer))
        assert raised.value is failure
        assert types(seen).count("audio") == 20
        if consumer is not session:
            assert seen[-1].type == "session_ended"
            assert seen[-1].exception is failure
    assert (session.status, model.close_calls) == ("closed", 1)


async def test_a_failing_close_does_not_hide_the_failure() -> None:
    failure = ConnectionLost(Close(1011, "", "peer"))
    session = await RealtimeSession(model := ScriptedRealtimeModel(close_error=OSError("stuck")), AGENT).enter()
    model.emit_now(RealtimeModelExceptionEvent(failure))
    with pytest.raises(ConnectionLost):
        while True:
            await anext(session)
    assert (session.status, model.close_calls) == ("closing", 1)
    await session.close()
    assert (session.status, model.close_calls) == ("closed", 2)


async def test_sending_after_a_failure_names_the_failure() -> None:
    async with opened() as kit:
        failure = ConnectionLost(Close(1006, "", "network"))
        kit.emit(RealtimeModelExceptionEvent(failure))
        with pytest.raises(UserError) as raised:
            await kit.session.send_audio(b"\0\0")
        assert raised.value.__cause__ is failure
        kit.session.post_audio(b"\0\0")
        assert kit.sent == []


async def test_cancelling_a_consumer_loses_no_event() -> None:
    async with opened() as kit:
        consumer = asyncio.create_task(anext(kit.session))
        await settle()
        kit.emit(RealtimeModelErrorEvent("one"))
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert (await anext(kit.session)).type == "raw_model_event"


async def test_a_models_error_is_an_event_and_the_session_continues() -> None:
    async with opened() as kit:
        kit.emit(RealtimeModelErrorEvent("odd"), audio())
        assert [event.error for event in kit.of("error")] == ["odd"]
        assert kit.types[-1] == "audio"


# Row 8: what fails in the background


async def test_a_defect_of_the_engine_ends_the_session_with_an_error() -> None:
    async def broken() -> None:
        raise ZeroDivisionError

    async with opened() as kit:
        kit.session._core.start(broken(), "broken")
        with pytest.raises(RealtimeCoreError, match="defect"):
            async for _ in kit.session:
                pass


# Row 15 and the sending side


async def test_the_model_gets_what_was_sent_in_order_also_when_it_wants_to_be_awaited() -> None:
    class Slow(ScriptedRealtimeModel):
        async def send_event(self, event: Any) -> None:
            await asyncio.sleep(0.01)
            await super().send_event(event)

    async with opened(model=Slow(strict=False, immediate=False)) as kit:
        kit.session.post_audio(b"1")
        kit.session.post_audio(b"2")
        await kit.session.send_message("three")
        await kit.session.send_audio(b"4", commit=True)
        assert kit.sent == [
            RealtimeModelSendAudio(b"1"),
            RealtimeModelSendAudio(b"2"),
            RealtimeModelSendUserInput("three"),
            RealtimeModelSendAudio(b"4", commit=True),
        ]


async def test_a_model_that_cannot_send_at_once_for_a_while_gets_everything_in_order() -> None:
    class Busy(ScriptedRealtimeModel):
        busy = True

        def send_event(self, event: Any) -> Coroutine[Any, Any, None]:
            return self.send_later(event) if self.busy else super().send_event(event)

        async def send_later(self, event: Any) -> None:
            await asyncio.sleep(1)
            await super().send_event(event)

    async with opened(model=(model := Busy(strict=False))) as kit:
        kit.session.post_audio(b"1")
        model.busy = False
        kit.session.post_audio(b"2")
        await settle(0.5)
        kit.session.post_audio(b"3")
        await settle(5)
        kit.session.post_audio(b"4")
        assert [event.audio for event in kit.sent] == [b"1", b"2", b"3", b"4"]


class Audited(ScriptedRealtimeModel):
    """A model of the user's that adds to `send_event`, in each way that Python allows."""

    def __init__(self) -> None:
        super().__init__(strict=False)
        self.audited: list[Any] = []


class AuditedLater(Audited):
    async def send_event(self, event: Any) -> None:
        self.audited.append(event)
        await super().send_event(event)


class AuditedNow(Audited):
    def send_event(self, event: Any) -> Coroutine[Any, Any, None]:
        self.audited.append(event)
        return super().send_event(event)


class AuditedPlain(Audited):
    def send_event(self, event: Any) -> None:  # type: ignore[override]
        self.audited.append(event)
        _ = super().send_event(event)


@pytest.mark.parametrize("kind", [AuditedLater, AuditedNow, AuditedPlain])
async def test_every_input_passes_a_send_event_that_a_user_has_overridden(kind: type[Audited]) -> None:
    model = kind()
    async with opened(model=model) as kit:
        kit.session.post_audio(b"1")
        await kit.session.send_audio(b"2")
        await kit.session.send_message("three")
        kit.session.post_audio(b"4")
        await kit.session.interrupt()
        assert len(model.audited) == 5 and model.audited == list(model.sent_events)


async def test_sending_can_be_a_task_of_its_own() -> None:
    async with opened() as kit:
        await asyncio.create_task(kit.model.send_event(RealtimeModelSendAudio(b"1")))
        await asyncio.wait_for(kit.model.send_event(RealtimeModelSendAudio(b"2")), 1)
        await asyncio.gather(*(kit.model.send_event(RealtimeModelSendAudio(b)) for b in (b"3", b"4")))
        assert [event.audio for event in kit.sent] == [b"1", b"2", b"3", b"4"]


async def test_a_closed_outbox_sends_nothing() -> None:
    model = ScriptedRealtimeModel()
    outbox = Outbox(model, lambda work, name: None, lambda error: None)
    outbox.close()
    outbox.post(RealtimeModelSendAudio(b"1"))
    with pytest.raises(UserError, match="closed"):
        await outbox.deliver(RealtimeModelSendAudio(b"1"))
    assert model.sent_events == ()


async def test_what_sending_raises_reaches_the_sender() -> None:
    class Broken(ScriptedRealtimeModel):
        async def send_event(self, event: Any) -> None:
            raise OSError("broken pipe")

    async with opened(model=Broken(immediate=False)) as kit:
        with pytest.raises(OSError, match="broken pipe"):
            await kit.session.send_message("Hello")
        kit.session.post_audio(b"\0\0")
        await settle()
        assert [str(event.error) for event in kit.of("error")] == ["broken pipe"]


async def test_caller_audio_that_waits_is_bounded_and_the_oldest_goes_first() -> None:
    gate = asyncio.Event()

    class Stalled(ScriptedRealtimeModel):
        async def send_event(self, event: Any) -> None:
            await gate.wait()
            await super().send_event(event)

    async with opened(model=Stalled(strict=False, immediate=False)) as kit:
        await settle()
        for number in range(300):
            kit.session.post_audio(bytes([number % 256]) * 4800)
        await settle()
        gate.set()
        await kit.session.send_message("after")
        sent = [event.audio[0] for event in kit.sent if isinstance(event, RealtimeModelSendAudio)]
        assert 90 <= len(sent) <= 101
        assert sent[-1] == 299 % 256
        assert kit.sent[-1] == RealtimeModelSendUserInput("after")


async def test_inputs_for_a_model_that_takes_none_are_bounded() -> None:
    gate = asyncio.Event()

    class Stalled(ScriptedRealtimeModel):
        async def send_event(self, event: Any) -> None:
            await gate.wait()
            await super().send_event(event)

    async with opened(model=Stalled(strict=False, immediate=False)) as kit:
        sending = [asyncio.create_task(kit.session.send_message(str(number))) for number in range(1000)]
        await settle()
        refused = [task for task in sending if task.done()]
        assert 0 < len(refused) < 600
        for task in refused:
            with pytest.raises(RealtimeCoreError, match="accepts no more input"):
                task.result()
        gate.set()
        await asyncio.gather(*(task for task in sending if task not in refused))
        assert [event.user_input for event in kit.sent] == [str(number) for number in range(1000 - len(refused))]


async def test_hooks_behind_one_that_does_not_return_are_bounded() -> None:
    class Stuck(RealtimeRunHooks[Any]):
        async def on_agent_start(self, context: Any, agent: Any) -> None:
            await asyncio.Event().wait()

    async with opened(run_config={"hooks": Stuck()}) as kit:
        for number in range(1100):
            kit.emit(started(f"resp_{number}"), ended(f"resp_{number}"))
        (error,) = kit.of("error")
        assert "does not return" in str(error.error)


async def test_other_events_are_only_raw() -> None:
    async with opened() as kit:
        kit.emit(RealtimeModelOtherEvent({"type": "new"}))
        assert [event.data.data for event in kit.of("raw_model_event")] == [{"type": "new"}]
        assert kit.types == ["history_updated"]


@pytest.mark.parametrize(
    "config",
    [
        dict.fromkeys(RealtimeRunConfig.__annotations__),
        {"guardrails_settings": {"debounce_text_length": None}, "tool_execution": {"max_concurrent": None}},
    ],
)
async def test_none_in_the_configuration_of_a_run_means_the_default(config: Any) -> None:
    async with opened(RealtimeAgent(name="Desk"), run_config=config) as kit:
        kit.emit(started(), said("Hello."), ended())
        await settle()
        assert kit.types[-1] == "agent_end" and not kit.of("error")


async def test_a_session_that_is_cancelled_while_it_opens_ends_without_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scope = TaskScope(lambda error: pytest.fail(repr(error)))
    opening = asyncio.create_task(scope.open())
    await asyncio.sleep(0)  # `open` has started its task, and the task has not run
    opening.cancel()
    assert await asyncio.wait({opening}) and opening.cancelled()
    assert await scope.close(1.0)
    assert not caplog.records
