"""A session that was connected ahead is dropped when no stream comes for it."""

from __future__ import annotations

import asyncio

import pytest

from realtime_core import RealtimeAgent
from realtime_core.local import LocalRealtimeServer
from realtime_core.sources import Sources
from telephony.call.call import CallInfo
from telephony.call.options import CallOptions
from telephony.call.registry import Registry

AGENT = RealtimeAgent(name="Desk")


@pytest.mark.virtual_time
async def test_a_warm_call_waits_so_long_and_no_longer(sources: Sources) -> None:
    async with LocalRealtimeServer(None, in_memory=True, sources=sources) as server, Registry(1) as registry:
        options = CallOptions(model_config=server.model_config, sources=sources)
        assert registry.begin_warm(CallInfo("CA1"), AGENT, options)
        assert not registry.begin_warm(CallInfo("CA1"), AGENT, options), "it is known"
        await asyncio.sleep(14)
        assert len(registry) == 1
        await asyncio.sleep(2)
        assert len(registry) == 0


@pytest.mark.virtual_time
async def test_a_process_that_stops_waits_for_no_stream(sources: Sources) -> None:
    async with LocalRealtimeServer(None, in_memory=True, sources=sources) as server:
        async with Registry(1) as registry:
            registry.begin_warm(CallInfo("CA1"), AGENT, CallOptions(model_config=server.model_config, sources=sources))
            await asyncio.sleep(1)
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 1
