"""A recorded call with a result is replayed with the agent of today: the tool that fills in the result is added."""

from __future__ import annotations

import json
from pathlib import Path

from realtime_core import RealtimeAgent
from realtime_core.local import Call, Reply, Script, Turn
from realtime_core.testing import virtual_time
from telephony.replay.replaying import replay_call
from tests.support.office import office, talks

SCHEMA = {"type": "object", "properties": {"people": {"type": "integer"}}}


def test_a_call_with_a_result_is_the_same_in_its_replay(tmp_path: Path) -> None:
    records = Call("record_result", json.dumps({"people": 2}))
    script = Script(
        greeting=Reply(say="Hello. How can I help you?"),
        turns=[Turn(Reply(say="Thank you."), calls=[records])],
        otherwise=Reply(say="Yes."),
    )

    async def record() -> None:
        async with office(script, result=SCHEMA, given={"telephony_journal_dir": tmp_path}) as (twilio, _):
            await twilio.ring(caller=talks)

    virtual_time.run(record, seed=1)
    (journal,) = tmp_path.glob("*/journal.jsonl")
    replayed = replay_call(journal, RealtimeAgent(name="Desk"))
    assert replayed.divergence is None, replayed.divergence
    assert replayed.tool("record_result").arguments == {"people": 2}
