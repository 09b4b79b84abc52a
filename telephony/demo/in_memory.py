"""`telephony demo --fast`: the call session, the embedded model and the caller in one process, in virtual time (the
clock jumps to the next event, so nothing waits).
"""

from __future__ import annotations

import asyncio

from realtime_core.connection.memory import memory_pair
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from realtime_core.testing import virtual_time
from telephony.call.call import CallInfo
from telephony.call.session import AgentSource, CallOptions, run_call
from telephony.call.simulation import Simulation
from telephony.journal.disk import settle
from telephony.journal.format import Journal
from telephony.journal.writer import JournalWriter
from telephony.simulator import Line, MediaPeer, callers
from telephony.simulator.events import as_dict

from .plan import DemoCall, Plan

__all__ = ["call_in_memory"]


def call_in_memory(plan: Plan, agent: AgentSource, greeting: str | None, seed: int) -> DemoCall:
    """Makes a demo call in virtual time, with all parts in this process, and returns the call. `plan` has the options
    of the demo call. `greeting` has the instructions for the first words of the agent. The same seed gives the same
    journal, byte for byte, on each version of Python.
    """
    demo_call = virtual_time.run(lambda: _ring(plan, agent, greeting, Sources(seed)), seed=seed)
    settle()
    return demo_call


async def _ring(plan: Plan, agent: AgentSource, greeting: str | None, sources: Sources) -> DemoCall:
    here, there = memory_pair()
    line = Line(seed=sources.fork("line").random.getrandbits(32))
    peer = MediaPeer(here, line=line, sources=sources.fork("phone"))
    journal = plan.folder / peer.call_sid / "journal.jsonl"
    journal.unlink(missing_ok=True)  # the same seed makes the same call SID

    def write(info: CallInfo) -> Journal:
        return JournalWriter(journal)

    async with LocalRealtimeServer(plan.model_script, in_memory=True, sources=sources.fork("model")) as model:
        options = CallOptions(
            greeting=greeting,
            model_config=model.model_config,
            journal=write,
            sources=sources.fork("session"),
            simulation=Simulation(),
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(run_call(there, agent, options))
                await peer.run(callers.find(plan.caller))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
    return DemoCall(journal, [as_dict(event) for event in peer.events], peer.heard)
