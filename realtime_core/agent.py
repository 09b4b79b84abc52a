"""Agents: instructions, tools, handoffs, guardrails and hooks, as a user declares them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from . import user_code
from .errors import UserError
from .run_context import RunContextWrapper, TContext

if TYPE_CHECKING:
    from .guardrails import InputGuardrail, OutputGuardrail
    from .handoffs import Handoff
    from .tools import Tool

__all__ = ["Instructions", "RealtimeAgent", "RealtimeAgentHooks", "RealtimeRunHooks"]

Instructions = str | Callable[[RunContextWrapper[Any], Any], "str | Awaitable[str | None] | None"]
"""The system prompt, or a function (or coroutine function) `(context, agent) -> str` that makes it."""


@dataclass(eq=False)
class RealtimeAgent(Generic[TContext]):
    """Somebody to speak with.

    Only what a realtime model can do differently within one session is here: the model itself is the session's, and
    `voice` can be chosen until the first audio was made (an agent that takes over later keeps the voice there is).

    `tools`: a mapping is a tool that the server runs, in the protocol's form (hosted MCP: `{"type": "mcp", ...}`).
    `mcp_servers`: objects with `await list_tools()` and `await call_tool(name, arguments)`, already connected
    (`mcp_config` is taken for compatibility, and nothing follows from it).
    """

    name: str
    handoff_description: str | None = None
    tools: list[Tool | Mapping[str, Any]] = field(default_factory=list)
    mcp_servers: Sequence[Any] = field(default_factory=list)
    mcp_config: Mapping[str, Any] = field(default_factory=dict)
    instructions: Instructions | None = None
    prompt: Any = None
    handoffs: list[RealtimeAgent[Any] | Handoff[TContext, Any]] = field(default_factory=list)
    output_guardrails: list[OutputGuardrail[TContext]] = field(default_factory=list)
    hooks: RealtimeAgentHooks[TContext] | None = None
    input_guardrails: Sequence[InputGuardrail[TContext]] = field(default_factory=list)
    voice: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise UserError("RealtimeAgent: `name` must be a text that is not empty.")
        if self.instructions is not None and not isinstance(self.instructions, str) and not callable(self.instructions):
            raise UserError("RealtimeAgent: `instructions` must be text or a function of (context, agent).")
        if callable(self.instructions) and not _takes(self.instructions, "context", "agent"):
            raise UserError("RealtimeAgent: the function `instructions` must take (context, agent).")
        self._check_parts()

    def _check_parts(self) -> None:
        """Raise `UserError` for what would else fail in a call: a function without `@function_tool`, a class in place
        of an object, a single tool in place of a list."""
        from .guardrails import check_guardrails
        from .handoffs import check_handoff
        from .tools import check_tool

        for name in ("tools", "mcp_servers", "handoffs", "output_guardrails", "input_guardrails"):
            given = getattr(self, name)
            if not isinstance(given, Sequence) or isinstance(given, str):
                raise UserError(f"RealtimeAgent {self.name!r}: `{name}` must be a list, not {type(given).__name__}.")
        for tool in self.tools:
            check_tool(tool)
        for handoff in self.handoffs:
            check_handoff(handoff)
        check_guardrails((*self.output_guardrails, *self.input_guardrails))
        for server in self.mcp_servers:
            if not hasattr(server, "list_tools") or not hasattr(server, "call_tool"):
                raise UserError(f"{server!r} is no MCP server: it has no list_tools or no call_tool.")
        if isinstance(self.hooks, type):
            raise UserError(f"RealtimeAgent {self.name!r}: `hooks` is a class: write {self.hooks.__name__}().")

    def clone(self, **changes: Any) -> RealtimeAgent[TContext]:
        """A copy with some fields changed: `agent.clone(instructions="New instructions")`. Lists are shared."""
        return dataclasses.replace(self, **changes)

    async def get_system_prompt(self, run_context: RunContextWrapper[TContext]) -> str | None:
        """The instructions, computed if they are a function. Raises what the function raises, and `UserError` when it
        returns no text."""
        if self.instructions is None or isinstance(self.instructions, str):
            return self.instructions
        made = await user_code.within(user_code.called(self.instructions, run_context, self))
        if made is not None and not isinstance(made, str):
            raise UserError(f"The instructions of {self.name!r} must be text; the function returned {type(made)}.")
        return made

    async def get_mcp_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """The tools of this agent's MCP servers."""
        from .mcp import mcp_tools

        return list(await mcp_tools(self.mcp_servers, run_context, self))

    async def get_all_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """The tools of this agent and of its MCP servers that are enabled now."""
        from .tools import enabled_tools

        return await enabled_tools(self, run_context)


class RealtimeAgentHooks(Generic[TContext]):
    """Told what becomes of one agent: subclass and override. Each is awaited; an exception in one becomes an `error`
    event, and the session goes on."""

    async def on_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """The agent became the current one."""

    async def on_end(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any) -> None:
        """The agent ended a response; `output` is the text of it."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], source: RealtimeAgent[Any]
    ) -> None:
        """The agent was handed the conversation by `source`."""

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any) -> None:
        """A tool of the agent is about to run."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any, result: Any
    ) -> None:
        """A tool of the agent has run."""


class RealtimeRunHooks(Generic[TContext]):
    """Told what becomes of all agents of a session: `run_config={"hooks": MyHooks()}`."""

    async def on_agent_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """`agent` became the current one."""

    async def on_agent_end(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any) -> None:
        """`agent` ended a response; `output` is the text of it."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], from_agent: RealtimeAgent[Any], to_agent: RealtimeAgent[Any]
    ) -> None:
        """`from_agent` handed over to `to_agent`."""

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any) -> None:
        """A tool is about to run."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any, result: Any
    ) -> None:
        """A tool has run."""


def _takes(function: Callable[..., Any], *arguments: str) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # the signature is not known
        pass
    return True
