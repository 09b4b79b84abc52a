"""Tools: functions that the model can call.

Every object with `name`, `description`, `params_json_schema` and `on_invoke_tool(context, arguments)` is a tool.
`function_tool` creates a tool from a function.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence, ValuesView
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast, get_args, overload

from . import user_code
from .errors import ModelBehaviorError, RealtimeCoreError, UserCodeError, UserError

if TYPE_CHECKING:
    from .guardrails import ToolInputGuardrail, ToolOutputGuardrail
    from .run_context import RunContextWrapper, ToolContext
    from .tool_schema import FunctionSchema

__all__ = [
    "FailedResult",
    "FunctionTool",
    "HostedTool",
    "SilentResult",
    "Tool",
    "ToolTimeoutError",
    "default_tool_error_function",
    "function_tool",
    "invoke_tool",
    "tool_output_text",
]

MAX_NAME = 64
_NAME = re.compile(rf"[a-zA-Z0-9_-]{{1,{MAX_NAME}}}")
MAX_OUTPUT_CHARS = 100_000
"""The maximum length of a tool's result, in characters. Longer results would not fit into the model's context."""

TResult = TypeVar("TResult")
ToolErrorFunction = Callable[["RunContextWrapper[Any]", Exception], "str | Awaitable[str]"]
ToolEnabled = bool | Callable[["RunContextWrapper[Any]", Any], "bool | Awaitable[bool]"]
ToolApproval = bool | Callable[["RunContextWrapper[Any]", dict[str, Any], str], "bool | Awaitable[bool]"]
ToolTimeoutBehavior = Literal["error_as_result", "raise_exception"]


class Tool(Protocol):
    """The attributes that every tool has. `on_invoke_tool` takes the `ToolContext` of the call and the arguments as
    JSON text.
    """

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
    """A tool of an MCP server that the model's server runs (hosted MCP)."""

    name: str
    server_label: str


class ToolTimeoutError(RealtimeCoreError):
    """A tool exceeded its time limit."""

    def __init__(self, tool_name: str, timeout_seconds: float) -> None:
        super().__init__(f"Tool '{tool_name}' timed out after {timeout_seconds:g} seconds.")
        self.tool_name = tool_name
        self.timeout_seconds = timeout_seconds


@dataclass(frozen=True, slots=True)
class SilentResult:
    """The result of a tool that needs no spoken answer: the model gets the result, and no response is requested."""

    output: Any = ""


class FailedResult(str):
    """The text that the model gets after a tool failed with the exception `error`."""

    error: BaseException

    def __new__(cls, text: str, error: BaseException) -> FailedResult:
        made = super().__new__(cls, text)
        made.error = error
        return made


@dataclass(eq=False)
class FunctionTool:
    """A tool that was created from a function."""

    name: str
    """The name of the tool for the model."""
    description: str
    params_json_schema: dict[str, Any]
    on_invoke_tool: Callable[[ToolContext[Any], str], Awaitable[Any]]
    """A function that is called with the context of the call and the arguments as JSON text. The model gets the result
    as text.
    """
    strict_json_schema: bool = True
    is_enabled: ToolEnabled = True
    """Whether the model can use the tool: a bool, or a function of (context, agent). The function is called when an
    agent becomes the current one, and at each call."""
    tool_input_guardrails: Sequence[ToolInputGuardrail[Any]] | None = None
    tool_output_guardrails: Sequence[ToolOutputGuardrail[Any]] | None = None
    needs_approval: ToolApproval = False
    """Whether a call waits for `session.approve_tool_call`: a bool, or a function of (context, arguments, call_id)."""
    timeout_seconds: float | None = None
    timeout_behavior: ToolTimeoutBehavior = "error_as_result"
    """What happens when the tool exceeds its time limit. With `error_as_result`, the model gets a text about the
    time-out. `raise_exception` also emits an `error` event.
    """
    timeout_error_function: ToolErrorFunction | None = None
    """A function that returns the text that the model gets after a time-out. It is called with the context and the
    `ToolTimeoutError`. With None, the model gets a default text.
    """

    if TYPE_CHECKING:

        @property
        def __wrapped__(self) -> Callable[..., Any]:
            """The function from which `function_tool` created the tool, for tests of the function. A tool that was
            created from the fields of this class does not have the attribute.
            """

    def __post_init__(self) -> None:
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            raise UserError(f"Tool {self.name}: timeout_seconds must be greater than 0.")
        if self.timeout_behavior not in get_args(ToolTimeoutBehavior):
            known = " or ".join(map(repr, get_args(ToolTimeoutBehavior)))
            raise UserError(f"Tool {self.name}: timeout_behavior must be {known}, not {self.timeout_behavior!r}.")


