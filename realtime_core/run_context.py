"""The context that tools, hooks and guardrails get: the object that the user passed to the session, and for tools also
the tool call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from .errors import UserError
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
    """The object from `RealtimeRunner.run(context=...)`, and the tokens used so far.

    The context is the first argument of tools, guardrails, hooks and dynamic instructions. The model never gets the
    context.
    """

    context: TContext
    usage: Usage = field(default_factory=Usage)


@dataclass(eq=False)
class ToolContext(RunContextWrapper[TContext]):
    """The context of one tool call.

    Raises `UserError` if `tool_name` or `tool_call_id` is missing.
    """

    tool_name: str = ""
    tool_call_id: str = ""
    tool_arguments: str = ""
    tool_call: Any = None
    """The model event that called the tool."""
    tool_namespace: str | None = field(default=None, kw_only=True)
    """Always None: the Realtime protocol has no namespaces."""
    agent: Any = field(default=None, kw_only=True)
    # Tools made with openai-agents (0.24) read these two attributes. Such tools run here unchanged.
    run_config: Any = field(default=None, kw_only=True)
    _function_tool_arguments = None

    def __post_init__(self) -> None:
        if not self.tool_name or not self.tool_call_id:
            raise UserError("ToolContext: give tool_name and tool_call_id.")

    @property
    def qualified_tool_name(self) -> str:
        return self.tool_name

    @property
    def call_id(self) -> str:
        return self.tool_call_id
