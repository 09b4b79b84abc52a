"""Agents: instructions, tools, handoffs, guardrails and hooks, as a user declares them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic

from . import user_code
from .errors import ModelBehaviorError, UserCodeError, UserError
from .run_context import RunContextWrapper, TContext, ToolContext

if TYPE_CHECKING:
    from .guardrails import InputGuardrail, OutputGuardrail
    from .handoffs import Handoff
    from .tools import Tool

__all__ = ["Instructions", "RealtimeAgent", "RealtimeAgentHooks", "RealtimeRunHooks"]

_MAX_MCP_PAGES = 100
"""The number of further pages of tools that are read from one MCP server. A faulty server may have no last page."""
Instructions = str | Callable[[RunContextWrapper[Any], Any], "str | Awaitable[str | None] | None"]
"""The system prompt, or a plain or async function `(context, agent) -> str` that returns the system prompt."""


@dataclass(eq=False)
class RealtimeAgent(Generic[TContext]):
    """A voice agent: its instructions, tools, handoffs, guardrails and voice.

    An agent has only the settings that can change within one session. The session selects the model. `voice` can change
    until the first audio was generated. An agent that takes over later keeps that voice.

    An entry of `tools` that is a mapping describes a tool that the model's server runs (hosted MCP), in the form of the
    protocol: `{"type": "mcp", ...}`. `mcp_servers` are connected objects with `await list_tools()` and `await
    call_tool(name, arguments)`. `mcp_config` is accepted for compatibility and has no effect.
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
            raise UserError("RealtimeAgent: `name` must be a non-empty text.")
        if self.instructions is not None and not isinstance(self.instructions, str) and not callable(self.instructions):
            raise UserError("RealtimeAgent: `instructions` must be text or a function of (context, agent).")
        if callable(self.instructions) and not _takes(self.instructions, "context", "agent"):
            raise UserError("RealtimeAgent: the function `instructions` must take (context, agent).")
        self._check_parts()

    def _check_parts(self) -> None:
        """Checks the parts of the agent. Raises `UserError` for mistakes that would otherwise fail during a call: a
        function without `@function_tool`, a class in place of an object, or a single tool in place of a list.
        """
        from .guardrails import check_guardrails
        from .handoffs import check_handoff
        from .tools import check_name, check_tool

        for name in ("tools", "mcp_servers", "handoffs", "output_guardrails", "input_guardrails"):
            given = getattr(self, name)
            if not isinstance(given, Sequence) or isinstance(given, str):
                raise UserError(f"RealtimeAgent {self.name!r}: `{name}` must be a list, not {type(given).__name__}.")
        for tool in map(check_tool, self.tools):
            if not isinstance(tool, Mapping):
                check_name(tool.name)
        for handoff in self.handoffs:
            check_handoff(handoff)
        check_guardrails((*self.output_guardrails, *self.input_guardrails))
        for server in self.mcp_servers:
            if not hasattr(server, "list_tools") or not hasattr(server, "call_tool"):
                raise UserError(f"{server!r} is not an MCP server: it lacks list_tools or call_tool.")
        if isinstance(self.hooks, type):
            raise UserError(f"RealtimeAgent {self.name!r}: `hooks` is a class: write {self.hooks.__name__}().")

    def clone(self, **changes: Any) -> RealtimeAgent[TContext]:
        """Returns a copy with some fields changed: `agent.clone(instructions="New instructions")`. The copy is shallow:
        both agents have the same list objects.
        """
        return dataclasses.replace(self, **changes)

    async def get_system_prompt(self, run_context: RunContextWrapper[TContext]) -> str | None:
        """Returns the instructions of the agent, or None if the agent has none. If the instructions are a function,
        calls the function with `run_context`. Raises the exceptions of the function, and `UserError` if the function
        returns no text.
        """
        if self.instructions is None or isinstance(self.instructions, str):
            return self.instructions
        made = await user_code.within(user_code.called(self.instructions, run_context, self))
        if made is not None and not isinstance(made, str):
            raise UserError(f"The instructions of {self.name!r} must be text; the function returned {type(made)}.")
        return made

    async def get_mcp_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """Returns the tools of this agent's MCP servers. `run_context` is the run context of the session. It is passed
        on to MCP servers of the Agents SDK, whose `list_tools` accepts it.

        A server is an object with `await list_tools()` and `await call_tool(name, arguments)`: the official client's
        `ClientSession`, or an object that returns a plain list. The user must connect the server. Source:
        https://modelcontextprotocol.io/specification (tools).
        """
        return await _mcp_tools(self.mcp_servers, run_context, self)

    async def get_all_tools(self, run_context: RunContextWrapper[TContext]) -> list[Tool]:
        """Returns the tools that the model may call now: the agent's own tools, and then the tools of its MCP servers.
        Tools that are disabled for `run_context` are omitted. Raises `UserError` for an invalid tool.
        """
        from .tools import check_tool, is_enabled

        given = [*self.tools, *(await self.get_mcp_tools(run_context) if self.mcp_servers else ())]
        tools = [check_tool(tool) for tool in given]
        enabled = await user_code.concurrently(*(is_enabled(tool, run_context, self) for tool in tools))
        return [tool for tool, is_on in zip(tools, enabled, strict=True) if is_on]


