"""Replaces the tools of an agent by stubs, so a demo call has no outside effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from realtime_core import FunctionTool, RealtimeAgent

from ..agent_choice import chosen_agent

__all__ = ["STUB_RESULT", "stubbed"]

STUB_RESULT = "done (a stub: the tool was not run)"

AgentSource = RealtimeAgent[Any] | Callable[[Any], "RealtimeAgent[Any] | Awaitable[RealtimeAgent[Any]]"]


def stubbed(source: AgentSource, *, keeps: Callable[[FunctionTool], bool] = lambda tool: False) -> AgentSource:
    """Returns the agent `source`, or the function `source` that selects an agent, with tools that only return
    `STUB_RESULT`. The tools that `keeps` accepts stay.
    """
    if isinstance(source, RealtimeAgent):
        return _stubbed_agent(source, keeps, {})

    async def pick(info: Any) -> RealtimeAgent[Any]:
        return _stubbed_agent(await chosen_agent(source, info), keeps, {})

    return pick


def _stubbed_agent(
    agent: RealtimeAgent[Any], keeps: Callable[[FunctionTool], bool], done: dict[int, RealtimeAgent[Any]]
) -> RealtimeAgent[Any]:
    if id(agent) in done:  # agents may hand over to each other in a circle
        return done[id(agent)]
    stubs = [
        tool if isinstance(tool, FunctionTool) and keeps(tool) else _stub(tool)
        for tool in agent.tools
        if not isinstance(tool, Mapping)
    ]
    copy = done[id(agent)] = agent.clone(tools=stubs, mcp_servers=[])
    copy.handoffs = [_stubbed_agent(h, keeps, done) if isinstance(h, RealtimeAgent) else h for h in agent.handoffs]
    return copy


def _stub(tool: Any) -> FunctionTool:
    async def answer(context: Any, arguments: str) -> str:
        return STUB_RESULT

    return FunctionTool(tool.name, tool.description, tool.params_json_schema, answer)
