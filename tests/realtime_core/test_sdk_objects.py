"""Tools and guardrails that were made by the installed `openai-agents` work in a session by their shape."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from realtime_core import RealtimeAgent, RunContextWrapper
from tests.support.session_kit import Kit, call, ended, opened, said, settle, started

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


async def test_the_official_mcp_client_is_a_server() -> None:
    from mcp import Client

    from tests.support.sdk_mcp import shop

    async with Client(shop()) as client, opened(RealtimeAgent(name="Desk", mcp_servers=[client])) as kit:
        (tool,) = await kit.session.current_agent.get_all_tools(kit.session.context)
        assert (tool.name, tool.description) == ("price", "The price of an article.")
        assert list(tool.params_json_schema["properties"]) == ["article"]
        kit.emit(call("price", '{"article": "Tea"}', "c1"))
        await outputs(kit, 1)
        kit.emit(call("price", '{"article": "air"}', "c2"))
        await outputs(kit, 2)
        assert [output for output, _ in kit.outputs] == ["Tea costs 3", "Error: Error executing tool price"]


@pytest.mark.parametrize("by_session", [False, True])
async def test_all_pages_of_an_mcp_servers_tools_are_read(by_session: bool) -> None:
    from mcp import Client

    from tests.support.sdk_mcp import warehouse

    async with Client(warehouse()) as client:
        server = client.session if by_session else client
        tools = await RealtimeAgent(name="Desk", mcp_servers=[server]).get_all_tools(RunContextWrapper(None))
        assert [tool.name for tool in tools] == ["tool_0", "tool_1", "tool_2"]


async def test_the_options_of_an_mcp_server_of_the_sdk_hold() -> None:
    from mcp import Client

    from tests.support.sdk_mcp import Shop, shop
    from tests.support.sdk_tools import no_tea

    async with Client(shop()) as client:
        server = Shop(client, require_approval="always", tool_output_guardrails=[no_tea])
        async with opened(RealtimeAgent(name="Desk", mcp_servers=[server])) as kit:
            kit.emit(call("price", '{"article": "Coffee"}', "c1"), call("price", '{"article": "Tea"}', "c2"))
            async with asyncio.timeout(30):
                while len(kit.of("tool_approval_required")) < 2:
                    await settle(0.05)
            assert kit.outputs == []
            await kit.session.approve_tool_call("c1")
            await outputs(kit, 1)
            await kit.session.approve_tool_call("c2")
            await outputs(kit, 2)
            assert "Coffee costs 3" in kit.outputs[0][0]
            assert kit.outputs[1][0] == "no tea"


async def outputs(kit: Kit, number: int) -> None:
    async with asyncio.timeout(30):
        while len(kit.outputs) < number:
            await settle(0.05)
