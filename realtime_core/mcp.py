"""Tools of MCP servers: objects with `await list_tools()` and `await call_tool(name, arguments)`.

The official client's `ClientSession` works, and so do server objects that return a plain list. The user connects the
servers. Source: https://modelcontextprotocol.io/specification (tools).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import user_code
from .errors import ModelBehaviorError, UserCodeError
from .tools import FailedResult, FunctionTool, default_tool_error_function

if TYPE_CHECKING:
    from .run_context import RunContextWrapper, ToolContext

__all__ = ["mcp_tools"]


async def mcp_tools(servers: Sequence[Any], run_context: RunContextWrapper[Any], agent: Any) -> list[FunctionTool]:
    """Return the tools of all servers, in order."""
    tools: list[FunctionTool] = []
    for server in servers:
        # Servers of the Agents SDK take (context, agent) to filter; the MCP client's session takes neither.
        wants_context = len(inspect.signature(server.list_tools).parameters) >= 2
        listed = await user_code.call(server.list_tools, *((run_context, agent) if wants_context else ()))
        tools += [_as_function_tool(server, tool) for tool in getattr(listed, "tools", listed)]
    return tools


def _as_function_tool(server: Any, tool: Any) -> FunctionTool:
    async def on_invoke_tool(context: ToolContext[Any], arguments: str) -> str:
        try:
            return _text(await server.call_tool(tool.name, _object(arguments)))
        except UserCodeError:
            raise
        except Exception as error:  # noqa: BLE001  the server is the user's code
            return FailedResult(default_tool_error_function(context, error), error)

    return FunctionTool(
        name=tool.name,
        description=tool.description or "",
        params_json_schema=tool.inputSchema or {"type": "object", "properties": {}},
        on_invoke_tool=on_invoke_tool,
        strict_json_schema=False,
    )


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except (ValueError, RecursionError) as error:
        raise ModelBehaviorError(f"Invalid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ModelBehaviorError("The arguments must be a JSON object.")
    return value


def _text(result: Any) -> str:
    parts = [getattr(part, "text", None) or part.model_dump_json() for part in result.content]
    text = "\n".join(parts)
    return f"Error: {text}" if getattr(result, "isError", False) else text
