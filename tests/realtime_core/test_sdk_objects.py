"""Tools and guardrails that were made by the installed `openai-agents` work in a session by their shape."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import RealtimeAgent
from tests.support.session_kit import call, ended, opened, said, settle, started

pytestmark = pytest.mark.virtual_time


async def test_tools_of_the_sdk_run() -> None:
    from tests.support.sdk_tools import fails, plain, with_context

    agent: RealtimeAgent[Any] = RealtimeAgent(name="Desk", tools=[plain, with_context, fails])
    async with opened(agent, context="Ada") as kit:
        kit.emit(call("plain", '{"day": "Friday"}', "c1"), call("with_context", '{"day": "Friday"}', "c2"))
        kit.emit(call("fails", "{}", "c3"), call("plain", "{}", "c4"))
        async with asyncio.timeout(30):
            while len(kit.outputs) < 4:
                await settle(0.05)
        outputs = sorted(output for output, _ in kit.outputs)
        assert outputs[2:] == ["On Friday from noon, Ada.", "On Friday from noon."]
        assert all("error" in output.lower() for output in outputs[:2])


async def test_a_guardrail_of_the_sdk_trips() -> None:
    from tests.support.sdk_tools import no_secrets

    agent: RealtimeAgent[Any] = RealtimeAgent(name="Desk", output_guardrails=[no_secrets])  # type: ignore[list-item]
    async with opened(agent) as kit:
        kit.emit(started("r1"), said("It is swordfish.", response_id="r1"), ended("r1"))
        await settle(0.1)
        (tripped,) = kit.of("guardrail_tripped")
        assert [result.guardrail.get_name() for result in tripped.guardrail_results] == ["no_secrets"]
