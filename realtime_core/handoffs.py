"""Handoffs: the model calls a tool that passes the conversation to another agent."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from . import user_code
from .errors import ModelBehaviorError, UserError
from .run_context import RunContextWrapper, TContext
from .tools import MAX_NAME, ToolEnabled, check_name, is_enabled

if TYPE_CHECKING:
    from .agent import RealtimeAgent

__all__ = ["Handoff", "collect_enabled_handoffs", "filter_enabled_handoffs", "realtime_handoff"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    TAgent = TypeVarWithDefault("TAgent", default=Any)
else:
    TAgent = TypeVar("TAgent")
THandoffInput = TypeVar("THandoffInput")

OnHandoffWithInput = Callable[[RunContextWrapper[Any], THandoffInput], Any]
OnHandoffWithoutInput = Callable[[RunContextWrapper[Any]], Any]

_NO_INPUT: dict[str, Any] = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


@dataclass(eq=False)
class Handoff(Generic[TContext, TAgent]):
    """A tool that passes the conversation to another agent. Created by `realtime_handoff`."""

    tool_name: str
    tool_description: str
    input_json_schema: dict[str, Any]
    on_invoke_handoff: Callable[[RunContextWrapper[Any], str], Awaitable[TAgent]]
    """A function that is called with the context and the arguments as JSON text. Returns the agent that takes over."""
    agent_name: str
    input_filter: Callable[..., Any] | None = None
    """Must be None, because the server stores the conversation and the next agent's history cannot be filtered. A
    session refuses an agent with another value (`UserError`).
    """
    nest_handoff_history: bool | None = None
    """Must be None or False, because the server stores the conversation and the next agent's history cannot be changed.
    A session refuses an agent with another value (`UserError`).
    """
    strict_json_schema: bool = True
    is_enabled: ToolEnabled = field(default=True)
    target: TAgent | None = None
    """The agent that takes over. None if the target is not known before the call, because `on_invoke_handoff` selects
    it.
    """

    def get_transfer_message(self, agent: RealtimeAgent[Any]) -> str:
        """Returns the text that the model gets as the output of the handoff's tool call. `agent` is the agent that
        takes over.
        """
        return json.dumps({"assistant": agent.name}, ensure_ascii=False)

    @classmethod
    def default_tool_name(cls, agent: RealtimeAgent[Any]) -> str:
        """Returns `transfer_to_<agent name>` in lower case with underscores, cut to the length that the model
        allows.
        """
        return ("transfer_to_" + re.sub(r"[^a-zA-Z0-9_]", "_", agent.name).lower())[:MAX_NAME]

    @classmethod
    def default_tool_description(cls, agent: RealtimeAgent[Any]) -> str:
        return f"Handoff to the {agent.name} agent to handle the request. {agent.handoff_description or ''}".rstrip()


@overload
def realtime_handoff(
    agent: RealtimeAgent[TContext],
    *,
    tool_name_override: str | None = ...,
    tool_description_override: str | None = ...,
    is_enabled: ToolEnabled = ...,
) -> Handoff[TContext, RealtimeAgent[TContext]]: ...
@overload
def realtime_handoff(
    agent: RealtimeAgent[TContext],
    *,
    on_handoff: OnHandoffWithInput[THandoffInput],
    input_type: type[THandoffInput],
    tool_description_override: str | None = ...,
    tool_name_override: str | None = ...,
    is_enabled: ToolEnabled = ...,
) -> Handoff[TContext, RealtimeAgent[TContext]]: ...
@overload
def realtime_handoff(
    agent: RealtimeAgent[TContext],
    *,
    on_handoff: OnHandoffWithoutInput,
    tool_description_override: str | None = ...,
    tool_name_override: str | None = ...,
    is_enabled: ToolEnabled = ...,
) -> Handoff[TContext, RealtimeAgent[TContext]]: ...
def realtime_handoff(
    agent: RealtimeAgent[TContext],
    tool_name_override: str | None = None,
    tool_description_override: str | None = None,
    on_handoff: Callable[..., Any] | None = None,
    input_type: Any = None,
    is_enabled: ToolEnabled = True,
) -> Handoff[TContext, RealtimeAgent[TContext]]:
    """Creates a handoff to `agent`. The model sees the handoff as a tool. `tool_name_override` and
    `tool_description_override` replace the default name and description of this tool. `is_enabled` is True, False or a
    function, and decides whether the model sees the tool. An agent in the list `handoffs` has the same effect as a
    handoff with the default options.

    `on_handoff(context)`, plain or async, is called when the handoff happens. With `input_type` (any type that pydantic
    can validate), the model must give an input of that type, and `on_handoff(context, input)` is called.

    Raises `UserError` if `on_handoff` and `input_type` do not match.
    """
    _check_callback(on_handoff, input_type)
    adapter: Any = None
    schema = dict(_NO_INPUT)
    if input_type is not None:
        from pydantic import TypeAdapter

        from .patterns import check_patterns
        from .tool_schema import strict_schema

        adapter = TypeAdapter(input_type)
        check_patterns(adapter.core_schema, f"The handoff to {agent.name}")
        schema = strict_schema(adapter.json_schema())

    async def on_invoke_handoff(context: RunContextWrapper[Any], arguments: str) -> RealtimeAgent[TContext]:
        if on_handoff is not None:
            extra = () if adapter is None else (_read_input(adapter, arguments, agent.name),)
            await user_code.call(on_handoff, context, *extra)
        return agent

    return Handoff(
        tool_name=tool_name_override or Handoff.default_tool_name(agent),
        tool_description=tool_description_override or Handoff.default_tool_description(agent),
        input_json_schema=schema,
        on_invoke_handoff=on_invoke_handoff,
        agent_name=agent.name,
        is_enabled=is_enabled,
        target=agent,
    )


def _check_callback(on_handoff: Callable[..., Any] | None, input_type: Any) -> None:
    if on_handoff is None:
        if input_type is not None:
            raise UserError("realtime_handoff: `input_type` needs an `on_handoff` that takes the input.")
        return
    if not callable(on_handoff):
        raise UserError("realtime_handoff: `on_handoff` must be callable.")
    takes = ("context",) if input_type is None else ("context", "input")
    try:
        inspect.signature(on_handoff).bind(*takes)
    except ValueError:  # the function has no readable signature
        pass
    except TypeError:
        raise UserError(f"realtime_handoff: `on_handoff` must take ({', '.join(takes)}).") from None


def _read_input(adapter: Any, arguments: str, agent_name: str) -> Any:
    from pydantic import ValidationError

    try:
        return adapter.validate_json(arguments or "null", strict=True)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'input'}: {e['msg']}" for e in error.errors())
        raise ModelBehaviorError(f"Invalid input for the handoff to {agent_name}: {problems}") from None


def check_handoff(handoff: Any) -> None:
    """Raises `UserError` if `handoff`, an entry of an agent's `handoffs`, is neither an agent nor a handoff."""
    from .agent import RealtimeAgent

    if not isinstance(handoff, RealtimeAgent) and not _has_shape(handoff):
        raise UserError(f"{handoff!r} in `handoffs` must be a RealtimeAgent or the result of realtime_handoff.")
    if not isinstance(handoff, RealtimeAgent):
        check_name(handoff.tool_name)


