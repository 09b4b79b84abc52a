"""All decorators for tools and guardrails in one module. `tool` is another name for `function_tool`."""

from __future__ import annotations

from .guardrails import input_guardrail, output_guardrail, tool_input_guardrail, tool_output_guardrail
from .tools import function_tool

__all__ = [
    "function_tool",
    "input_guardrail",
    "output_guardrail",
    "tool",
    "tool_input_guardrail",
    "tool_output_guardrail",
]

tool = function_tool
