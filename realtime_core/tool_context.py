"""The context of a tool call under the OpenAI Agents SDK's module name. It is defined in `run_context`."""

from __future__ import annotations

from .run_context import ToolContext

__all__ = [
    "ToolContext",
]
