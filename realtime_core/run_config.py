"""Exports `ToolErrorFormatter` and `ToolErrorFormatterArgs` under the module name of the OpenAI Agents SDK. `config`
defines them.
"""

from __future__ import annotations

from .config import ToolErrorFormatter, ToolErrorFormatterArgs

__all__ = [
    "ToolErrorFormatter",
    "ToolErrorFormatterArgs",
]
