"""Tools that answer from a recording. The user's own never run.

A recorded tool asks of the call what it asked then (to speak, to transfer, to hang up), takes the time that it took,
and returns what it returned.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from realtime_core import FunctionTool, RealtimeAgent, SilentResult, user_code

from ..call.options import AgentSource
from .recording import Recording, ToolAnswer
from .repeating import Repeated, Repeats

__all__ = ["Answers", "answering_tools", "recorded_agent"]


class Answers:
    """The recorded answers of one call: by id, else by name and arguments, else by name, each once and then again."""

    def __init__(
        self, tools: Sequence[ToolAnswer], clips: Mapping[str, bytes] | None = None, *, slower_s: float = 0.0
    ) -> None:
        self._clips = clips or {}
        self._left = list(tools)
        self._all = list(tools)
        self._slower_s = slower_s
        self.unrecorded: list[tuple[str, str]] = []
        """Calls (name, arguments) for which there is no recorded answer."""

    def find(self, call_id: str, name: str, arguments: str) -> ToolAnswer | None:
        same = _same(arguments)
        if (known := next((t for t in self._left if t.call_id == call_id and not t.name), None)) is not None:
            return known
        for pool in (self._left, self._all):
            named = [tool for tool in pool if tool.name == name]
            for found in (
                [tool for tool in named if tool.call_id == call_id],
                [tool for tool in named if _same(tool.arguments) == same],
                named,
            ):
                if found:
                    if found[0] in self._left:
                        self._left.remove(found[0])
                    return found[0]
        return None

    async def invoke(self, name: str, context: Any, arguments: str) -> str | SilentResult:
        """What stands in for a tool's `on_invoke_tool`."""
        tool = self.find(getattr(context, "tool_call_id", ""), name, arguments)
        if tool is None:
            self.unrecorded.append((name, arguments))
            return f"There is no recorded answer of {name}."
        place = Repeated(tool.t, asyncio.get_running_loop().time())
        await Repeats(tool.asked, self._clips).run(context.context, place)
        if tool.seconds is None:
            await asyncio.get_running_loop().create_future()  # as then: the call ended first
        else:
            await place.until(tool.t + tool.seconds + self._slower_s)
        return SilentResult(tool.output) if tool.silent else tool.output

    def silenced(self, source: AgentSource) -> AgentSource:
        """The agent (or the choice of agents) with every tool answered from here; hooks are left out."""
        if isinstance(source, RealtimeAgent):
            return self._silenced(source, {})

        async def pick(info: Any) -> RealtimeAgent[Any]:
            return self._silenced(await user_code.call(source, info), {})

        return pick

    def _silenced(self, agent: RealtimeAgent[Any], done: dict[int, RealtimeAgent[Any]]) -> RealtimeAgent[Any]:
        if id(agent) in done:  # agents may hand over to each other in a circle
            return done[id(agent)]
        tools = [self._tool(tool) for tool in agent.tools if not isinstance(tool, Mapping)]
        copy = done[id(agent)] = agent.clone(tools=tools, mcp_servers=[], hooks=None)
        handoffs = [self._handoff(each, done) for each in agent.handoffs]
        copy.handoffs = [each for each in handoffs if each is not None]
        return copy

    def _handoff(self, handoff: Any, done: dict[int, RealtimeAgent[Any]]) -> Any:
        """The same handoff without the user's callback; none where only that callback knows who takes over."""
        if isinstance(handoff, RealtimeAgent):
            return self._silenced(handoff, done)
        if (target := getattr(handoff, "target", None)) is None:
            return None
        silenced = self._silenced(target, done)

        async def hand_over(context: Any, arguments: str) -> RealtimeAgent[Any]:
            return silenced

        return dataclasses.replace(handoff, on_invoke_handoff=hand_over, target=silenced)

    def _tool(self, tool: Any) -> FunctionTool:
        async def answer(context: Any, arguments: str) -> str | SilentResult:
            return await self.invoke(tool.name, context, arguments)

        enabled = getattr(tool, "is_enabled", True)
        return FunctionTool(tool.name, tool.description, tool.params_json_schema, answer, is_enabled=enabled)


def recorded_agent(recording: Recording, answers: Answers) -> RealtimeAgent[Any]:
    """The agent as the model was told of it, for who has no other."""
    return RealtimeAgent(
        name=recording.header.get("agent") or "Recorded agent",
        instructions=recording.session.get("instructions"),
        tools=[*answering_tools(recording, answers)],
    )


def answering_tools(recording: Recording, answers: Answers) -> list[FunctionTool]:
    """The tools as the model was told of them."""
    return [
        FunctionTool(tool["name"], tool.get("description", ""), tool.get("parameters", {}), _answering(answers, tool))
        for tool in recording.session.get("tools", ())
        if tool.get("type") == "function"
    ]


def _answering(answers: Answers, tool: Mapping[str, Any]) -> Callable[[Any, str], Awaitable[str | SilentResult]]:
    async def answer(context: Any, arguments: str) -> str | SilentResult:
        return await answers.invoke(tool["name"], context, arguments)

    return answer


def _same(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
