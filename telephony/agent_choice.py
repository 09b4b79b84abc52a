"""Finds the agent of a call: the agent of the application, or the agent that a function of the application selects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from realtime_core import RealtimeAgent, user_code
from realtime_core.errors import UserError

__all__ = ["check_agent", "chosen_agent"]


def check_agent(source: object, name: str) -> None:
    """Raises `UserError` if `source` is neither an agent nor a function that selects the agent of a call. `name` names
    the source in the message.
    """
    is_class_of_agents = isinstance(source, type) and issubclass(source, RealtimeAgent)
    if is_class_of_agents or (not isinstance(source, RealtimeAgent) and not callable(source)):
        raise UserError(f"{name}: give a RealtimeAgent, or a function that selects the agent, not {source!r:.80}.")


async def chosen_agent(source: RealtimeAgent[Any] | Callable[[Any], Any], info: Any) -> RealtimeAgent[Any]:
    """Returns the agent of a call. `source` is this agent, or a function of the application that selects the agent. The
    function gets `info`, the description of the call (`CallInfo`).

    Raises:
        UserError: the function did not return an agent.
        Exception: the function raised this exception.
    """
    chosen = source if isinstance(source, RealtimeAgent) else await user_code.call(source, info)
    if not isinstance(chosen, RealtimeAgent):
        name = getattr(source, "__name__", type(source).__name__)
        raise UserError(
            f"The function {name}, which selects the agent, must return a RealtimeAgent, not {type(chosen).__name__}."
        )
    return chosen
