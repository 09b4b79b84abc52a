"""The model's connection is lost in the middle of a sentence, and comes back: the agent goes on."""

from __future__ import annotations

import pytest

from realtime_core.local import Reply, Script, Trouble, Turn
from tests.support.exchange import Ear, hear_out, story

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

    async def caller(ear: Ear) -> None:
        await hear_out(ear)
        await ear.say("booking")
        await ear.agent_speaks()
        await ear.agent_silent(4.0)

    told = await story(caller, script=script)
    _, cut, resumed = told.spoken().values()
    received = len(cut) / 8000
    assert 1.0 < received < 4.0, "it was cut off"
    assert cut.rstrip(b"\xff")[:-400] in told.heard, "what had come of it was heard"
    assert resumed in told.heard, "and then the rest"
    assert told.heard.index(resumed) > told.heard.index(cut[:8000])
    assert told.reason == "hung up"
    told.assert_no_undecided_silence()
