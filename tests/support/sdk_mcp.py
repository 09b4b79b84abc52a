"""An MCP server, the official client of it, and a server object of the installed `openai-agents`."""

from __future__ import annotations

from typing import Any

import agents.mcp
import mcp.types
from mcp import Client
from mcp.server import MCPServer
from mcp.server.lowlevel import Server


def shop() -> MCPServer:
    """A server with one tool. The client connects to it in memory."""
    server = MCPServer("shop")

    @server.tool()
    def price(article: str) -> str:
        """The price of an article."""
        if article == "air":
            raise LookupError("no such article")
        return f"{article} costs 3"

    return server


async def _page(context: Any, params: mcp.types.PaginatedRequestParams | None) -> mcp.types.ListToolsResult:
    at = int(params.cursor) if params is not None and params.cursor else 0
    tool = mcp.types.Tool(name=f"tool_{at}", input_schema={"type": "object", "properties": {}})
    return mcp.types.ListToolsResult(tools=[tool], next_cursor=str(at + 1) if at < 2 else None)


def warehouse() -> Server[Any]:
    """A server that lists its three tools on three pages."""
    return Server("warehouse", on_list_tools=_page)


class Shop(agents.mcp.MCPServer):
    """A server object of the Agents SDK that uses the client, with the options of its class."""

    def __init__(self, client: Client, **options: Any) -> None:
        super().__init__(**options)
        self._client = client

    @property
    def name(self) -> str:
        return "shop"

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, run_context: Any = None, agent: Any = None) -> list[mcp.types.Tool]:
        return (await self._client.list_tools()).tools

    async def call_tool(
        self, tool_name: str, arguments: dict[str, Any] | None, meta: dict[str, Any] | None = None
    ) -> mcp.types.CallToolResult:
        return await self._client.call_tool(tool_name, arguments)

    async def list_prompts(self) -> Any:
        raise NotImplementedError

    async def get_prompt(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        raise NotImplementedError
