"""What users' code is handed: their own context object and, for tools, the call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from .usage import Usage

if TYPE_CHECKING:
    from typing_extensions import TypeVar
else:
    from typing import TypeVar

__all__ = ["RunContextWrapper", "TContext", "ToolContext"]

if TYPE_CHECKING:
    TContext = TypeVar("TContext", default=Any)  # so that `RealtimeAgent(name="A")` needs no annotation
else:
    TContext = TypeVar("TContext")  # the default is Python 3.13's


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
    # What tools made by openai-agents (0.24) look for in their context, so that they run here as they are.
    run_config: Any = None
    _function_tool_arguments = None

    @property
    def call_id(self) -> str:
        return self.tool_call_id
