"""The exceptions under the OpenAI Agents SDK's module name. They are defined in `errors`, `tools` and `guardrails`."""

from __future__ import annotations

from .errors import ModelBehaviorError, RealtimeCoreError, UserError
from .guardrails import ToolInputGuardrailTripwireTriggered, ToolOutputGuardrailTripwireTriggered
from .tools import ToolTimeoutError

__all__ = [
    "AgentsException",
    "ModelBehaviorError",
    "ToolInputGuardrailTripwireTriggered",
    "ToolOutputGuardrailTripwireTriggered",
    "ToolTimeoutError",
    "UserError",
]

AgentsException = RealtimeCoreError
"""The base class of all exceptions of this package."""
