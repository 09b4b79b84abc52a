"""Which agent answers a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from realtime_core import RealtimeAgent, user_code
from realtime_core.errors import UserError

from ..call.call import CallInfo
from ..call.session import AgentSource
from ..twilio.numbers import e164, legible, tidy

__all__ = ["Agents", "Routing"]

Agents = AgentSource | Mapping[str, AgentSource]
"""An agent; a function `(CallInfo) -> RealtimeAgent` (or coroutine function) that picks one; or one of these for each
called number."""


class Routing:
    """`source` is what a call is run with."""

    def __init__(self, agents: Agents) -> None:
        self._by_number: dict[str, AgentSource] | None = None
        if isinstance(agents, Mapping):
            self._by_number = {_key(number): source for number, source in agents.items()}
            self.source: AgentSource = self._pick
        else:
            self.source = agents

    @property
    def names(self) -> dict[str, str]:
        """The agents' names by called number; the key is empty where one source answers all numbers."""
        sources = self._by_number if self._by_number is not None else {"": self.source}
        return {number: _name(source) for number, source in sources.items()}

    def serves(self, called: str) -> bool:
        """Is there an agent for this number?"""
        return self._by_number is None or _plain(called) in self._by_number

    async def _pick(self, info: CallInfo) -> RealtimeAgent[Any]:
        assert self._by_number is not None
        source = self._by_number[_plain(info.called)]  # the webhook has looked
        if isinstance(source, RealtimeAgent):
            return source
        picked: RealtimeAgent[Any] = await user_code.call(source, info)
        return picked


def _name(source: AgentSource) -> str:
    return source.name if isinstance(source, RealtimeAgent) else getattr(source, "__name__", "agent")


def _key(number: str) -> str:
    """Raises `UserError` for what no call can have as its called number."""
    if not legible(number).startswith("+"):
        return tidy(number)
    try:
        return e164(number)
    except ValueError as error:
        raise UserError(f"The agent for {number!r} is never called: {error}.") from None


def _plain(number: str) -> str:
    """`+1 (415) 555-0100` and `+14155550100` are one number; `sip:` and `client:` addresses stay as they are."""
    return re.sub(r"[ ().-]", "", number) if number.lstrip().startswith("+") else number.strip()
