"""Tools under the OpenAI Agents SDK's module name. They are defined in `tools`."""

from __future__ import annotations

from .tools import FunctionTool, Tool, default_tool_error_function, function_tool

__all__ = [
    "FunctionTool",
    "Tool",
    "default_tool_error_function",
    "function_tool",
]
