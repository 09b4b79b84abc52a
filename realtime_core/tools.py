"""Tools: functions that the model may call.

Anything with `name`, `description`, `params_json_schema` and `on_invoke_tool(context, arguments)` is a tool, whoever
made it; `function_tool` makes one from a function.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import dataclasses
import enum
import functools
import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, overload

from .errors import ModelBehaviorError, RealtimeCoreError, UserError
from .side_by_side import side_by_side

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .guardrails import ToolInputGuardrail, ToolOutputGuardrail
    from .run_context import RunContextWrapper, ToolContext

__all__ = [
    "FunctionTool",
    "HostedTool",
    "SilentResult",
    "Tool",
    "ToolTimeoutError",
    "default_tool_error_function",
    "enabled_tools",
    "function_tool",
    "invoke_tool",
    "tool_output_text",
]

_MAX_THREADS = 64

TResult = TypeVar("TResult")
ToolErrorFunction = Callable[["RunContextWrapper[Any]", Exception], "str | Awaitable[str]"]
ToolEnabled = bool | Callable[["RunContextWrapper[Any]", Any], "bool | Awaitable[bool]"]
ToolApproval = bool | Callable[["RunContextWrapper[Any]", dict[str, Any], str], "bool | Awaitable[bool]"]
ToolTimeoutBehavior = Literal["error_as_result", "raise_exception"]


class Tool(Protocol):
    """What every tool has. `on_invoke_tool` takes the call's `ToolContext` and the arguments as JSON text."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def params_json_schema(self) -> dict[str, Any]: ...
    @property
    def on_invoke_tool(self) -> Callable[..., Awaitable[Any]]: ...


@dataclass(frozen=True, slots=True)
class HostedTool:
    """A tool of an MCP server that the model's server calls by itself (hosted MCP)."""

    name: str
    server_label: str


class ToolTimeoutError(RealtimeCoreError):
    """A tool took longer than it may."""

    def __init__(self, tool_name: str, timeout_seconds: float) -> None:
        super().__init__(f"Tool '{tool_name}' timed out after {timeout_seconds:g} seconds.")
        self.tool_name = tool_name
        self.timeout_seconds = timeout_seconds


@dataclass(frozen=True, slots=True)
class SilentResult:
    """Return this from a tool to give the model the output without having it speak about it."""

    output: Any = ""


@dataclass(eq=False)
class FunctionTool:
    """A tool made of a function."""

    name: str
    """What the model calls it."""
    description: str
    params_json_schema: dict[str, Any]
    on_invoke_tool: Callable[[ToolContext[Any], str], Awaitable[Any]]
    """Called with the call's context and the arguments as JSON text. What it returns goes to the model as text."""
    strict_json_schema: bool = True
    is_enabled: ToolEnabled = True
    """Whether the model is told of the tool: a bool, or a function of (context, agent), asked when an agent becomes the
    current one and again at each call."""
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None
    needs_approval: ToolApproval = False
    """Whether a call waits for `session.approve_tool_call`: a bool, or a function of (context, arguments, call_id)."""
    timeout_seconds: float | None = None
    timeout_behavior: ToolTimeoutBehavior = "error_as_result"
    """`raise_exception` reports an `error` event besides telling the model."""
    timeout_error_function: ToolErrorFunction | None = None
    """Makes the text for the model out of a `ToolTimeoutError`."""

    def __post_init__(self) -> None:
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise UserError(f"Tool {self.name}: timeout_seconds must be greater than 0.")


def default_tool_error_function(ctx: RunContextWrapper[Any], error: Exception) -> str:
    """What the model is told when a tool fails."""
    if isinstance(error, ModelBehaviorError):
        return f"An error occurred while parsing tool arguments. Please try again with valid JSON. Error: {error}"
    return f"An error occurred while running the tool. Please try again. Error: {error}"


