"""Three live calls when the process stops: they may finish, and then they hear the whole farewell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer, Reply, Script, Turn
from realtime_core.sources import Sources
from telephony.call.call import CallInfo
from telephony.call.clips import apology
from telephony.call.options import CallOptions
from telephony.call.registry import Registry
from telephony.call.session import CallSession
from telephony.errors import StreamRefused
from telephony.simulator.handset import Handset
from telephony.simulator.line import Line
from telephony.simulator.peer import Caller, MediaPeer
from telephony.web.draining import drain_calls
from tests.support.exchange import CallerPhone, Exchange, Story
from tests.support.phone_calls import Records

pytestmark = pytest.mark.virtual_time

FAREWELL = "Thank you for calling Trattoria Blu. Goodbye!"
SCRIPT = Script(
    greeting=Reply(say="Hello. How can I help you?"),
    turns=[Turn(Reply(say=FAREWELL), text="Say goodbye")],
    otherwise=Reply(say="Yes, we are open."),
)


@dataclass
class Drained:
    """Three calls after a drain: a caller who only listens (0), one who talks (1), and one who leaves (2)."""

    stories: list[Story]
    took_s: float
    late: CallerPhone
    """A call that came during the drain."""


async def drained(defect: Callable[[CallSession], None] = lambda session: None) -> Drained:
    """Drains three live calls. `defect` gets the session of the first call before the drain."""
    records: dict[str, Records] = {}
    ears: dict[str, CallerPhone] = {}

    def journal(info: CallInfo) -> Records:
        return records.setdefault(info.sid, Records())

    async with LocalRealtimeServer(SCRIPT, in_memory=True, sources=Sources(2)) as server, Registry(10) as registry:

        def admit(start: object) -> CallInfo:
            if not registry.has_room:
                raise StreamRefused("draining")
            return CallInfo.of(start)  # type: ignore[arg-type]

        options = CallOptions(
            greeting="Greet.",
            model_config=RealtimeModelConfig(**server.model_config),
            journal=journal,
            admit=admit,
            sources=Sources(1),
        )

        async def phone_call(number: int, caller: Caller) -> CallerPhone:
            ours, theirs = memory_pair()
            caller_phone = CallerPhone(lambda key: None, lambda: peer.hang_up())
            peer = MediaPeer(theirs, line=Line(seed=number), sources=Sources(number), phone=caller_phone)
            ears[peer.call_sid] = caller_phone
            async with asyncio.TaskGroup() as group:
                group.create_task(registry.serve_stream(ours, RealtimeAgent(name="Desk"), options))
                await peer.run(caller)
            return caller_phone

        async def stays(phone: Handset) -> None:
            await phone.agent_silent(200.0, within_s=300)

        async def talks(phone: Handset) -> None:
            while True:
                await phone.agent_speaks()
                await phone.agent_silent(1.0)
                await phone.say("sorry_hours")

        async def leaves(phone: Handset) -> None:
            await asyncio.sleep(6)

        async with asyncio.TaskGroup() as group:
            for number, caller in enumerate((stays, talks, leaves)):
                group.create_task(phone_call(number, caller))
            await asyncio.sleep(4.0)
            assert len(registry) == 3
            defect(registry._sessions[next(iter(ears))])
            began = asyncio.get_running_loop().time()
            group.create_task(drain_calls(registry, within_s=5.0, farewell_s=20.0))
            await asyncio.sleep(1.0)
            late = await phone_call(9, stays)
            await registry.empty()
            took = asyncio.get_running_loop().time() - began
    stories = [Story(ears[sid], Exchange(registry), records[sid], [], []) for sid in list(ears)[:3]]
    return Drained(stories, took, late)


def assert_heard_the_farewell(call: Story) -> None:
    *_, farewell = call.spoken().values()
    assert farewell in call.heard, "to its last sample"
    assert len(call.heard) - call.heard.index(farewell) - len(farewell) < 8000


async def test_three_live_calls_are_drained_with_a_farewell() -> None:
    after = await drained()
    assert b"".join(after.late.heard_frames).strip(b"\xff") == b"", "new calls are refused"
    assert 5.0 < after.took_s < 15.0
    assert [call.reason for call in after.stories] == ["drained", "drained", "hung up"]
    for call in after.stories:
        call.assert_no_undecided_silence()
    for call in after.stories[:2]:
        assert_heard_the_farewell(call)


async def test_a_farewell_that_fails_ends_its_own_call_with_an_apology() -> None:
    async def fails(*args: Any, **options: Any) -> None:
        raise ValueError("a model of the application has a defect")

    def defect(session: CallSession) -> None:
        session.controls.say = fails  # type: ignore[assignment, method-assign]

    after = await drained(defect)
    broken, other, _ = after.stories
    assert broken.reason == "failed: a model of the application has a defect"
    assert apology() in broken.heard
    assert other.reason == "drained"
    assert_heard_the_farewell(other)
