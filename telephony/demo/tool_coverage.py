"""Finds the tools that the embedded model calls in a demo, and the tools that it does not call.

The embedded model calls each tool once, except a tool that ends or moves the call, or that writes to the do-not-call
list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from realtime_core import FunctionTool, Handoff, RealtimeAgent
from realtime_core.local.improviser import has_side_effects

from ..call.options import AgentSource
from ..journal.format import Record, object_at

__all__ = ["ToolCoverage", "expected_tools", "tool_coverage"]

_UNKNOWN = 8
"""The assumed number of tools if a function selects the agent. The tools are then known only during the call."""


@dataclass(slots=True)
class ToolCoverage:
    """The names of the agent's tools in a demo. `called` has the tools that the embedded model called. `left_alone` has
    the tools that the embedded model must not call, because these tools end the call or have a similar effect. `missed`
    has the other tools that were offered and not called.
    """

    called: list[str] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def expected_tools(source: AgentSource) -> int:
    """Returns how many tools and handoffs (changes to another agent) a demo call should use. The embedded model calls
    each tool and handoff once: those of the agent, and of all agents that the agent can hand over to, directly or
    indirectly.
    """
    if not isinstance(source, RealtimeAgent):
        return _UNKNOWN
    names: set[str] = set()
    for agent in _agents(source):
        tools = [tool for tool in agent.tools if isinstance(tool, FunctionTool)]
        names |= {tool.name for tool in tools if not has_side_effects(tool.name, tool.description)}
        names |= {
            Handoff.default_tool_name(each) if isinstance(each, RealtimeAgent) else each.tool_name
            for each in agent.handoffs
        }
    return len(names)


def _agents(first: RealtimeAgent[Any]) -> Iterator[RealtimeAgent[Any]]:
    """Yields the agent and all agents to which it can hand over, each once."""
    seen: set[int] = set()
    waiting = [first]
    while waiting:
        agent = waiting.pop()
        if id(agent) in seen:
            continue
        seen.add(id(agent))
        yield agent
        for handoff in agent.handoffs:
            target = handoff if isinstance(handoff, RealtimeAgent) else handoff.target
            if isinstance(target, RealtimeAgent):
                waiting.append(target)


def tool_coverage(records: Iterable[Record]) -> ToolCoverage:
    """Returns which of the offered tools were called, from the journal of the call, in the order in which the tools
    were offered.
    """
    offered: dict[str, str] = {}
    called: set[str] = set()
    for record in records:
        if record.kind == "model.out" and record.event == "session.update":
            for tool in object_at(record.message, "session").get("tools") or ():
                if tool.get("type") == "function":
                    offered.setdefault(str(tool.get("name")), str(tool.get("description") or ""))
        elif record.kind == "model.in" and record.event == "response.output_item.done":
            item = object_at(record.message, "item")
            if item.get("type") == "function_call":
                called.add(str(item.get("name")))
    tried = ToolCoverage()
    for name, description in offered.items():
        if name in called:
            tried.called.append(name)
        elif has_side_effects(name, description):
            tried.left_alone.append(name)
        else:
            tried.missed.append(name)
    return tried
