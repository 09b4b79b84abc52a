"""The context of a tool call, where the OpenAI Agents SDK has it. It is defined in `run_context`."""

from __future__ import annotations

from .run_context import ToolContext

__all__ = [
    "ToolContext",
]
