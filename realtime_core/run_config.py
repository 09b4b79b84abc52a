"""The arguments of `tool_error_formatter` under the OpenAI Agents SDK's module name. They are defined in `config`."""

from __future__ import annotations

from .config import ToolErrorFormatter, ToolErrorFormatterArgs

__all__ = [
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
]
