"""An MCP server, the official client of it, and a server object of the installed `openai-agents`."""

from __future__ import annotations

from typing import Any

import agents.mcp
import mcp.types
from mcp import Client
from mcp.server import MCPServer


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
