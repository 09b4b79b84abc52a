"""The result of a call: filled in by the agent, checked, requested once after the call, or None."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, Field

from realtime_core import RealtimeAgent
from realtime_core.local import Call, LocalRealtimeServer, Reply, Script, Turn
from telephony import CallResult, Telephony
from telephony.simulator import Handset, callees

TO = "+14155550123"
AGENT: RealtimeAgent[Any] = RealtimeAgent(name="Blu", instructions="You call for Blu Dental. Short sentences.")
AFTERWARDS = "callee: "
"""What only the transcript holds that is read when the call is over."""

pytestmark = pytest.mark.virtual_time


class Answers(BaseModel):
    rating: int = Field(ge=1, le=5)
    remark: str | None = None


async def talks(phone: Handset) -> None:
    for _ in range(2):
        await phone.say("hello")
        await phone.agent_speaks()
        await phone.agent_silent(1.0)


async def call(turns: Sequence[Turn], **options: Any) -> CallResult[Any]:
    script = Script(turns=[Turn(heard="Hello?", answer=Reply(say="Hello.")), *turns])
    async with LocalRealtimeServer(script) as model, Telephony(simulate=True, model_config=model.model_config) as phone:
        assert phone.twilio is not None
        phone.twilio.default_callee = callees.person(talks, after_s=0.05)
        return await phone.run_call(TO, agent=AGENT, result=Answers, **options)


def records(arguments: str, **how: Any) -> Turn:
    return Turn(calls=[Call("record_result", arguments)], answer=Reply(say="Thank you."), **how)


async def test_what_the_agent_records_is_the_result() -> None:
    never = records('{"rating": 1}', text=AFTERWARDS)
    result = await call([records('{"rating": 5}', heard="Five."), never])
    assert result.output == Answers(rating=5), "and nobody is asked afterwards"


async def test_what_does_not_fit_is_reported_to_the_agent_and_requested_once_afterwards() -> None:
    result = await call([records('{"rating": 9}', heard="Nine."), records('{"rating": 4}', text=AFTERWARDS)])
    assert result.output == Answers(rating=4)


async def test_a_result_that_the_callee_does_not_give_is_none() -> None:
    """Asked once: the second answer would fit."""
    again = [records('{"rating": 0}', text=AFTERWARDS), records('{"rating": 3}', text="Still missing")]
    result = await call([Turn(heard="Never mind.", answer=Reply(say="Goodbye.")), *again])
    assert (result.status, result.answered_by, result.output) == ("completed", "human", None)
    assert [line.text for line in result.transcript] == ["Hello?", "Hello.", "Never mind.", "Goodbye."]


async def test_a_result_has_all_that_there_is_to_know() -> None:
    result = await call([records('{"rating": 5}', heard="Five.")])
    assert (result.to, result.status, result.answered_by, result.reached) == (TO, "completed", "human", True)
    assert result.sid is not None and result.sid.startswith("CA")
    assert result.duration_s > 3
    assert result.cost is not None and result.currency == "USD"
    assert {line.who for line in result.transcript} == {"agent", "callee"}
    assert (result.error, result.message_left) == ("", False)
