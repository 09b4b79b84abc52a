"""Guardrails on the agent's and the caller's speech: rows 51 to 54 of the behaviour table."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import (
    GuardrailFunctionOutput,
    OutputGuardrail,
    RealtimeAgent,
    UserError,
    input_guardrail,
    output_guardrail,
)
from realtime_core.model_events import (
    RealtimeModelInputAudioTranscriptionCompletedEvent,
    RealtimeModelOutputTextDeltaEvent,
)
from realtime_core.model_inputs import RealtimeModelSendInterrupt, RealtimeModelSendUserInput
from tests.support.session_kit import Kit, audio, ended, opened, said, settle, started

pytestmark = pytest.mark.virtual_time


def guardrail(
    bad: str = "bad", seconds: float = 0.0, seen: list[str] | None = None, name: str = "no bad words"
) -> OutputGuardrail[Any]:
    async def check(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        if seen is not None:
            seen.append(text)
        await asyncio.sleep(seconds)
        return GuardrailFunctionOutput(output_info={"found": bad in text}, tripwire_triggered=bad in text)

    return OutputGuardrail(check, name)


def agent(*guardrails: OutputGuardrail[Any], name: str = "Desk", **fields: Any) -> RealtimeAgent[Any]:
    return RealtimeAgent(name=name, output_guardrails=list(guardrails), **fields)


def feedback(kit: Kit) -> list[str]:
    """The system texts that the model got."""
    messages = [e.user_input for e in kit.sent if isinstance(e, RealtimeModelSendUserInput)]
    assert all(isinstance(message, dict) and message["role"] == "system" for message in messages)
    return [message["content"][0]["text"] for message in messages]  # type: ignore[index, typeddict-item]


def interrupts(kit: Kit) -> list[Any]:
    return [event for event in kit.sent if isinstance(event, RealtimeModelSendInterrupt)]


# Row 51: when, with what, how many


async def test_guardrails_see_the_text_so_far_each_hundred_characters_and_at_the_end() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen))) as kit:
        kit.emit(started())
        for _ in range(25):
            kit.emit(said("ten chars "))
            await settle()
        kit.emit(ended())
        await settle()
        assert [len(text) for text in seen] == [100, 200, 250]


async def test_the_end_is_not_checked_twice() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen))) as kit:
        kit.emit(started(), said("x" * 100), ended(), ended())
        await settle()
        assert seen == ["x" * 100]


async def test_a_short_answer_is_checked_too() -> None:
    """Deliberate difference: the reference never checks an answer shorter than the debounce length."""
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen))) as kit:
        kit.emit(started(), audio(), said("short"), said(" and bad"), ended())
        await settle()
        assert seen == ["short and bad"]
        (tripped,) = kit.of("guardrail_tripped")
        assert tripped.message == "short and bad"


@pytest.mark.parametrize(("length", "checks"), [(5, 5), (-1, 1), (0, 5)])
async def test_the_debounce_length_decides_how_often_guardrails_run(length: int, checks: int) -> None:
    seen: list[str] = []
    config: Any = {"guardrails_settings": {"debounce_text_length": length}}
    async with opened(agent(guardrail(seen=seen)), run_config=config) as kit:
        for _ in range(5):
            kit.emit(said("five5"))
            await settle()
        kit.emit(ended())
        await settle()
        assert len(seen) == checks


async def test_guardrails_of_agent_and_run_run_side_by_side_and_once_each() -> None:
    seen: list[str] = []
    both = guardrail(seen=seen, seconds=1)
    config: Any = {"output_guardrails": [both, guardrail(seen=seen, seconds=1)]}
    async with opened(agent(both, guardrail(seen=seen, seconds=1)), run_config=config) as kit:
        loop = asyncio.get_running_loop()
        kit.emit(started(), said("all of it is bad"), ended())
        before = loop.time()
        while not kit.of("guardrail_tripped"):
            await settle(0.1)
        assert len(seen) == 3
        assert loop.time() - before < 1.5


async def test_a_slow_guardrail_is_not_started_for_every_delta_and_the_latest_text_wins() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen, seconds=10))) as kit:
        kit.emit(started())
        for _ in range(20):
            kit.emit(said("x" * 100))
            await settle(0.1)
        assert [len(text) for text in seen] == [100]
        await settle(10)
        assert [len(text) for text in seen] == [100, 2000]


async def test_the_last_pass_waits_for_no_other_pass() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen, seconds=10))) as kit:
        kit.emit(started(), said("x" * 150))
        await settle()
        kit.emit(said(" bad"), ended())
        await settle(0.1)
        assert [len(text) for text in seen] == [150, 154]
        await settle(10)
        assert len(kit.of("guardrail_tripped")) == 1


async def test_two_passes_that_both_trip_are_one_trip() -> None:
    async with opened(agent(guardrail(seconds=10))) as kit:
        kit.emit(started(), said("bad " * 30))
        await settle()
        kit.emit(said("more"), ended())
        await settle(11)
        assert (len(kit.of("guardrail_tripped")), len(feedback(kit))) == (1, 1)


async def test_the_first_that_trips_ends_the_pass() -> None:
    async with opened(agent(guardrail(seconds=60), guardrail(seconds=1, name="quick"))) as kit:
        kit.emit(started(), said("bad"), ended())
        await settle(2)
        (tripped,) = kit.of("guardrail_tripped")
        assert [result.guardrail.get_name() for result in tripped.guardrail_results] == ["quick"]


async def test_a_guardrail_that_raises_is_reported_and_the_others_count() -> None:
    @output_guardrail
    def broken(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        raise ValueError("guardrail")

    nothing: Any = OutputGuardrail(3)  # type: ignore[arg-type]
    async with opened(agent(broken, nothing, guardrail(seconds=1))) as kit:
        kit.emit(started(), said("bad"), ended())
        await settle(2)
        assert [type(event.error) for event in kit.of("error")] == [ValueError, UserError]
        assert len(kit.of("guardrail_tripped")) == 1


# Rows 52 and 53: what tripping does


async def test_tripping_stops_the_speech_is_reported_and_leads_to_a_new_answer() -> None:
    async with opened(desk := agent(guardrail())) as kit:
        kit.emit(started(), audio(), said("This is bad. " + "x" * 100))
        await settle()
        (tripped,) = kit.of("guardrail_tripped")
        assert (tripped.message[:12], tripped.response_id) == ("This is bad.", "resp_1")
        (result,) = tripped.guardrail_results
        assert (result.agent, result.output.output_info) == (desk, {"found": True})
        assert kit.sent[0] == RealtimeModelSendInterrupt(force_response_cancel=True, response_id="resp_1")
        (text,) = feedback(kit)
        assert "no bad words" in text
        assert isinstance(kit.sent[1], RealtimeModelSendUserInput)
        assert kit.sent[1].respond is True


async def test_nothing_of_a_tripped_response_is_heard_afterwards() -> None:
    async with opened(agent(guardrail())) as kit:
        kit.emit(started(), audio(), said("bad " * 30))
        await settle()
        count = len(kit.of("audio"))
        kit.emit(audio(), audio())
        assert len(kit.of("audio")) == count
        kit.emit(ended(), started("resp_2"), audio(response_id="resp_2"))
        assert len(kit.of("audio")) == count + 1


async def test_a_response_trips_once() -> None:
    async with opened(agent(guardrail())) as kit:
        kit.emit(started())
        for _ in range(5):
            kit.emit(said("bad " * 30))
            await settle()
        kit.emit(ended())
        await settle()
        assert (len(kit.of("guardrail_tripped")), len(interrupts(kit)), len(feedback(kit))) == (1, 1, 1)


async def test_written_text_is_checked_and_only_its_response_is_cancelled() -> None:
    async with opened(agent(guardrail())) as kit:
        kit.emit(started(), RealtimeModelOutputTextDeltaEvent("i", "bad " * 30, "resp_1"))
        await settle()
        assert interrupts(kit) == [
            RealtimeModelSendInterrupt(force_response_cancel=True, response_id="resp_1", cancel_response_only=True)
        ]


async def test_a_response_that_is_over_is_only_silenced() -> None:
    async with opened(agent(guardrail())) as kit:
        kit.emit(started(), audio(), said("bad"), ended())
        await settle()
        assert interrupts(kit) == [RealtimeModelSendInterrupt(response_id="resp_1", playback_only=True)]
        assert len(feedback(kit)) == 1


async def test_the_next_response_is_left_alone() -> None:
    """A late verdict must not hit the answer after it."""
    async with opened(agent(guardrail(seconds=5))) as kit:
        kit.emit(started(), audio(), said("bad"), ended(), started("resp_2"), audio(response_id="resp_2"))
        await settle(6)
        assert interrupts(kit) == [RealtimeModelSendInterrupt(response_id="resp_1", playback_only=True)]
        assert (len(kit.of("guardrail_tripped")), feedback(kit)) == (1, [])
        kit.emit(audio(response_id="resp_2"))
        assert kit.types[-1] == "audio"


async def test_the_agent_that_began_the_response_is_the_one_that_is_checked() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen))) as kit:
        kit.emit(started(), said("early "))
        await kit.session.update_agent(agent(name="Other"))
        kit.emit(said("late"), ended(), started("resp_2"), said("unchecked", response_id="resp_2"), ended("resp_2"))
        await settle()
        assert seen == ["early late"]


async def test_text_before_its_response_was_announced_counts() -> None:
    async with opened(agent(guardrail())) as kit:
        kit.emit(said("ba"), started(), said("d"), ended())
        await settle()
        assert len(kit.of("guardrail_tripped")) == 1


async def test_late_text_of_a_response_that_is_over_is_nothing() -> None:
    seen: list[str] = []
    async with opened(agent(guardrail(seen=seen))) as kit:
        kit.emit(started(), said("fine"), ended())
        await settle()
        kit.emit(said("bad " * 100))
        await settle()
        assert seen == ["fine"]


async def test_a_model_without_response_ids() -> None:
    async with opened(agent(guardrail())) as kit:
        for _ in range(2):
            kit.emit(started(""), audio(response_id=""), said("bad " * 30, response_id=""))
            await settle()
            kit.emit(ended(""))
            await settle()
        assert [event.response_id for event in interrupts(kit)] == [None, None]
        assert len(kit.of("guardrail_tripped")) == 2


async def test_a_model_that_does_not_understand_gets_a_limited_number_of_requests() -> None:
    async with opened(agent(guardrail())) as kit:

        async def respond(name: str, text: str) -> None:
            kit.emit(started(name), said(text, response_id=name), ended(name))
            await settle()

        for number in range(5):
            await respond(f"r{number}", "bad")
        assert (len(kit.of("guardrail_tripped")), len(feedback(kit))) == (5, 3)
        await respond("good", "fine")
        await respond("again", "bad")
        assert len(feedback(kit)) == 4


@pytest.mark.parametrize(("given", "outcome"), [("Mind {names}.", ["Mind no bad words."]), (None, [])])
async def test_the_feedback_is_a_setting(given: str | None, outcome: list[str]) -> None:
    async with opened(agent(guardrail()), run_config={"guardrails_settings": {"feedback": given}}) as kit:
        kit.emit(started(), said("bad"), ended())
        await settle()
        assert feedback(kit) == outcome


async def test_what_is_remembered_of_responses_is_bounded() -> None:
    async with opened(agent(guardrail())) as kit:
        for number in range(500):
            kit.emit(started(f"r{number}"), said("fine", response_id=f"r{number}"), ended(f"r{number}"))
        await settle()
        assert len(kit.session._checks._responses) <= 64


# Row 54: what the caller said


@pytest.mark.parametrize("where", ["output_guardrails", "input_guardrails"])
async def test_what_is_no_guardrail_is_refused_before_anybody_speaks(where: Any) -> None:
    def forgotten(context: Any, agent: Any, text: str) -> None: ...

    with pytest.raises(UserError, match=r"forgotten.* is not a guardrail\. Is @output_guardrail"):
        wrong: Any = {where: [forgotten]}
        async with opened(RealtimeAgent(name="A", **wrong)):
            pass
    with pytest.raises(UserError, match="is not a guardrail"):
        async with opened(run_config=wrong):
            pass


async def test_input_guardrails_cut_the_reply_short() -> None:
    @input_guardrail(name="no homework")
    async def homework(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        return GuardrailFunctionOutput(None, "homework" in text)

    @input_guardrail
    def broken(context: Any, agent: Any, text: str) -> GuardrailFunctionOutput:
        raise ValueError("guardrail")

    desk = RealtimeAgent(name="Desk", input_guardrails=[homework])
    async with opened(desk, run_config={"input_guardrails": [homework, broken]}) as kit:
        kit.emit(RealtimeModelInputAudioTranscriptionCompletedEvent("u1", "Hello."))
        await settle()
        assert kit.sent == []
        kit.emit(started(), audio(), RealtimeModelInputAudioTranscriptionCompletedEvent("u2", "Do my homework."))
        await settle()
        (tripped,) = kit.of("guardrail_tripped")
        assert tripped.message == "Do my homework."
        assert [result.guardrail.get_name() for result in tripped.guardrail_results] == ["no homework"]
        assert interrupts(kit) == [RealtimeModelSendInterrupt(force_response_cancel=True)]
        assert "no homework" in feedback(kit)[0]
        assert len(kit.of("error")) == 2


async def test_all_guardrails_that_trip_together_are_named() -> None:
    """As in the Agents SDK, `guardrail_results` has each of them. A slower guardrail is not waited for."""
    checks = (guardrail(name="politeness"), guardrail(name="secrets"), guardrail(seconds=9.0, name="slow"))
    async with opened(agent(*checks)) as kit:
        kit.emit(started(), said("bad"), ended())
        await settle()
        (tripped,) = kit.of("guardrail_tripped")
        assert [each.guardrail.get_name() for each in tripped.guardrail_results] == ["politeness", "secrets"]
        assert "politeness, secrets" in feedback(kit)[0]