class RealtimeAgentHooks(Generic[TContext]):
    """Callbacks for the events of one agent. Users subclass this class and override methods. Each callback is awaited.
    An exception in a callback becomes an `error` event, and the session continues.
    """

    async def on_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """Called when the agent became the current agent."""

    async def on_end(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any) -> None:
        """Called when the agent ended a response with the text `output`."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], source: RealtimeAgent[Any]
    ) -> None:
        """Called when the agent took over the conversation from `source`."""

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any) -> None:
        """Called before `tool`, a tool of the agent, runs."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any, result: Any
    ) -> None:
        """Called after `tool`, a tool of the agent, has run. `result` is the output of the tool."""


class RealtimeRunHooks(Generic[TContext]):
    """Callbacks for the events of all agents of a session: `run_config={"hooks": MyHooks()}`."""

    async def on_agent_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any]) -> None:
        """Called when `agent` became the current agent."""

    async def on_agent_end(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], output: Any) -> None:
        """Called when `agent` ended a response with the text `output`."""

    async def on_handoff(
        self, context: RunContextWrapper[TContext], from_agent: RealtimeAgent[Any], to_agent: RealtimeAgent[Any]
    ) -> None:
        """Called when `from_agent` handed over to `to_agent`."""

    async def on_tool_start(self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any) -> None:
        """Called before `tool`, a tool of `agent`, runs."""

    async def on_tool_end(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], tool: Any, result: Any
    ) -> None:
        """Called after `tool`, a tool of `agent`, has run. `result` is the output of the tool."""


def _takes(function: Callable[..., Any], *arguments: str) -> bool:
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # the function has no readable signature
        pass
    return True


async def _mcp_tools(servers: Sequence[Any], run_context: RunContextWrapper[Any], agent: Any) -> list[Tool]:
    """Returns the tools of all MCP servers, in order."""
    tools: list[Tool] = []
    for server in servers:
        # MCP servers of the Agents SDK take (context, agent) as a filter. The session of the MCP client takes neither.
        wants_context = _takes(server.list_tools, "run_context", "agent")
        page = await user_code.call(server.list_tools, *((run_context, agent) if wants_context else ()))
        listed = list(getattr(page, "tools", page))
        for _ in range(_MAX_MCP_PAGES):
            cursor = _either(page, "next_cursor", "nextCursor")
            if not cursor:
                break
            page = await user_code.call(partial(server.list_tools, **_next_page(server.list_tools, cursor)))
            listed += page.tools
        tools += [_mcp_tool(server, tool, agent) for tool in listed]
    return tools


def _next_page(list_tools: Callable[..., Any], cursor: str) -> dict[str, Any]:
    """Returns the arguments with which a client of MCP gets the page of its tools that begins at the cursor."""
    if "cursor" in inspect.signature(list_tools).parameters:
        return {"cursor": cursor}
    return {"params": sys.modules["mcp.types"].PaginatedRequestParams(cursor=cursor)}


def _mcp_tool(server: Any, tool: Any, agent: Any) -> Tool:
    from .tools import FailedResult, FunctionTool, default_tool_error_function

    sdk = sys.modules.get("agents.mcp")
    if sdk is not None and isinstance(server, sdk.MCPServer):
        # The Agents SDK applies the options of its servers, such as `require_approval` and the guardrails on tools.
        made: Tool = sdk.MCPUtil.to_function_tool(tool, server, convert_schemas_to_strict=False, agent=agent)
        return made

    async def on_invoke_tool(context: ToolContext[Any], arguments: str) -> str:
        try:
            return _result_text(await server.call_tool(tool.name, _arguments_object(arguments)))
        except UserCodeError:
            raise
        except Exception as error:  # noqa: BLE001  the server is the user's code
            return FailedResult(default_tool_error_function(context, error), error)

    return FunctionTool(
        name=tool.name,
        description=tool.description or "",
        params_json_schema=_either(tool, "input_schema", "inputSchema") or {"type": "object", "properties": {}},
        on_invoke_tool=on_invoke_tool,
        strict_json_schema=False,
    )


def _arguments_object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise ModelBehaviorError(f"Invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelBehaviorError("The arguments must be a JSON object.")
    return value


def _result_text(result: Any) -> str:
    parts = [getattr(part, "text", None) or part.model_dump_json() for part in result.content]
    text = "\n".join(parts)
    return f"Error: {text}" if _either(result, "is_error", "isError") else text


def _either(given: Any, name: str, old_name: str) -> Any:
    """Returns an attribute of an object of the MCP client. Version 1 of the client has the old name."""
    return getattr(given, name, None) or getattr(given, old_name, None)
