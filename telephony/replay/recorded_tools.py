"""Tools that answer from a recording. The user's own tools do not run.

A recorded tool makes its recorded requests (to speak, to transfer, to hang up), takes the recorded time, and returns
the recorded output.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from realtime_core import FunctionTool, RealtimeAgent, SilentResult

from ..agent_choice import chosen_agent
from ..call.options import AgentSource
from ..outcomes.call_agent import agent_for_call
from .recording import Recording, ToolAnswer
from .request_player import ReplayClock, RequestPlayer

__all__ = ["RecordedTools", "agent_for_replay"]


class RecordedTools:
    """The recorded answers of the tools in one call.

    An answer is found by the call id, or by name and arguments, or by name only. Each answer is used once. An answer is
    used again only if no unused answer is left.
    """

    def __init__(
        self,
        tools: Sequence[ToolAnswer],
        clips: Mapping[str, bytes] | None = None,
        *,
        slower_s: float = 0.0,
        decided: frozenset[str] = frozenset(),
    ) -> None:
        """Prepares the recorded answers `tools`. `clips` are the recorded clips by digest. `slower_s` is an additional
        duration of each tool in seconds. `decided` has the ids of the tool calls whose recorded approval or rejection
        is repeated. These tool calls wait for the decision.
        """
        self._clips = clips or {}
        self._left = list(tools)
        self._all = list(tools)
        self._slower_s = slower_s
        self._decided = decided
        self.unrecorded: list[tuple[str, str]] = []
        """The tool calls without a recorded answer, each as (name, arguments)."""

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
        """Repeats the recorded requests of a tool call (such as a transfer), waits for the recorded time, and returns
        the recorded output. Takes the place of the tool's `on_invoke_tool` in a replay. If the recording has no such
        call, returns a text that says so.
        """
        tool = self.find(getattr(context, "tool_call_id", ""), name, arguments)
        if tool is None:
            self.unrecorded.append((name, arguments))
            return f"There is no recorded answer of {name}."
        clock = ReplayClock(tool.t, asyncio.get_running_loop().time())
        await RequestPlayer(tool.requests, self._clips).run(context.context, clock)
        if tool.seconds is None:
            await asyncio.get_running_loop().create_future()  # in the recording the call ended first
        else:
            await clock.until(tool.t + tool.seconds + self._slower_s)
        return SilentResult(tool.output) if tool.silent else tool.output

    def replace_in(self, source: AgentSource) -> AgentSource:
        """Returns the agent `source` (or the function that selects the agent) with tools that answer from the
        recording, and without hooks (callbacks of the application).
        """
        if isinstance(source, RealtimeAgent):
            return self._copy(source, {})

        async def pick(info: Any) -> RealtimeAgent[Any]:
            return self._copy(await chosen_agent(source, info), {})

        return pick

    def _copy(self, agent: RealtimeAgent[Any], done: dict[int, RealtimeAgent[Any]]) -> RealtimeAgent[Any]:
        if id(agent) in done:  # handoffs may form a circle
            return done[id(agent)]
        tools = [self._tool(tool) for tool in agent.tools if not isinstance(tool, Mapping)]
        copy = done[id(agent)] = agent.clone(tools=tools, mcp_servers=[], hooks=None)
        handoffs = [self._handoff(each, done) for each in agent.handoffs]
        copy.handoffs = [each for each in handoffs if each is not None]
        return copy

    def _handoff(self, handoff: Any, done: dict[int, RealtimeAgent[Any]]) -> Any:
        """Returns the handoff without the user's callback, or None if only the callback can return the next agent."""
        if isinstance(handoff, RealtimeAgent):
            return self._copy(handoff, done)
        if (target := getattr(handoff, "target", None)) is None:
            return None
        copied = self._copy(target, done)

        async def hand_over(context: Any, arguments: str) -> RealtimeAgent[Any]:
            return copied

        return dataclasses.replace(handoff, on_invoke_handoff=hand_over, target=copied)

    def _tool(self, tool: Any) -> FunctionTool:
        async def answer(context: Any, arguments: str) -> str | SilentResult:
            return await self.invoke(tool.name, context, arguments)

        enabled = getattr(tool, "is_enabled", True)
        made = FunctionTool(tool.name, tool.description, tool.params_json_schema, answer, is_enabled=enabled)
        made.needs_approval = self._needs_approval
        return made

    def _needs_approval(self, context: Any, arguments: Any, call_id: str) -> bool:
        return call_id in self._decided


def agent_for_replay(
    recording: Recording, agent: AgentSource | None, tools: RecordedTools, *, run_tools: bool
) -> AgentSource:
    """Returns the agent for a replay: the given agent, or the agent of the recording if `agent` is None. The tools of
    the returned agent answer from the recording. If `run_tools` is True, the tools of a given agent run instead.

    If the recorded call was an outgoing call, a given agent also gets the data and the tools that were added for that
    call.
    """
    if agent is None:
        return recorded_agent(recording, tools)
    source = agent if run_tools else tools.replace_in(agent)
    placed = recording.config.get("placed")
    placed = placed if isinstance(placed, dict) else {"tools": recording.config.get("added_tools")}
    if not (of_call := set(placed.get("tools") or ())) and not placed.get("facts"):
        return source
    added = [tool for tool in declared_tools(recording, tools) if tool.name in of_call]
    return agent_for_call(source, placed.get("facts") or {}, added)


def recorded_agent(recording: Recording, tools: RecordedTools) -> RealtimeAgent[Any]:
    """Returns the agent of the recorded call, made from the recorded session configuration, with tools that answer from
    the recording.
    """
    return RealtimeAgent(
        name=recording.header.get("agent") or "Recorded agent",
        instructions=recording.session.get("instructions"),
        tools=[*declared_tools(recording, tools)],
    )


def declared_tools(recording: Recording, tools: RecordedTools) -> list[FunctionTool]:
    """Returns the tools of the recorded session configuration. The returned tools answer from the recording."""
    return [
        FunctionTool(tool["name"], tool.get("description", ""), tool.get("parameters", {}), _answering(tools, tool))
        for tool in recording.session.get("tools", ())
        if tool.get("type") == "function"
    ]


def _answering(tools: RecordedTools, tool: Mapping[str, Any]) -> Callable[[Any, str], Awaitable[str | SilentResult]]:
    async def answer(context: Any, arguments: str) -> str | SilentResult:
        return await tools.invoke(tool["name"], context, arguments)

    return answer


def _same(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