@overload
def function_tool(
    func: Callable[..., Any],
    *,
    name_override: str | None = ...,
    description_override: str | None = ...,
    use_docstring_info: bool = ...,
    failure_error_function: ToolErrorFunction | None = ...,
    strict_mode: bool = ...,
    is_enabled: ToolEnabled = ...,
    needs_approval: ToolApproval = ...,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = ...,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = ...,
    timeout: float | None = ...,
    timeout_behavior: ToolTimeoutBehavior = ...,
    timeout_error_function: ToolErrorFunction | None = ...,
    docstring_style: Literal["google", "numpy", "sphinx"] | None = ...,
) -> FunctionTool: ...
@overload
def function_tool(
    *,
    name_override: str | None = ...,
    description_override: str | None = ...,
    use_docstring_info: bool = ...,
    failure_error_function: ToolErrorFunction | None = ...,
    strict_mode: bool = ...,
    is_enabled: ToolEnabled = ...,
    needs_approval: ToolApproval = ...,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = ...,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = ...,
    timeout: float | None = ...,
    timeout_behavior: ToolTimeoutBehavior = ...,
    timeout_error_function: ToolErrorFunction | None = ...,
    docstring_style: Literal["google", "numpy", "sphinx"] | None = ...,
) -> Callable[[Callable[..., Any]], FunctionTool]: ...
def function_tool(
    func: Callable[..., Any] | None = None,
    *,
    name_override: str | None = None,
    description_override: str | None = None,
    use_docstring_info: bool = True,
    failure_error_function: ToolErrorFunction | None = default_tool_error_function,
    strict_mode: bool = True,
    is_enabled: ToolEnabled = True,
    needs_approval: ToolApproval = False,
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None,
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None,
    timeout: float | None = None,
    timeout_behavior: ToolTimeoutBehavior = "error_as_result",
    timeout_error_function: ToolErrorFunction | None = None,
    docstring_style: Literal["google", "numpy", "sphinx"] | None = None,
) -> FunctionTool | Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of a function, as `@function_tool` or `@function_tool(...)`.

    Name, description and parameters come from the signature and the docstring (any of the three styles). Coroutine
    functions run as they are, plain functions in one of 64 threads (a time-out lets go of the thread; it cannot end
    it). A first parameter annotated `RunContextWrapper[...]` or `ToolContext[...]` is given the context. With
    `strict_mode` every parameter is required of the model.

    `failure_error_function(context, error)` makes the text for the model when the function raises or the arguments do
    not fit; None: the session reports an `error` event and tells the model of the failure without details.

    Raises `UserError` when the signature cannot be described.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        from .tool_schema import function_schema

        schema = function_schema(
            function,
            name=name_override,
            description=description_override,
            use_docstring=use_docstring_info,
            docstring_style=docstring_style,
            strict=strict_mode,
        )
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

        async def call(context: ToolContext[Any], arguments: str) -> Any:
            args, kwargs = schema.parse(arguments)
            if schema.takes_context:
                args.insert(0, context)
            if is_async:
                return await function(*args, **kwargs)
            return await _in_thread(function, args, kwargs)

        async def on_invoke_tool(context: ToolContext[Any], arguments: str) -> Any:
            try:
                return await call(context, arguments)
            except Exception as error:  # a user's code
                if failure_error_function is None:
                    raise
                told = failure_error_function(context, error)
                return await told if inspect.isawaitable(told) else told

        return FunctionTool(
            name=schema.name,
            description=schema.description,
            params_json_schema=schema.params_json_schema,
            on_invoke_tool=on_invoke_tool,
            strict_json_schema=strict_mode,
            is_enabled=is_enabled,
            needs_approval=needs_approval,
            tool_input_guardrails=tool_input_guardrails,
            tool_output_guardrails=tool_output_guardrails,
            timeout_seconds=timeout,
            timeout_behavior=timeout_behavior,
            timeout_error_function=timeout_error_function,
        )

    return make(func) if func is not None else make


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    # Not the loop's own, which has a handful: tools that hang would leave none to look up the model's address, to hang
    # up, or to do whatever else cannot wait.
    return concurrent.futures.ThreadPoolExecutor(_MAX_THREADS, thread_name_prefix="tool")


async def _in_thread(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    run = contextvars.copy_context().run
    return await asyncio.get_running_loop().run_in_executor(_threads(), lambda: run(function, *args, **kwargs))


async def invoke_tool(
    tool: Tool, context: ToolContext[Any], arguments: str, timeout_seconds: float | None = None
) -> Any:
    """Run a tool, for as long as it may. Raises `ToolTimeoutError`, or what the tool raises."""
    limit = getattr(tool, "timeout_seconds", None) or timeout_seconds
    return await within(limit, tool.on_invoke_tool(context, arguments), tool.name)


async def within(limit_s: float | None, work: Awaitable[TResult], name: str) -> TResult:
    """Users' code, for as long as it may run (None: for ever). Raises `ToolTimeoutError`, or what the code raises."""
    if limit_s is None:
        return await work
    timer = asyncio.timeout(limit_s)
    try:
        async with timer:
            return await work
    except TimeoutError:
        if not timer.expired():
            raise  # the code's own
        raise ToolTimeoutError(name, limit_s) from None


def tool_output_text(result: Any) -> str:
    """A tool's result as the model is given it: text as it is, everything else as JSON, else `str()`."""
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


async def enabled_tools(agent: RealtimeAgent[Any], run_context: RunContextWrapper[Any]) -> list[Tool]:
    """The agent's tools that are enabled now, those of its MCP servers last. Raises `UserError` for what is no tool."""
    tools: list[Any] = list(agent.tools)
    if agent.mcp_servers:
        from .mcp import mcp_tools

        tools += await mcp_tools(agent.mcp_servers, run_context, agent)
    for tool in tools:
        check_tool(tool)
    enabled = await side_by_side(*(is_enabled(tool, run_context, agent) for tool in tools))
    return [tool for tool, is_on in zip(tools, enabled, strict=True) if is_on]


def check_tool(tool: Any) -> Tool:
    """The object itself if it has a tool's shape (or is a dict: a tool that the server runs), else `UserError`."""
    if isinstance(tool, Mapping):
        return cast("Tool", tool)
    missing = [n for n in ("name", "description", "params_json_schema", "on_invoke_tool") if not hasattr(tool, n)]
    if missing:
        what = getattr(tool, "name", None) or repr(tool)
        raise UserError(f"{what} is no function tool: it has no {', '.join(missing)}. Is @function_tool missing?")
    return cast("Tool", tool)


async def is_enabled(tool: Any, run_context: RunContextWrapper[Any], agent: Any) -> bool:
    """Whether a tool or handoff is enabled now."""
    enabled = getattr(tool, "is_enabled", True)
    if callable(enabled):
        enabled = enabled(run_context, agent)
        if inspect.isawaitable(enabled):
            enabled = await enabled
    return bool(enabled)
