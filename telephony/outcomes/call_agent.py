"""Adds the data and the tools of one call to its agent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_core import FunctionTool, RealtimeAgent, user_code
from realtime_core.agent import Instructions

from ..agent_choice import chosen_agent
from ..call.options import AgentSource

__all__ = ["agent_for_call"]


def agent_for_call(
    source: AgentSource, facts: Mapping[str, Any], tools: Sequence[FunctionTool], *, notes: Sequence[str] = ()
) -> AgentSource:
    """Returns a copy of the agent `source` (or of the function that selects the agent) with `facts` (values by name)
    and `notes` (sentences) in its instructions, and with `tools` in addition to its own tools. A `{name}` in the
    instructions is replaced by the fact with this name. Other facts are added at the end. The agents to which this
    agent can hand over get the same additions. A tool of the agent replaces an added tool with the same name.
    """
    if isinstance(source, RealtimeAgent):
        return _CallAgents(facts, tools, notes).agent(source)

    async def pick(info: Any) -> RealtimeAgent[Any]:
        return _CallAgents(facts, tools, notes).agent(await chosen_agent(source, info))

    return pick


class _CallAgents:
    def __init__(self, facts: Mapping[str, Any], tools: Sequence[FunctionTool], notes: Sequence[str]) -> None:
        self._facts = facts
        self._notes = notes
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
        if not self._facts and not self._notes:
            return given
        if given is None or isinstance(given, str):
            return self._filled(given or "")

        async def instructions(context: Any, agent: Any) -> str:
            return self._filled(await user_code.call(given, context, agent) or "")

        return instructions

    def _filled(self, text: str) -> str:
        others = []
        for name, value in self._facts.items():
            if f"{{{name}}}" in text:
                text = text.replace(f"{{{name}}}", str(value))
            else:
                others.append(f"{name}: {value}")
        about = [f"About this call: {'; '.join(others)}."] if others else []
        return "\n".join([text, *about, *self._notes]).strip()

    def _handoff(self, handoff: Any) -> Any:
        if isinstance(handoff, RealtimeAgent):
            return self.agent(handoff)

        async def hand_over(context: Any, arguments: str) -> RealtimeAgent[Any]:
            return self.agent(await handoff.on_invoke_handoff(context, arguments))

        return dataclasses.replace(handoff, on_invoke_handoff=hand_over)
