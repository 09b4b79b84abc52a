"""Stores tool calls that wait for the approval of the user."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import user_code
from .run_context import ToolContext
from .tools import Tool

if TYPE_CHECKING:
    from .agent import RealtimeAgent

__all__ = ["REJECTION_MESSAGE", "Approvals", "Decision", "ToolOf", "needs_approval"]

REJECTION_MESSAGE = "Tool execution was not approved."


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about a tool call: whether the call is approved. `message` is the text for the model after a
    rejection. None means the default text.
    """

    approved: bool
    message: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ToolOf:
    """A tool of one agent. Two agents can have different tools with the same name."""

    agent: RealtimeAgent[Any]
    name: str

    def is_same(self, other: ToolOf) -> bool:
        return self.agent is other.agent and self.name == other.name


class Approvals:
    """Stores the decisions of the user (approved or rejected) about tool calls. A decision is about one tool call, or
    about all calls of a tool of an agent in this session (`always`).
    """

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[ToolOf, asyncio.Future[Decision]]] = {}
        self._always: list[tuple[ToolOf, Decision]] = []

    def always(self, tool: ToolOf) -> Decision | None:
        """Returns the decision about all calls of the tool, or None if there is no such decision."""
        return next((decision for known, decision in self._always if known.is_same(tool)), None)

    async def decision(self, call_id: str, tool: ToolOf, ask: Callable[[], None]) -> Decision:
        """Returns the decision about a tool call. If no decision is known, calls the function `ask`, which asks the
        user for a decision, and waits until `decide` is called. Does not wait if `decide` was called with `always` for
        an earlier call of the tool.
        """
        if (known := self.always(tool)) is not None:
            return known
        decided: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = (tool, decided)
        try:
            ask()
            return await decided
        finally:
            del self._waiting[call_id]

    def decide(self, call_id: str, decision: Decision, *, always: bool) -> bool:
        """Stores `decision` as the decision about a waiting call. With `always`, also decides about the other waiting
        calls and all later calls of this agent's tool. Returns False and does nothing if no such call waits.
        """
        if call_id not in self._waiting:
            return False
        tool = self._waiting[call_id][0]
        if always:
            self._always.append((tool, decision))
        for other_id, (other, decided) in self._waiting.items():
            if (other_id == call_id or (always and other.is_same(tool))) and not decided.done():
                decided.set_result(decision)
        return True

    def end(self) -> None:
        """Rejects all tool calls that wait for an approval, because the session has ended."""
        for _, decided in self._waiting.values():
            if not decided.done():
                decided.set_result(Decision(approved=False))


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


async def needs_approval(tool: Tool, context: ToolContext[Any], arguments: str) -> bool:
    """Returns whether this call of the tool must wait for approval. `arguments` is JSON text. If the arguments are not
    a JSON object and the tool's approval function needs the arguments, the call must wait. NaN and Infinity are not
    JSON.
    """
    rule = getattr(tool, "needs_approval", False)
    if not callable(rule):
        return bool(rule)
    try:
        parsed = json.loads(arguments, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return True
    if not isinstance(parsed, dict):
        return True
    answer = await user_code.call(rule, context, parsed, context.tool_call_id)
    return bool(user_code.call_now(bool, answer))
