"""Calls users' hooks of agents and of runs, in order. Only the hooks around a tool that runs in this process are
awaited. All other hooks run in the background, so a slow hook does not delay the conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import user_code
from .bounded_queue import BoundedQueue
from .errors import UserError
from .session_core import SessionCore
from .user_code import UserCode

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .tools import HostedTool, Tool

__all__ = ["Hooks"]

_MAX_WAITING = 1000
_Call = tuple[Any, str, tuple[Any, ...]]


class Hooks:
    """Calls the `hooks` of the session's `run_config`, and then the hooks of the agent. An exception in a hook becomes
    an `error` event.
    """

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._run = core.run_config.get("hooks")
        self._waiting: BoundedQueue[_Call] = BoundedQueue(_MAX_WAITING)
        self._running = False
        self._is_full = False
        """Hooks were left out since the last one began."""

    def started(self, agent: RealtimeAgent[Any]) -> None:
        self._queue((self._run, "on_agent_start", (agent,)), (agent.hooks, "on_start", (agent,)))

    def ended(self, agent: RealtimeAgent[Any], output: str) -> None:
        self._queue((self._run, "on_agent_end", (agent, output)), (agent.hooks, "on_end", (agent, output)))

    def handed_off(self, source: RealtimeAgent[Any], target: RealtimeAgent[Any]) -> None:
        self._queue((self._run, "on_handoff", (source, target)), (target.hooks, "on_handoff", (target, source)))

    def hosted_tool_started(self, agent: RealtimeAgent[Any], tool: HostedTool) -> None:
        """Calls the hooks for a tool that the model's server runs. Does not wait for the hooks."""
        self._queue((self._run, "on_tool_start", (agent, tool)), (agent.hooks, "on_tool_start", (agent, tool)))

    def hosted_tool_ended(self, agent: RealtimeAgent[Any], tool: HostedTool, result: Any) -> None:
        args = (agent, tool, result)
        self._queue((self._run, "on_tool_end", args), (agent.hooks, "on_tool_end", args))

    async def tool_started(self, agent: RealtimeAgent[Any], tool: Tool) -> None:
        """Calls and awaits the hooks before the tool runs."""
        for hooks in (self._run, agent.hooks):
            await self._call((hooks, "on_tool_start", (agent, tool)))

    async def tool_ended(self, agent: RealtimeAgent[Any], tool: Tool, result: Any) -> None:
        for hooks in (self._run, agent.hooks):
            await self._call((hooks, "on_tool_end", (agent, tool, result)))

    def _queue(self, *calls: _Call) -> None:
        for call in calls:
            if call[0] is not None and not self._waiting.put(call) and not self._is_full:
                self._is_full = True
                error = UserError(f"{_MAX_WAITING} hooks wait, because an earlier one does not return.")
                self._core.failed(UserCode.HOOK, call[1], error)
        if self._waiting and not self._running:
            self._running = self._core.start(self._work(), "hooks") is not None

    async def _work(self) -> None:
        try:
            while self._waiting:
                self._is_full = False
                await self._call(self._waiting.popleft())
        finally:
            self._running = False

    async def _call(self, call: _Call) -> None:
        hooks, name, args = call
        hook = getattr(hooks, name, None)
        if hook is None:
            return
        try:
            await user_code.within(user_code.called(hook, self._core.context, *args))
        except Exception as error:  # noqa: BLE001  a user's code
            self._core.failed(UserCode.HOOK, name, error)