def default_tool_error_function(ctx: RunContextWrapper[Any], error: Exception) -> str:
    """Returns the text that the model gets by default when a tool fails with `error`."""
    text = user_code.error_text(error)
    if isinstance(error, ModelBehaviorError):
        return f"An error occurred while parsing tool arguments. Please try again with valid JSON. Error: {text}"
    return f"An error occurred while running the tool. Please try again. Error: {text}"


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
    """Creates a tool from a function, as `@function_tool` or `@function_tool(...)`.

    Name, description and parameters come from the signature and the docstring (see `docstrings`). `name_override` and
    `description_override` replace the name and the description. With `use_docstring_info=False`, the docstring is
    ignored. `docstring_style` is the style of the docstring. With None, the style is detected.

    Coroutine functions run in the event loop, plain functions run in one of 64 threads. After a time-out, the session
    does not wait for the thread any longer, but the thread cannot be ended. An awaitable result is awaited. The values
    of a generator become a list. A first parameter with the annotation `RunContextWrapper[...]` or `ToolContext[...]`
    gets the context. With `strict_mode`, the model must give every parameter.

    A decorated method (its first parameter is `self` or `cls`) is a tool of each object of its class:
    `tools=[Shop().price]`.

    `failure_error_function(context, error)` returns the text for the model if the function raises an exception or the
    arguments are invalid. With None, the session emits an `error` event, and the model gets a text without details.
    `timeout` is the time limit in seconds. With None, the limit of the session applies. The other arguments are stored
    in the fields of `FunctionTool` with the same names.

    Raises `UserError` if the signature cannot be described.
    """

    def make(function: Callable[..., Any]) -> FunctionTool:
        from .tool_schema import function_schema

        called = function.__func__ if isinstance(function, classmethod) else function
        if not callable(called):
            raise UserError(f"function_tool: {function!r} is not a function.")
        schema = function_schema(
            called,
            name=name_override,
            description=description_override,
            use_docstring=use_docstring_info,
            docstring_style=docstring_style,
            strict=strict_mode,
        )
        options: dict[str, Any] = {
            "name": schema.name,
            "description": schema.description,
            "params_json_schema": schema.params_json_schema,
            "strict_json_schema": strict_mode,
            "is_enabled": is_enabled,
            "needs_approval": needs_approval,
            "tool_input_guardrails": tool_input_guardrails,
            "tool_output_guardrails": tool_output_guardrails,
            "timeout_seconds": timeout,
            "timeout_behavior": timeout_behavior,
            "timeout_error_function": timeout_error_function,
        }
        if not schema.takes_self:
            return _tool_of(called, on_invoke_tool=_invoking(schema, called, failure_error_function), **options)
        made = MethodTool(on_invoke_tool=_unbound, **options)
        made.function, made.schema, made.failure_error_function = function, schema, failure_error_function
        made.__dict__["__wrapped__"] = called
        return made

    return make(func) if func is not None else make


class MethodTool(FunctionTool):
    """A tool that was created from a method. Reading the attribute of an object returns a tool of that object, like a
    bound method.
    """

    function: Any
    schema: FunctionSchema
    failure_error_function: ToolErrorFunction | None

    def __get__(self, instance: Any, owner: type | None = None) -> FunctionTool:
        if instance is None and not isinstance(self.function, classmethod):
            return self
        bound = self.function.__get__(instance, owner)
        invoke = _invoking(self.schema, bound, self.failure_error_function)
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(FunctionTool)}
        return _tool_of(bound, **{**fields, "on_invoke_tool": invoke})


def _tool_of(function: Callable[..., Any], **options: Any) -> FunctionTool:
    tool = FunctionTool(**options)
    tool.__dict__["__wrapped__"] = function
    return tool


async def _unbound(context: ToolContext[Any], arguments: str) -> Any:
    raise UserError(f"Tool {context.tool_name} is a method: give the agent the tool of an object, like Shop().price.")


def _invoking(
    schema: FunctionSchema, function: Callable[..., Any], words: ToolErrorFunction | None
) -> Callable[[ToolContext[Any], str], Awaitable[Any]]:
    """Returns the `on_invoke_tool` of a function."""
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

    async def run(context: ToolContext[Any], arguments: str) -> Any:
        args, kwargs = schema.parse(arguments)
        if schema.takes_context:
            args.insert(0, context)
        if is_async:
            return await user_code.settled(function(*args, **kwargs))
        return await user_code.settled(await user_code.in_thread(function, args, kwargs))

    async def on_invoke_tool(context: ToolContext[Any], arguments: str) -> Any:
        try:
            return await run(context, arguments)
        except UserCodeError:
            raise
        except Exception as error:
            if words is None:
                raise
            text = await user_code.call(words, context, error)
            return FailedResult(tool_output_text(text), error)

    return on_invoke_tool


async def invoke_tool(
    tool: Tool, context: ToolContext[Any], arguments: str, timeout_seconds: float | None = None
) -> Any:
    """Runs a tool with `arguments` (JSON text), and returns its result. The time limit is the one of the tool, or
    `timeout_seconds` if the tool has none. Raises `ToolTimeoutError`, or the exception of the tool.
    """
    limit = getattr(tool, "timeout_seconds", None) or timeout_seconds
    return await within(limit, user_code.called(tool.on_invoke_tool, context, arguments), tool.name)


