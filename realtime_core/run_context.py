"""What users' code is handed: their own context object and, for tools, the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .usage import Usage

__all__ = ["RunContextWrapper", "TContext", "ToolContext"]

TContext = TypeVar("TContext")


@dataclass(eq=False)
class RunContextWrapper(Generic[TContext]):
    """The object given to `RealtimeRunner.run(context=...)`, and the tokens spent so far.

    The model sees neither. The first argument of tools, guardrails, hooks and dynamic instructions.
    """

    context: TContext
    usage: Usage = field(default_factory=Usage)


@dataclass(eq=False, kw_only=True)
class ToolContext(RunContextWrapper[TContext]):
    """A `RunContextWrapper` that knows which call of which tool it belongs to."""

    tool_name: str
    tool_call_id: str
    tool_arguments: str = ""
    agent: Any = None

    @property
    def call_id(self) -> str:
        return self.tool_call_id
