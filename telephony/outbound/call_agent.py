"""The agent of a placed call: the one that was given, with what it has to know and the tools that its call brings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from realtime_core import FunctionTool, RealtimeAgent, user_code
from realtime_core.agent import Instructions

from ..call.options import AgentSource
from .do_not_call import DoNotCall, OptOut, opt_out

__all__ = ["agent_for_call"]


def agent_for_call(
    source: AgentSource, facts: Mapping[str, Any], tools: Sequence[FunctionTool], *, simulated: bool = False
) -> AgentSource:
    """The same agent (or the same choice of agents) that is told `facts` and has `tools` besides its own. So have those
    that it hands over to. A tool of its own goes before one of the same name. `simulated`: nobody is really called."""
    if isinstance(source, RealtimeAgent):
        return _Equipment(facts, tools, simulated).agent(source)

    async def pick(info: Any) -> RealtimeAgent[Any]:
        return _Equipment(facts, tools, simulated).agent(await user_code.call(source, info))

    return pick


class _Equipment:
    def __init__(self, facts: Mapping[str, Any], tools: Sequence[FunctionTool], simulated: bool) -> None:
        self._told = "; ".join(f"{name}: {value}" for name, value in facts.items())
        self._tools = tools
        self._simulated = simulated
        self._done: dict[int, RealtimeAgent[Any]] = {}

    def agent(self, agent: RealtimeAgent[Any]) -> RealtimeAgent[Any]:
        if id(agent) in self._done:  # agents may hand over to each other in a circle
            return self._done[id(agent)]
        given = [self._rehearsed(tool) for tool in agent.tools]
        own = {getattr(tool, "name", None) for tool in given}
        tools = [*given, *(tool for tool in self._tools if tool.name not in own)]
        copy = agent.clone(tools=tools, instructions=self._instructions(agent.instructions))
        self._done[id(agent)] = self._done[id(copy)] = copy
        copy.handoffs = [self._handoff(each) for each in agent.handoffs]
        return copy

    def _rehearsed(self, tool: Any) -> Any:
        """In simulation an agent's own `opt_out` writes to no list, either."""
        if self._simulated and isinstance(tool, OptOut):
            return opt_out(DoNotCall(tool.do_not_call.path, writes=False))
        return tool

    def _instructions(self, given: Instructions | None) -> Instructions | None:
        if not self._told:
            return given
        told = f"About this call: {self._told}."
        if given is None or isinstance(given, str):
            return f"{given or ''}\n{told}".strip()

        async def instructions(context: Any, agent: Any) -> str:
            return f"{await user_code.call(given, context, agent) or ''}\n{told}".strip()

        return instructions

    def _handoff(self, handoff: Any) -> Any:
        if isinstance(handoff, RealtimeAgent):
            return self.agent(handoff)

        async def hand_over(context: Any, arguments: str) -> RealtimeAgent[Any]:
            return self.agent(await handoff.on_invoke_handoff(context, arguments))

        return dataclasses.replace(handoff, on_invoke_handoff=hand_over)
