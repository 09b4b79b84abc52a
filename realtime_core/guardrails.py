"""Guardrails: users' checks of the agent's speech, of the caller's speech, and of tool calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar, cast, overload

from . import user_code
from .errors import RealtimeCoreError, UserError
from .run_context import RunContextWrapper, TContext, ToolContext

if TYPE_CHECKING:
    from .agent import RealtimeAgent

__all__ = [
    "GuardrailFunctionOutput",
    "InputGuardrail",
    "InputGuardrailResult",
    "OutputGuardrail",
    "OutputGuardrailResult",
    "ToolGuardrailFunctionOutput",
    "ToolInputGuardrail",
    "ToolInputGuardrailData",
    "ToolInputGuardrailTripwireTriggered",
    "ToolOutputGuardrail",
    "ToolOutputGuardrailData",
    "ToolOutputGuardrailTripwireTriggered",
    "input_guardrail",
    "output_guardrail",
    "tool_input_guardrail",
    "tool_output_guardrail",
]


@dataclass(slots=True)
class GuardrailFunctionOutput:
    """The result of a guardrail. If `tripwire_triggered` is True, the agent is stopped. `output_info` is any value that
    the guardrail gives to the program, and does not reach the model.
    """

    output_info: Any
    tripwire_triggered: bool


@dataclass(slots=True)
class OutputGuardrailResult:
    guardrail: OutputGuardrail[Any]
    agent_output: Any
    agent: RealtimeAgent[Any]
    output: GuardrailFunctionOutput


@dataclass(slots=True)
class InputGuardrailResult:
    guardrail: InputGuardrail[Any]
    output: GuardrailFunctionOutput


TOutput = TypeVar("TOutput")
GuardrailFunction = Callable[..., "GuardrailFunctionOutput | Awaitable[GuardrailFunctionOutput]"]


@dataclass(eq=False)
class OutputGuardrail(Generic[TContext]):
    """A check of the agent's speech. `guardrail_function` is called with `(context, agent, text)` and returns a
    `GuardrailFunctionOutput`. The function may be async.

    `text` is the whole text of the response so far. The check runs each time the text has grown by
    `debounce_text_length` characters (a key of `guardrails_settings` in the run config), and at the end of the
    response.
    """

    guardrail_function: GuardrailFunction
    name: str | None = None

    def get_name(self) -> str:
        return self.name or str(getattr(self.guardrail_function, "__name__", "guardrail"))

    async def run(
        self, context: RunContextWrapper[TContext], agent: RealtimeAgent[Any], agent_output: Any
    ) -> OutputGuardrailResult:
        if not callable(self.guardrail_function):
            raise UserError(f"Guardrail function must be callable, got {self.guardrail_function!r}.")
        output = await user_code.call(self.guardrail_function, context, agent, agent_output)
        return OutputGuardrailResult(self, agent_output, agent, _checked(output, GuardrailFunctionOutput))


@dataclass(eq=False)
class InputGuardrail(Generic[TContext]):
    """A check of the caller's speech. `guardrail_function` is called with `(context, agent, transcript)` and returns a
    `GuardrailFunctionOutput`. The function may be async.

    The transcript arrives after the reply has begun, so a guardrail that trips interrupts the reply.
    """

    guardrail_function: GuardrailFunction
    name: str | None = None
    run_in_parallel: bool = True

    def get_name(self) -> str:
        return self.name or str(getattr(self.guardrail_function, "__name__", "guardrail"))

    async def run(
        self, agent: RealtimeAgent[Any], input: Any, context: RunContextWrapper[TContext]
    ) -> InputGuardrailResult:
        if not callable(self.guardrail_function):
            raise UserError(f"Guardrail function must be callable, got {self.guardrail_function!r}.")
        output = await user_code.call(self.guardrail_function, context, agent, input)
        return InputGuardrailResult(self, _checked(output, GuardrailFunctionOutput))


@overload
def output_guardrail(func: GuardrailFunction) -> OutputGuardrail[Any]: ...
@overload
def output_guardrail(*, name: str | None = ...) -> Callable[[GuardrailFunction], OutputGuardrail[Any]]: ...
def output_guardrail(
    func: GuardrailFunction | None = None, *, name: str | None = None
) -> OutputGuardrail[Any] | Callable[[GuardrailFunction], OutputGuardrail[Any]]:
    """Creates an `OutputGuardrail` from the function `func`. Used as the decorator `@output_guardrail` or
    `@output_guardrail(name=...)`. `name` is the name of the guardrail (default: the name of the function).
    """
    if func is not None:
        return OutputGuardrail(func, name)
    return lambda f: OutputGuardrail(f, name)


@overload
def input_guardrail(func: GuardrailFunction) -> InputGuardrail[Any]: ...
@overload
def input_guardrail(
    *, name: str | None = ..., run_in_parallel: bool = ...
) -> Callable[[GuardrailFunction], InputGuardrail[Any]]: ...
def input_guardrail(
    func: GuardrailFunction | None = None, *, name: str | None = None, run_in_parallel: bool = True
) -> InputGuardrail[Any] | Callable[[GuardrailFunction], InputGuardrail[Any]]:
    """Creates an `InputGuardrail` from the function `func`. Used as the decorator `@input_guardrail` or
    `@input_guardrail(name=...)`. `name` is the name of the guardrail (default: the name of the function).
    `run_in_parallel` is accepted for compatibility.
    """
    if func is not None:
        return InputGuardrail(func, name, run_in_parallel)
    return lambda f: InputGuardrail(f, name, run_in_parallel)


def _checked(output: Any, wanted: type[TOutput]) -> TOutput:
    """Returns the output of a guardrail function. Raises `UserError` if the output has a wrong type. The SDK's classes
    are allowed.
    """
    field = "behavior" if wanted is ToolGuardrailFunctionOutput else "tripwire_triggered"
    if not hasattr(output, field):
        raise UserError(f"A guardrail function must return a {wanted.__name__}, not {type(output).__name__}.")
    return cast("TOutput", output)


def check_guardrails(guardrails: Iterable[Any]) -> None:
    """Raises `UserError` for an invalid guardrail, because a guardrail that cannot run would allow everything."""
    for each in guardrails:
        if not hasattr(each, "run") or not hasattr(each, "get_name"):
            raise UserError(f"{each!r} is not a guardrail. Is @output_guardrail or @input_guardrail missing?")


class _RejectContent(TypedDict):
    type: Literal["reject_content"]
    message: str


class _Plain(TypedDict):
    type: Literal["allow", "raise_exception"]


@dataclass(slots=True)
class ToolGuardrailFunctionOutput:
    """The decision of a tool guardrail about a tool call. Created by `allow`, `reject_content` or `raise_exception`."""

    output_info: Any = None
    behavior: _RejectContent | _Plain = field(default_factory=lambda: _Plain(type="allow"))

    @classmethod
    def allow(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Returns a decision that allows the tool call. `output_info` is any value for the program's own use."""
        return cls(output_info)

    @classmethod
    def reject_content(cls, message: str, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Returns a decision that rejects the tool call. The model gets `message` as the output of the tool.
        `output_info` is any value for the program's own use.
        """
        return cls(output_info, _RejectContent(type="reject_content", message=message))

    @classmethod
    def raise_exception(cls, output_info: Any = None) -> ToolGuardrailFunctionOutput:
        """Returns a decision that blocks the tool call. An `error` event is emitted, and the model is informed that the
        call was blocked. `output_info` is any value for the program's own use.
        """
        return cls(output_info, _Plain(type="raise_exception"))


@dataclass(slots=True)
class ToolInputGuardrailData:
    """The argument of a tool input guardrail: the context of the tool call, with its arguments, and the agent that made
    the call.
    """

    context: ToolContext[Any]
    agent: RealtimeAgent[Any]


@dataclass(eq=False)
class ToolInputGuardrail(Generic[TContext]):
    """A check of a tool call before the tool runs. `guardrail_function` takes a `ToolInputGuardrailData` and returns a
    `ToolGuardrailFunctionOutput`. The function may be async."""

    guardrail_function: Callable[
        [ToolInputGuardrailData], ToolGuardrailFunctionOutput | Awaitable[ToolGuardrailFunctionOutput]
    ]
    name: str | None = None

    def get_name(self) -> str:
        return self.name or str(getattr(self.guardrail_function, "__name__", "guardrail"))

    async def run(self, data: ToolInputGuardrailData) -> ToolGuardrailFunctionOutput:
        return _checked(await user_code.call(self.guardrail_function, data), ToolGuardrailFunctionOutput)


class ToolGuardrailTripwireTriggered(RealtimeCoreError):
    """This exception means that a guardrail of a tool returned `raise_exception`. The session emits it in an `error`
    event. `guardrail` and `output` have the details.
    """

    def __init__(self, guardrail: Any, output: ToolGuardrailFunctionOutput) -> None:
        super().__init__(f"Tool guardrail {guardrail.get_name()} triggered its tripwire.")
        self.guardrail = guardrail
        self.output = output


class ToolInputGuardrailTripwireTriggered(ToolGuardrailTripwireTriggered):
    """This exception means that a guardrail of the tool's input returned `raise_exception`. The tool did not run."""


class ToolOutputGuardrailTripwireTriggered(ToolGuardrailTripwireTriggered):
    """This exception means that a guardrail of the tool's output returned `raise_exception`, after the tool had run."""


@dataclass(slots=True)
class ToolOutputGuardrailData(ToolInputGuardrailData):
    """The argument of a tool output guardrail: the context of the tool call, the agent that made the call, and the
    output of the tool.
    """

    output: Any


@dataclass(eq=False)
class ToolOutputGuardrail(Generic[TContext]):
    """A check of a tool's output. `guardrail_function` takes a `ToolOutputGuardrailData` and returns a
    `ToolGuardrailFunctionOutput`. The function may be async."""

    guardrail_function: Callable[
        [ToolOutputGuardrailData], ToolGuardrailFunctionOutput | Awaitable[ToolGuardrailFunctionOutput]
    ]
    name: str | None = None

    def get_name(self) -> str:
        return self.name or str(getattr(self.guardrail_function, "__name__", "guardrail"))

    async def run(self, data: ToolOutputGuardrailData) -> ToolGuardrailFunctionOutput:
        return _checked(await user_code.call(self.guardrail_function, data), ToolGuardrailFunctionOutput)


@overload
def tool_input_guardrail(func: Callable[..., Any]) -> ToolInputGuardrail[Any]: ...
@overload
def tool_input_guardrail(*, name: str | None = ...) -> Callable[[Callable[..., Any]], ToolInputGuardrail[Any]]: ...
def tool_input_guardrail(
    func: Callable[..., Any] | None = None, *, name: str | None = None
) -> ToolInputGuardrail[Any] | Callable[[Callable[..., Any]], ToolInputGuardrail[Any]]:
    """Creates a `ToolInputGuardrail` from the function `func`. Used as the decorator `@tool_input_guardrail` or
    `@tool_input_guardrail(name=...)`. `name` is the name of the guardrail (default: the name of the function).
    """
    if func is not None:
        return ToolInputGuardrail(func, name)
    return lambda f: ToolInputGuardrail(f, name)


@overload
def tool_output_guardrail(func: Callable[..., Any]) -> ToolOutputGuardrail[Any]: ...
@overload
def tool_output_guardrail(*, name: str | None = ...) -> Callable[[Callable[..., Any]], ToolOutputGuardrail[Any]]: ...
def tool_output_guardrail(
    func: Callable[..., Any] | None = None, *, name: str | None = None
) -> ToolOutputGuardrail[Any] | Callable[[Callable[..., Any]], ToolOutputGuardrail[Any]]:
    """Creates a `ToolOutputGuardrail` from the function `func`. Used as the decorator `@tool_output_guardrail` or
    `@tool_output_guardrail(name=...)`. `name` is the name of the guardrail (default: the name of the function).
    """
    if func is not None:
        return ToolOutputGuardrail(func, name)
    return lambda f: ToolOutputGuardrail(f, name)