def checked_target(handoff: Handoff[Any, Any], target: Any) -> RealtimeAgent[Any]:
    """Returns `target`, the result of `on_invoke_handoff`. Raises `UserError` if it is not an agent."""
    from .agent import RealtimeAgent

    if not isinstance(target, RealtimeAgent):
        raise UserError(f"on_invoke_handoff of {handoff.tool_name} must return a RealtimeAgent, not {target!r}.")
    return target


def _has_shape(handoff: Any) -> bool:
    return hasattr(handoff, "on_invoke_handoff") and hasattr(handoff, "tool_name")


def as_handoff(handoff: Any) -> Handoff[Any, RealtimeAgent[Any]]:
    """Converts an entry of `RealtimeAgent.handoffs` to a handoff. Raises `UserError` for another type, and for a
    handoff that filters the history.
    """
    from .agent import RealtimeAgent

    check_handoff(handoff)
    if isinstance(handoff, RealtimeAgent):
        return realtime_handoff(handoff)
    if getattr(handoff, "input_filter", None) is not None or getattr(handoff, "nest_handoff_history", None):
        raise UserError(
            f"Handoff {handoff.tool_name}: input_filter and nest_handoff_history do not work in a realtime session, "
            "because the server holds the conversation. Leave them out, or change the history by update_history()."
        )
    return cast("Handoff[Any, RealtimeAgent[Any]]", handoff)


async def filter_enabled_handoffs(
    handoffs: Iterable[Handoff[Any, Any]], context_wrapper: RunContextWrapper[Any], agent: RealtimeAgent[Any]
) -> list[Handoff[Any, Any]]:
    """Returns the handoffs that are enabled now. If `is_enabled` of a handoff is a function, it is called with
    `context_wrapper` and `agent`, and its exceptions are not caught.
    """
    listed = list(handoffs)
    enabled = await user_code.concurrently(*(is_enabled(handoff, context_wrapper, agent) for handoff in listed))
    return [handoff for handoff, is_on in zip(listed, enabled, strict=True) if is_on]


async def collect_enabled_handoffs(
    agent: RealtimeAgent[Any], context_wrapper: RunContextWrapper[Any]
) -> list[Handoff[Any, RealtimeAgent[Any]]]:
    """Returns the agent's enabled handoffs. Raises `UserError` for an invalid entry of `agent.handoffs`. If
    `is_enabled` of a handoff is a function, it is called with `context_wrapper` and `agent`, and its exceptions are not
    caught.
    """
    return await filter_enabled_handoffs(map(as_handoff, agent.handoffs), context_wrapper, agent)
