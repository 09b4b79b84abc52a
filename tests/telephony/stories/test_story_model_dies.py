"""The model's connection is lost in the middle of a sentence and replaced, and the agent continues."""

from __future__ import annotations

import pytest

from realtime_core.local import Reply, Script, Trouble, Turn
from tests.support.exchange import CallerPhone, hear_out, story

pytestmark = pytest.mark.virtual_time

LONG = "Your table for two on Friday at seven is booked. Tonight we serve a soup of white beans with sage."
RESUMED = "I am back. Tonight we serve a soup of white beans."


async def test_the_agent_goes_on_where_it_was_cut_off() -> None:
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[
            Turn(Reply(say=LONG, trouble=Trouble("close", 2.0, close_code=1006))),
            Turn(Reply(say=RESUMED), text="Go on where you stopped"),
        ],
    )

    async def caller(phone: CallerPhone) -> None:
        await hear_out(phone)
        await phone.say("booking")
        await phone.agent_speaks()
        await phone.agent_silent(4.0)

    result = await story(caller, script=script)
    _, cut, resumed = result.spoken().values()
    received = len(cut) / 8000
    assert 1.0 < received < 4.0, "it was cut off"
    assert cut.rstrip(b"\xff")[:-400] in result.heard, "what had come of it was heard"
    assert resumed in result.heard, "and then the rest"
    assert result.heard.index(resumed) > result.heard.index(cut[:8000])
    assert result.reason == "hung up"
    result.assert_no_undecided_silence()