async def within(limit_s: float | None, work: Coroutine[Any, Any, TResult], name: str) -> TResult:
    """Awaits `work`, a call of users' code, and returns its result. `limit_s` is the time limit in seconds, and None
    means no limit. Raises the exception of the code, or `ToolTimeoutError` with the tool's `name` after the time limit.
    """
    try:
        return cast("TResult", await user_code.within(work, limit_s))
    except user_code.TimeLimit:
        raise ToolTimeoutError(name, limit_s or 0.0) from None


def tool_output_text(result: Any) -> str:
    """Converts a tool's result to text for the model. Text stays unchanged, other values become JSON, or `str()` if
    JSON is not possible. Never raises an exception.

    Text that is too long is cut, with a note. Invalid Unicode (a lone surrogate) becomes `?`.
    """
    try:
        text = str.__str__(result) if isinstance(result, str) else _json(result)
    except BaseException:  # noqa: BLE001 - the object's methods are users' code
        text = f"<{type(result).__name__}>"
    if len(text) > MAX_OUTPUT_CHARS:
        text = f"{text[:MAX_OUTPUT_CHARS]}… (cut: it was longer)"
    return text.encode("utf-8", "replace").decode("utf-8")


def _json(result: Any) -> str:
    parts: list[str] = []
    length = 0
    try:
        result = _converted(result)
        for part in json.JSONEncoder(ensure_ascii=False, default=_plain).iterencode(result):
            parts.append(part)
            length += len(part)
            if length > MAX_OUTPUT_CHARS:
                break  # the rest would be cut off
    except Exception:  # noqa: BLE001 - the object's methods are users' code
        return str(result)
    return "".join(parts)


def _converted(result: Any) -> Any:
    """Returns the result in a form for JSON. Raises `TypeError` for bytes, dates and other objects, whose `str()` is
    the text for the model.
    """
    if result is None or isinstance(result, str | int | float | bool | list | tuple | dict):
        return result
    if _is_model(result):
        return _plain(result)
    plain = _plain(result)
    if isinstance(plain, str) and not isinstance(result, enum.Enum):
        raise TypeError("this object has no form in JSON")
    return plain


def _is_model(value: Any) -> bool:
    """Returns whether the object is a pydantic model, or looks like one."""
    return hasattr(value, "model_dump") and not isinstance(value, type)


def _plain(value: Any) -> Any:
    if _is_model(value):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (AbstractSet, ValuesView, deque)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)


def check_name(name: Any) -> None:
    """Raises `UserError` if the model's server would refuse `name` as the name of a tool or handoff. Because of one
    such name, the server would refuse all settings of the session.
    https://platform.openai.com/docs/api-reference/realtime-client-events
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"Tool {name!r}: a name has 1 to 64 letters from a to z, digits, _ and -. Give another one: "
            "`name_override` of function_tool, `tool_name_override` of realtime_handoff."
        )


def check_tool(tool: Any) -> Tool:
    """Returns the object if it has the attributes of a tool, or if it is a dict (a tool that the server runs). Raises
    `UserError` for any other object.
    """
    if isinstance(tool, Mapping):
        return cast("Tool", tool)
    if isinstance(tool, MethodType) and isinstance(made := getattr(tool, "__func__", None), MethodTool):
        return made.__get__(tool.__self__)  # `@classmethod` above `@function_tool`, from Python 3.13 on
    if isinstance(tool, MethodTool):
        raise UserError(f"Tool {tool.name} is a method of a class: give the agent the tool of an object of it.")
    missing = [n for n in ("name", "description", "params_json_schema", "on_invoke_tool") if not hasattr(tool, n)]
    if missing:
        what = repr(getattr(tool, "__name__", None) or getattr(tool, "name", None) or tool)
        raise UserError(f"{what} is not a function tool: it lacks {', '.join(missing)}. Is @function_tool missing?")
    _check_is_json(tool.params_json_schema, tool.name)
    return cast("Tool", tool)


def _check_is_json(schema: Any, name: str) -> None:
    """Raises `UserError` for a schema that cannot be sent, because it contains itself or is not JSON."""
    try:
        json.dumps(schema)
    except (TypeError, ValueError, RecursionError) as error:
        why = "it contains itself or is nested too deeply" if not isinstance(error, TypeError) else str(error)
        raise UserError(f"Tool {name}: params_json_schema cannot be written as JSON: {why}.") from None


async def is_enabled(tool: Any, run_context: RunContextWrapper[Any], agent: Any) -> bool:
    """Returns whether a tool or handoff is enabled now, as its attribute `is_enabled` says. If the attribute is a
    function, the function is called with the context and the agent, and its exceptions are not caught.
    """
    enabled = getattr(tool, "is_enabled", True)
    if callable(enabled):
        enabled = await user_code.call(enabled, run_context, agent)
    return bool(user_code.call_now(bool, enabled))
