"""The events of a session, their consumers, and the bounds of the queues: rows 5, 6, 14 to 16, 55 to 67 of the
behaviour table."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, assert_never

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core import AudioData, RealtimeAgent, RealtimeSession, RunContextWrapper, Usage
from realtime_core.connection import Close
from realtime_core.event_streams import EventHub, EventsOverflowed, EventStream
from realtime_core.events import (
    RealtimeAnyEvent,
    RealtimeAudio,
    RealtimeError,
    RealtimeEventInfo,
    RealtimeHistoryUpdated,
    RealtimeRawModelEvent,
    RealtimeSessionEvent,
)
from realtime_core.model_events import (
    OWN_MODEL_EVENTS,
    RealtimeModelAudioDoneEvent,
    RealtimeModelAudioInterruptedEvent,
    RealtimeModelConnectionStatusEvent,
    RealtimeModelDtmfEvent,
    RealtimeModelErrorEvent,
    RealtimeModelInputAudioTimeoutTriggeredEvent,
    RealtimeModelInputAudioTranscriptionDeltaEvent,
    RealtimeModelInputAudioTranscriptionFailedEvent,
    RealtimeModelRateLimitsEvent,
    RealtimeModelRawServerEvent,
    RealtimeModelResponseFailedEvent,
    RealtimeModelSpeechStartedEvent,
    RealtimeModelSpeechStoppedEvent,
    RealtimeModelUsageEvent,
)
from realtime_core.model_inputs import (
    RealtimeModelSendAudio,
    RealtimeModelSendInterrupt,
    RealtimeModelSendRawMessage,
    RealtimeModelSendResponseCancel,
    RealtimeModelSendResponseCreate,
    RealtimeModelSendSessionUpdate,
    RealtimeModelSendUserInput,
)
from realtime_core.playback import HeardItem
from realtime_core.testing import ScriptedRealtimeModel
from tests.support.session_kit import audio, ended, opened, said, settle, started, types

virtual = pytest.mark.virtual_time
INFO = RealtimeEventInfo(RunContextWrapper(None))
AGENT = RealtimeAgent(name="Desk")


# Raw, then translated


@virtual
async def test_each_model_event_is_emitted_raw_and_then_translated() -> None:
    async with opened() as kit:
        del kit.events[:]
        event = audio(20)
        kit.emit(event)
        raw, translated = kit.events
        assert (raw.type, raw.data, raw.info.context) == ("raw_model_event", event, kit.session.context)
        assert (translated.type, translated.audio, translated.audio.data) == ("audio", event.data, event.data)
        assert isinstance(translated.audio, bytes)
        audio_data: Any = translated.audio
        assert (audio_data.item_id, audio_data.response_id, audio_data.content_index) == ("item_a", "resp_1", 0)
        assert (translated.item_id, translated.content_index) == ("item_a", 0)


@virtual
@pytest.mark.parametrize(
    ("emitted", "type", "fields"),
    [
        (RealtimeModelAudioDoneEvent("i", 1), "audio_end", {"item_id": "i", "content_index": 1}),
        (RealtimeModelSpeechStartedEvent("i", 120), "speech_started", {"item_id": "i", "audio_start_ms": 120}),
        (RealtimeModelSpeechStoppedEvent("i", 900), "speech_stopped", {"item_id": "i", "audio_end_ms": 900}),
        (RealtimeModelDtmfEvent("#"), "dtmf", {"digit": "#"}),
        (
            RealtimeModelInputAudioTimeoutTriggeredEvent("i", 10, 5000),
            "input_audio_timeout_triggered",
            {"item_id": "i", "audio_start_ms": 10, "audio_end_ms": 5000},
        ),
        (
            RealtimeModelInputAudioTranscriptionDeltaEvent("i", "Hel"),
            "input_audio_transcription_delta",
            {"item_id": "i", "delta": "Hel"},
        ),
        (
            RealtimeModelInputAudioTranscriptionFailedEvent("i", "noise"),
            "input_audio_transcription_failed",
            {"item_id": "i", "error": "noise"},
        ),
        (RealtimeModelRateLimitsEvent([{"name": "tokens"}]), "rate_limits", {"rate_limits": [{"name": "tokens"}]}),
        (
            RealtimeModelResponseFailedEvent("r", "failed", "server_error", "boom", True),
            "response_failed",
            {"response_id": "r", "reason": "server_error", "error": "boom", "retrying": True},
        ),
        (
            RealtimeModelResponseFailedEvent("r", "completed", "text_only"),
            "response_failed",
            {"response_id": "r", "reason": "text_only", "status": "completed", "retrying": False},
        ),
        (
            RealtimeModelResponseFailedEvent("r", "incomplete", "max_output_tokens"),
            "response_incomplete",
            {"response_id": "r", "reason": "max_output_tokens"},
        ),
        (
            RealtimeModelAudioInterruptedEvent("i", 0, audio_end_ms=740, items=(HeardItem("i", 0, 740.4),)),
            "audio_interrupted",
            {"item_id": "i", "content_index": 0, "played_ms": 740, "items": (HeardItem("i", 0, 740.4),)},
        ),
        (
            RealtimeModelConnectionStatusEvent("reconnecting", close=Close(1006, "", "network")),
            "connection_status",
            {"status": "reconnecting", "close": Close(1006, "", "network")},
        ),
    ],
)
async def test_translation(emitted: Any, type: str, fields: dict[str, Any]) -> None:
    async with opened() as kit:
        kit.emit(emitted)
        (event,) = kit.of(type)
        assert {name: getattr(event, name) for name in fields} == fields
        assert event.info.context is kit.session.context


@virtual
async def test_status_follows_the_connection() -> None:
    async with opened() as kit:
        seen = [kit.session.status]
        for status in ("reconnecting", "connected", "disconnected"):
            kit.emit(RealtimeModelConnectionStatusEvent(status))
            seen.append(kit.session.status)
        assert seen == ["connected", "reconnecting", "connected", "disconnected"]


@virtual
async def test_a_response_is_reported_with_its_agent_its_id_and_how_it_ended() -> None:
    async with opened(AGENT) as kit:
        kit.emit(started("r1"), said("Hi", response_id="r1"), ended("r1", status="cancelled"))
        (start,), (end,) = kit.of("agent_start"), kit.of("agent_end")
        assert (start.agent, start.response_id) == (AGENT, "r1")
        assert (end.agent, end.response_id, end.status) == (AGENT, "r1", "cancelled")


@virtual
async def test_a_response_belongs_to_the_agent_that_began_it() -> None:
    async with opened(AGENT) as kit:
        kit.emit(started("r1"))
        await kit.session.update_agent(other := RealtimeAgent(name="Other"))
        kit.emit(ended("r1"), started("r2"), ended("r2"))
        assert [event.agent for event in kit.of("agent_end")] == [AGENT, other]


@virtual
async def test_usage_is_added_to_the_context() -> None:
    async with opened() as kit:
        wire = {"input_tokens": 10, "output_tokens": 5, "input_token_details": {"text_tokens": 3, "audio_tokens": 7}}
        kit.emit(
            RealtimeModelUsageEvent(Usage.of_response(wire, "r1")),
            RealtimeModelUsageEvent(Usage(requests=1, input_tokens=1, output_tokens=1, total_tokens=2)),
        )
        usage = kit.session.usage
        assert usage is kit.session.context.usage
        assert (usage.requests, usage.input_tokens, usage.output_tokens, usage.total_tokens) == (2, 11, 6, 17)
        assert (usage.input_tokens_details.text, usage.input_tokens_details.audio) == (3, 7)


# What the user sends


@virtual
async def test_the_methods_send_the_models_inputs() -> None:
    image: Any = {"type": "message", "role": "user", "content": [{"type": "input_image", "image_url": "https://x/y"}]}
    async with opened() as kit:
        session = kit.session
        await session.send_message("Hello")
        await session.send_message(image, respond=False)
        await session.send_audio(b"\1\0", commit=True)
        session.post_audio(b"\2\0")
        await session.interrupt()
        await session.request_response("Say goodbye.", conversation="none", metadata={"k": "v"})
        await session.cancel_response("resp_1")
        await session.update_settings({"speed": 1.1})
        await session.model.send_event(RealtimeModelSendRawMessage({"type": "input_audio_buffer.clear"}))
        assert kit.sent == [
            RealtimeModelSendUserInput("Hello"),
            RealtimeModelSendUserInput(image, respond=False),
            RealtimeModelSendAudio(b"\1\0", commit=True),
            RealtimeModelSendAudio(b"\2\0"),
            RealtimeModelSendInterrupt(),
            RealtimeModelSendResponseCreate(
                {"instructions": "Say goodbye.", "conversation": "none", "metadata": {"k": "v"}}
            ),
            RealtimeModelSendResponseCancel("resp_1"),
            RealtimeModelSendSessionUpdate({"speed": 1.1}),
            RealtimeModelSendRawMessage({"type": "input_audio_buffer.clear"}),
        ]


# Handlers


@virtual
async def test_handlers_are_called_in_the_step_that_causes_the_event() -> None:
    async with opened() as kit:
        order: list[str] = []
        kit.session.add_handler(lambda event: order.append(event.type))
        kit.session.add_handler(lambda event: order.append("second"))
        kit.emit(audio())
        order.append("emitted")
        assert order == ["raw_model_event", "second", "audio", "second", "emitted"]


@virtual
async def test_what_a_handler_causes_comes_after_its_cause() -> None:
    async with opened() as kit:

        def handler(event: Any) -> None:
            if event.type == "speech_started":
                kit.emit(RealtimeModelAudioInterruptedEvent("item_a", 0))

        stream = kit.session.subscribe("speech_started", "audio_interrupted")
        kit.session.add_handler(handler)
        kit.emit(RealtimeModelSpeechStartedEvent("item_u", 0))
        assert [(await anext(stream)).type, (await anext(stream)).type] == ["speech_started", "audio_interrupted"]


@virtual
async def test_a_removed_handler_is_called_no_more_and_a_broken_one_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as kit:
        seen: list[Any] = []
        kit.session.add_handler(seen.append)
        kit.session.remove_handler(seen.append)

        def broken(event: Any) -> None:
            raise ValueError("handler")

        kit.session.add_handler(broken)
        kit.emit(audio())
        assert (seen, kit.types[-1]) == ([], "audio")
        assert "handler of the session failed at 'audio'" in caplog.text


@virtual
async def test_with_handlers_no_queue_is_kept_unless_a_consumer_iterates() -> None:
    async with opened() as kit:
        kit.emit(*[audio()] * 5)
        assert kit.session._stream is None
        waiting = asyncio.create_task(anext(kit.session))
        await settle()
        kit.emit(audio())
        assert (await waiting).type == "raw_model_event"


# Several consumers


@virtual
async def test_subscribers_see_everything_and_iterations_share() -> None:
    async with opened() as kit:
        one, two = kit.session.subscribe(), kit.session.subscribe()
        kit.emit(started(), audio(), ended())
        three = kit.session.subscribe()
        one.close()
        kit.emit(audio())
    translated = [e.type async for e in two if e.type != "raw_model_event"]
    assert translated == ["agent_start", "audio", "agent_end", "audio"]
    assert types([e async for e in three]) == ["raw_model_event", "audio"]
    assert [e async for e in one] == []


@virtual
async def test_a_subscriber_may_want_some_types_only() -> None:
    async with opened() as kit:
        some = kit.session.subscribe("audio", "agent_end")
        kit.emit(started(), audio(), ended())
    assert types([event async for event in some]) == ["audio", "agent_end"]


def everything() -> list[Any]:
    """One event of each kind that a model emits, those that end the session aside."""
    return [
        started("r1"), audio(100, "item_a", "r1"), said("Hello.", "item_a", "r1"), audio(20, "item_a", "r1"),
        RealtimeModelAudioDoneEvent("item_a", 0), RealtimeModelSpeechStartedEvent("item_u", 10),
        RealtimeModelAudioInterruptedEvent("item_a", 0), RealtimeModelSpeechStoppedEvent("item_u", 90),
        RealtimeModelInputAudioTranscriptionDeltaEvent("item_u", "He"),
        RealtimeModelInputAudioTranscriptionFailedEvent("item_u", "odd"),
        RealtimeModelInputAudioTimeoutTriggeredEvent("item_u", 0, 10),
        RealtimeModelResponseFailedEvent("r1", "failed", "server_error"),
        RealtimeModelResponseFailedEvent("r1", "incomplete", "content_filter"),
        RealtimeModelRateLimitsEvent([]), RealtimeModelDtmfEvent("1"), RealtimeModelConnectionStatusEvent("connected"),
        RealtimeModelErrorEvent("odd"), ended("r1"),
    ]  # fmt: skip


def exhaustive(event: RealtimeSessionEvent) -> str:
    """A match over the events of the SDK; the type checker sees that it is complete."""
    match event.type:
        case "agent_start" | "agent_end" | "handoff" | "tool_start" | "tool_end" | "tool_approval_required":
            return "agent"
        case "audio" | "audio_end" | "audio_interrupted" | "input_audio_timeout_triggered":
            return "audio"
        case "error" | "history_updated" | "history_added" | "guardrail_tripped" | "raw_model_event":
            return "session"
        case _:
            assert_never(event)


@virtual
async def test_plain_iteration_yields_the_events_of_the_sdk_and_no_others() -> None:
    session = await RealtimeSession(model := ScriptedRealtimeModel(), AGENT).enter()
    every = session.subscribe()
    model.emit_now(*everything())
    await session.close()
    plain = [event async for event in session]
    assert {exhaustive(event) for event in plain} == {"agent", "audio", "session"}
    assert not [e for e in plain if e.type == "raw_model_event" and isinstance(e.data, OWN_MODEL_EVENTS)]
    others = {e.type async for e in every} - {event.type for event in plain}
    assert others == {
        "speech_started", "speech_stopped", "transcript_delta", "input_audio_transcription_delta",
        "input_audio_transcription_failed", "response_failed", "response_incomplete", "rate_limits", "dtmf",
        "connection_status",
    }  # fmt: skip


@virtual
async def test_raw_events_of_a_users_own_model_pass_plain_iteration() -> None:
    session = await RealtimeSession(model := ScriptedRealtimeModel(), AGENT).enter()
    own: Any = SimpleNamespace(type="weather")
    model.emit_now(own)
    await session.close()
    assert [e.data async for e in session if e.type == "raw_model_event"] == [own]


@virtual
async def test_events_gives_all_of_them_from_the_start_and_takes_none_from_others() -> None:
    session = await RealtimeSession(model := ScriptedRealtimeModel(), AGENT).enter()
    model.emit_now(RealtimeModelDtmfEvent("1"), audio())
    every, some, late = session.events(), session.events("dtmf", "audio"), session.subscribe("dtmf", "audio")
    model.emit_now(RealtimeModelDtmfEvent("2"))
    await session.close()
    assert types([e async for e in some]) == ["dtmf", "audio", "dtmf"]
    assert types([e async for e in late]) == ["dtmf"]
    assert types([e async for e in every if e.type in ("dtmf", "audio")]) == ["dtmf", "audio", "dtmf"]
    assert types([e async for e in session if e.type == "audio"]) == ["audio"]
    assert types([e async for e in session.events()]) == []


@virtual
async def test_an_event_for_a_consumer_that_was_cancelled_goes_to_the_next_one() -> None:
    async with opened() as kit:
        events = kit.session.subscribe("audio")
        first, second = (asyncio.create_task(anext(events)) for _ in range(2))
        await settle()
        kit.emit(audio())
        first.cancel()
        async with asyncio.timeout(1):
            assert (await second).type == "audio"


# Bounds


def stream(**bounds: int) -> EventStream:
    given = {"audio_bytes": 1000, "raw_events": 3, "control_events": 100} | bounds
    return EventStream((), **given)


def audio_event(size: int, number: int = 0) -> RealtimeAudio:
    return RealtimeAudio(AudioData(bytes(size)), f"item_{number}", 0, INFO)


def drain(events: EventStream) -> list[Any]:
    async def collect() -> list[Any]:
        return [event async for event in events]

    events.end()
    return asyncio.run(collect())


def test_audio_is_bounded_by_its_length_and_the_oldest_goes() -> None:
    events = stream()
    for number in range(10):
        events.put(audio_event(300, number))
    events.put(RealtimeError("x", INFO))
    assert events.dropped_audio_bytes == 2100
    left = drain(events)
    assert [e.item_id for e in left[:-1]] == ["item_7", "item_8", "item_9"]
    assert left[-1].type == "error"


def test_a_single_piece_of_audio_is_kept_however_long() -> None:
    events = stream()
    events.put(audio_event(5000))
    assert len(drain(events)) == 1


def test_of_the_history_only_the_latest_waits_at_its_place() -> None:
    events = stream()
    for number in range(5):
        events.put(RealtimeHistoryUpdated([number], INFO))  # type: ignore[list-item]
        events.put(RealtimeError(number, INFO))
    left = drain(events)
    assert [(e.type, e.error if e.type == "error" else e.history) for e in left] == [
        ("error", 0),
        ("error", 1),
        ("error", 2),
        ("error", 3),
        ("history_updated", [4]),
        ("error", 4),
    ]


def test_raw_events_are_bounded_by_number_and_by_size() -> None:
    events = stream()
    for number in range(5):
        events.put(RealtimeRawModelEvent(RealtimeModelRawServerEvent({"n": number}), INFO))
    assert events.dropped_raw_events == 2
    assert [e.data.data["n"] for e in drain(events)] == [2, 3, 4]
    events = stream(raw_events=1000)
    for _ in range(20):
        events.put(RealtimeRawModelEvent(audio(2000), INFO))
    assert len(events) == 10


def test_control_events_are_lossless_until_the_consumer_is_given_up() -> None:
    events = stream(control_events=10)
    for number in range(10):
        events.put(RealtimeError(number, INFO))
    events.put(RealtimeError("one too many", INFO))
    events.put(RealtimeError("lost", INFO))
    with pytest.raises(EventsOverflowed):
        drain(events)
    assert len(events) == 0


@virtual
async def test_a_consumer_that_is_given_up_leaves_the_session_open() -> None:
    async with opened(run_config={"queues": {"control_events": 5}}) as kit:
        lost = kit.session.subscribe()
        kit.emit(*[RealtimeModelDtmfEvent("1")] * 6)
        with pytest.raises(EventsOverflowed):
            await anext(lost)
        assert kit.session.status == "connected"
        kit.emit(audio())
        assert kit.types[-1] == "audio"


def test_a_stream_opened_after_the_end_ends_at_once() -> None:
    hub = EventHub({}, 48.0)
    hub.end(ValueError("over"))
    late = hub.open_stream()
    with pytest.raises(ValueError, match="over"):
        drain(late)


EVENTS: st.SearchStrategy[RealtimeAnyEvent] = st.one_of(
    st.integers(0, 400).map(audio_event),
    st.integers(0, 9).map(lambda n: RealtimeError(n, INFO)),
    st.integers(0, 9).map(lambda n: RealtimeHistoryUpdated([n], INFO)),  # type: ignore[list-item]
    st.integers(0, 9).map(lambda n: RealtimeRawModelEvent(RealtimeModelRawServerEvent(n), INFO)),
)


@given(st.lists(EVENTS, max_size=200), st.data())
def test_any_order_of_events_and_takes(given_events: list[RealtimeAnyEvent], data: st.DataObject) -> None:
    """Control events are all delivered, in order. The oldest events of a kind are dropped first. The limits hold at
    every moment.
    """

    async def main() -> None:
        events = stream()
        put = [replace(event) for event in given_events]
        taken: list[RealtimeAnyEvent] = []
        for event in put:
            events.put(event)
            if len(events) and data.draw(st.booleans()):
                taken.append(await anext(events))
            waiting = [s.event for s in events._slots if s.event is not None]
            assert len(waiting) == len(events)
            sizes = [len(e.audio) for e in waiting if e.type == "audio"]
            assert sum(sizes) <= 1000
            assert types(waiting).count("raw_model_event") <= 3
            assert types(waiting).count("history_updated") <= 1
        events.end()
        taken += [event async for event in events]
        assert [e for e in taken if e.type == "error"] == [e for e in put if e.type == "error"]
        positions = {id(event): index for index, event in enumerate(put)}
        order = [positions[id(event)] for event in taken]
        assert order == sorted(order)
        history = [e for e in put if e.type == "history_updated"]
        assert history[-1:] == [e for e in taken if e.type == "history_updated"][-1:]

    asyncio.run(main())


@virtual
@pytest.mark.parametrize("with_handler", [False, True])
async def test_a_session_that_nobody_iterates_stays_bounded(with_handler: bool) -> None:
    """200 s of audio, with its raw events and transcript, are 22 MB. The session keeps less than 5 MB."""
    session = RealtimeSession(model := ScriptedRealtimeModel(), AGENT)
    if with_handler:
        session.add_handler(lambda event: None)
    async with session:
        tracemalloc.start()
        try:
            for second in range(200):
                response = f"resp_{second // 20}"
                if second % 20 == 0:
                    model.emit_now(started(response))
                for _ in range(10):
                    piece = audio(100, f"item_{second // 20}", response)
                    raw = RealtimeModelRawServerEvent({"type": "response.output_audio.delta", "delta": "x" * 6400})
                    model.emit_now(raw, piece, said("word ", f"item_{second // 20}", response))
                if second % 20 == 19:
                    model.emit_now(ended(response))
                await asyncio.sleep(1)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    assert grown < (1_000_000 if with_handler else 5_000_000), grown
