"""Adds the facts and the tools of one call to its agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_core import FunctionTool, RealtimeAgent, user_code
from realtime_core.agent import Instructions

from ..call.options import AgentSource

__all__ = ["agent_for_call"]


def agent_for_call(source: AgentSource, facts: Mapping[str, Any], tools: Sequence[FunctionTool]) -> AgentSource:
    """A copy of the agent (or of the function that chooses one) with `facts` in its instructions, and with `tools`
    besides its own. The agents that it hands over to get both, too. A tool of the agent replaces one of ours with the
    same name."""
    if isinstance(source, RealtimeAgent):
        return _CallAgents(facts, tools).agent(source)

    async def pick(info: Any) -> RealtimeAgent[Any]:
        return _CallAgents(facts, tools).agent(await user_code.call(source, info))

    return pick


class _CallAgents:
    def __init__(self, facts: Mapping[str, Any], tools: Sequence[FunctionTool]) -> None:
        self._facts = "; ".join(f"{name}: {value}" for name, value in facts.items())
        self._tools = tools
        self._copies: dict[int, RealtimeAgent[Any]] = {}

    def agent(self, agent: RealtimeAgent[Any]) -> RealtimeAgent[Any]:
        if id(agent) in self._copies:  # agents may hand over to each other
            return self._copies[id(agent)]
        own = {getattr(tool, "name", None) for tool in agent.tools}
        tools = [*agent.tools, *(tool for tool in self._tools if tool.name not in own)]
        copy = agent.clone(tools=tools, instructions=self._instructions(agent.instructions))
        self._copies[id(agent)] = self._copies[id(copy)] = copy
        copy.handoffs = [self._handoff(each) for each in agent.handoffs]
        return copy

    def _instructions(self, given: Instructions | None) -> Instructions | None:
        if not self._facts:
            return given
        facts = f"About this call: {self._facts}."
        if given is None or isinstance(given, str):
            return f"{given or ''}\n{facts}".strip()

        async def instructions(context: Any, agent: Any) -> str:
            return f"{await user_code.call(given, context, agent) or ''}\n{facts}".strip()

        return instructions

    def _handoff(self, handoff: Any) -> Any:
        if isinstance(handoff, RealtimeAgent):
            return self.agent(handoff)

        async def hand_over(context: Any, arguments: str) -> RealtimeAgent[Any]:
            return self.agent(await handoff.on_invoke_handoff(context, arguments))

        return dataclasses.replace(handoff, on_invoke_handoff=hand_over)
