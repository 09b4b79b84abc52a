"""What `tool_error_formatter` takes, where the OpenAI Agents SDK has it. It is defined in `config`."""

from __future__ import annotations

from .config import ToolErrorFormatter, ToolErrorFormatterArgs

__all__ = [
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
]
