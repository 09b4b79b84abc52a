"""Tools and a guardrail that the installed `openai-agents` makes.

Its import takes over a second of CPU. Tests import this module when they run.
"""

from __future__ import annotations

from typing import Any

import agents


@agents.function_tool
def plain(day: str) -> str:
    """When we are open."""
    return f"On {day} from noon."


@agents.function_tool
async def with_context(context: agents.RunContextWrapper[str], day: str) -> str:
    """When we are open."""
    return f"On {day} from noon, {context.context}."


@agents.function_tool
def fails() -> str:
    """Fails."""
    raise LookupError("no such table")


@agents.output_guardrail
async def no_secrets(context: Any, agent: Any, output: str) -> agents.GuardrailFunctionOutput:
    return agents.GuardrailFunctionOutput(output_info=None, tripwire_triggered="swordfish" in output)


@agents.tool_output_guardrail
def no_tea(data: agents.ToolOutputGuardrailData) -> agents.ToolGuardrailFunctionOutput:
    if "Tea" in str(data.output):
        return agents.ToolGuardrailFunctionOutput.reject_content("no tea")
    return agents.ToolGuardrailFunctionOutput.allow()
