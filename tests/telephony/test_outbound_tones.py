"""The audio that a callee hears: whole calls in virtual time, checked by the sample."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import LocalRealtimeServer, Reply, Script, Turn
from telephony import CallResult, LeaveMessage, Telephony
from telephony.simulator import Handset, callees, clips
from telephony.simulator.calls import SimulatedCall
from telephony.simulator.tones import tone

TO = "+14155550123"
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")
MESSAGE = clips.load("sorry_hours")
SILENT = (0xFF, 0x7F)

pytestmark = pytest.mark.virtual_time


async def call(
    callee: callees.Callee, script: Script | None = None, **options: Any
) -> tuple[CallResult[Any], SimulatedCall]:
    async with LocalRealtimeServer(script) as model, Telephony(simulate=True, model_config=model.model_config) as phone:
        assert phone.twilio is not None
        phone.twilio.default_callee = callee
        result = await phone.run_call(TO, agent=AGENT, **options)
        (placed,) = phone.twilio.placed_to(TO)
    return result, placed


def sounds(ulaw: bytes) -> list[tuple[float, float]]:
    """Returns (begin, end) in seconds of the heard sounds. Gaps of less than half a second do not count."""
    found: list[tuple[float, float]] = []
    for at in range(0, len(ulaw), 160):
        if any(byte not in SILENT for byte in ulaw[at : at + 160]):
            begin, end = at / 8000, at / 8000 + 0.02
            if found and begin - found[-1][1] < 0.5:
                found[-1] = found[-1][0], end
            else:
                found.append((begin, end))
    return found


def busy_after_answer() -> callees.Callee:
    async def line(phone: Handset) -> None:
        while True:
            await phone.say(tone((480, 620), 0.5))
            await asyncio.sleep(0.5)

    return callees.Callee(line, after_s=0.05, answered_by="unknown", verdict_after_s=30)


@pytest.mark.parametrize(("callee", "who"), [(callees.fax(after_s=0.05), "fax"), (busy_after_answer(), "unknown")])
async def test_a_tone_is_not_talked_to(callee: callees.Callee, who: str) -> None:
    result, placed = await call(callee, machine=LeaveMessage(MESSAGE))
    assert (result.status, result.answered_by, result.message_left) == ("completed", who, False)
    assert sounds(placed.heard) == []
    assert len(placed.heard) / 8000 < 4.0, "and the call is over soon"


async def test_a_message_is_heard_to_its_end_whatever_the_machine_says_meanwhile() -> None:
    beeped_at = 0

    async def machine(phone: Handset) -> None:
        nonlocal beeped_at
        await phone.say("next_in_line")
        await phone.beep()
        beeped_at = len(phone.received)
        await phone.agent_speaks()
        await phone.say("goodbye")
        await asyncio.Event().wait()

    result, placed = await call(
        callees.Callee(machine, after_s=0.05, answered_by="machine_end_beep"), machine=LeaveMessage(MESSAGE)
    )
    assert (result.answered_by, result.message_left) == ("machine", True)
    assert not any(byte not in SILENT for byte in placed.heard[:beeped_at])
    assert MESSAGE.strip(bytes(SILENT)) in placed.heard[beeped_at:], "to the sample"


async def test_a_message_in_words_is_heard_to_its_end_too() -> None:
    async def machine(phone: Handset) -> None:
        await phone.say("next_in_line")
        await phone.beep()
        await phone.agent_speaks()
        await phone.say("booking")
        await asyncio.Event().wait()

    words = "Hello, this is Trattoria Blu. Your table for two on Friday is booked. Thank you, and goodbye."
    callee = callees.Callee(machine, after_s=0.05, answered_by="machine_end_beep")
    result, placed = await call(callee, machine=LeaveMessage(words))
    assert (result.answered_by, result.message_left) == ("machine", True)
    assert [(line.text, line.heard) for line in result.transcript if line.who == "agent"] == [(words, None)]
    assert sounds(placed.heard)[-1][1] - sounds(placed.heard)[0][0] > 4.0


async def test_a_message_that_was_begun_too_soon_is_left_again_after_the_beep() -> None:
    """The machine is silent for so long that it seems to have no beep."""
    beeped_at = 0

    async def machine(phone: Handset) -> None:
        nonlocal beeped_at
        await phone.say("next_in_line")
        await phone.agent_speaks()
        await asyncio.sleep(0.3)
        await phone.beep()
        beeped_at = len(phone.received)
        await asyncio.Event().wait()

    script = Script(turns=[Turn(heard="Please leave a message after the tone.")])
    result, placed = await call(
        callees.Callee(machine, after_s=0.05, verdict_after_s=90), script, machine=LeaveMessage(MESSAGE)
    )
    assert (result.answered_by, result.message_left) == ("machine", True)
    first = sounds(placed.heard)[0]
    assert first[0] < beeped_at / 8000, "the story holds"
    assert MESSAGE.strip(bytes(SILENT)) in placed.heard[beeped_at:], "all of it is on the tape"


@pytest.mark.parametrize("verdict", ["machine_end_beep", "machine_end_other", "fax", "unknown"])
async def test_a_verdict_that_comes_after_a_conversation_ends_nothing(verdict: str) -> None:
    wrong_at = 0.0

    async def talks(phone: Handset) -> None:
        nonlocal wrong_at
        await phone.say("hello")
        for turn in range(5):
            await phone.agent_speaks()
            await phone.agent_silent(1.0)
            await phone.say("booking")
            if turn == 1:
                phone.beeped.set()  # Twilio thinks that it has heard a beep
                wrong_at = phone.now

    wrong = callees.Callee(talks, after_s=0.05, answered_by=verdict, verdict_after_s=20)
    result, placed = await call(wrong, machine=LeaveMessage(MESSAGE))
    assert placed.answered_by == verdict
    assert (result.answered_by, result.message_left, result.reached) == ("human", False, True)
    assert len([begin for begin, _ in sounds(placed.heard) if begin > wrong_at]) >= 3, "the talk went on"
    assert MESSAGE.strip(bytes(SILENT)) not in placed.heard


ASKS = "The person you are calling uses a screening service. Please say your name and why you call."


async def test_a_screening_gets_one_sentence_and_then_silence_until_the_cap() -> None:
    async def screens(phone: Handset) -> None:
        await phone.say("no_service")
        await asyncio.Event().wait()

    script = Script(turns=[Turn(heard=ASKS, answer=Reply(say="Hello, this is Blu Dental."))])
    result, placed = await call(callees.person(screens, after_s=0.05, verdict_after_s=2.0), script)
    assert (result.status, result.answered_by, result.reached) == ("completed", "screening", False)
    (sentence,) = sounds(placed.heard)
    assert 44 <= len(placed.heard) / 8000 - sentence[0] < 50, "and nobody waits for ever"
