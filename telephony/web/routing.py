"""Selects the agent that answers a call: by the called number, or with a function of the user."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError

from ..agent_choice import check_agent, chosen_agent
from ..call.call import CallInfo
from ..call.session import AgentSource
from ..twilio.numbers import e164, legible, text_of, tidy

__all__ = ["Agents", "Routing", "by_number", "name_of"]

T = TypeVar("T")

Agents = AgentSource | Mapping[str, AgentSource]
"""An agent, a function `(CallInfo) -> RealtimeAgent` (or a coroutine function) that selects an agent, or a mapping from
called numbers to such values.
"""


class Routing:
    """Knows which agent answers a call to a number of the application. `source` is an agent, or a function that selects
    the agent of a call from its `CallInfo`.
    """

    def __init__(self, agents: Agents | None) -> None:
        self._by_number: dict[str, AgentSource] | None = None
        agents = {} if agents is None else agents
        if isinstance(agents, Mapping):
            self._by_number = by_number(agents, "agent")
            for number, source in agents.items():
                check_agent(source, f"The agent for {number!r}")
            self.source: AgentSource = self._pick
        else:
            check_agent(agents, "create_app: agent")
            self.source = agents

    @property
    def names(self) -> dict[str, str]:
        """The names of the agents by called number. The key is empty if one agent answers all numbers."""
        sources = self._by_number if self._by_number is not None else {"": self.source}
        return {number: name_of(source) for number, source in sources.items()}

    def name(self, called: str) -> str:
        """Returns the name of the agent for this number, or of the function that selects the agent. Returns an empty
        text if no agent answers the number.
        """
        return self.names.get("" if self._by_number is None else _plain(called), "")

    def serves(self, called: str) -> bool:
        """Returns whether an agent answers this number."""
        return self._by_number is None or _plain(called) in self._by_number

    async def _pick(self, info: CallInfo) -> RealtimeAgent[Any]:
        assert self._by_number is not None
        return await chosen_agent(self._by_number[_plain(info.called)], info)  # the webhook has checked the number


def name_of(source: AgentSource) -> str:
    """Returns the name of an agent, or of the function that selects an agent."""
    return source.name if isinstance(source, RealtimeAgent) else getattr(source, "__name__", "agent")


def by_number(values: Mapping[Any, T], name: str) -> dict[str, T]:
    """Returns a mapping of the user with its called numbers in E.164. `name` names the values in messages. Raises
    `UserError` for an invalid number, and for two forms of one number.
    """
    found: dict[str, T] = {}
    for number, value in values.items():
        try:
            text = text_of(number)
            key = e164(text) if legible(text).startswith("+") else tidy(text)
        except ValueError as error:
            raise UserError(f"The {name} for {number!r} is never called: {error}.") from None
        if key in found:
            raise UserError(f"The {name} for {number!r} is given twice, in two forms of the number: remove one.")
        found[key] = value
    return found


def _plain(number: str) -> str:
    """Returns the number without separators. `sip:` and `client:` addresses are not changed."""
    return re.sub(r"[ ().-]", "", number) if number.lstrip().startswith("+") else number.strip()
