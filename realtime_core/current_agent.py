"""The agent that a session has now. The program or a handoff can make another agent the current one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .acknowledgements import Acknowledge, Acknowledgements
from .agent_settings import ActiveAgent, activate
from .config import RealtimeSessionModelSettings
from .events import RealtimeHandoffEvent
from .handoffs import Handoff, checked_target
from .hooks import Hooks
from .model import RealtimeModel
from .model_inputs import RealtimeModelSendSessionUpdate
from .session_core import SessionCore
from .tools import within
from .user_code import called

if TYPE_CHECKING:
    from .agent import RealtimeAgent
    from .run_context import ToolContext

__all__ = ["CurrentAgent"]

_NOT_HANDED_OFF = (
    "The handoff to {target} failed: {reason} You are still {source}. Tell the user so, and help as far as you can."
)


class CurrentAgent:
    """The agent that a session has now. Another agent becomes current in the step in which the server accepts its
    settings. If the server refuses them, the agent stays.
    """

    def __init__(
        self,
        agent: RealtimeAgent[Any],
        settings: RealtimeSessionModelSettings,
        model: RealtimeModel,
        core: SessionCore,
        hooks: Hooks,
        acknowledgements: Acknowledgements,
    ) -> None:
        self.active = ActiveAgent(agent, settings, {}, {})
        self.settings = settings
        """The settings of the session, which an agent may replace."""
        self.voice_was_heard = False
        """Whether audio of an agent has come."""
        self._model = model
        self._core = core
        self._hooks = hooks
        self._acknowledgements = acknowledgements
        self._switching = asyncio.Lock()
        self._handing_off = asyncio.Lock()

    @property
    def agent(self) -> RealtimeAgent[Any]:
        return self.active.agent

    async def start(self, overrides: RealtimeSessionModelSettings) -> None:
        """Computes the settings of the agent with which the session starts. `overrides` have priority over them."""
        self.active = await self._activate(self.agent, overrides)

    async def change(self, agent: RealtimeAgent[Any]) -> None:
        """Makes another agent the current one without a handoff. Returns when the server has accepted or refused its
        settings. Raises the exceptions of dynamic instructions.
        """
        async with self._switching:
            await self._switch_to(await self._activate(agent))

    async def hand_off(
        self,
        handoff: Handoff[Any, Any],
        source: RealtimeAgent[Any],
        context: ToolContext[Any],
        arguments: str,
        answer: Callable[[str], Awaitable[object]],
    ) -> None:
        """Makes the agent of a handoff the current one, and then calls `answer` with the output of the tool call. The
        agent `source` has made the call. Waits for the server's answer first. In this order, the new agent responds,
        and the output reports the result.
        """
        async with self._handing_off:
            if self.agent is source:
                timeout_s = (self._core.run_config.get("tool_execution") or {}).get("timeout_seconds")
                invoked = called(handoff.on_invoke_handoff, context, arguments)
                target = checked_target(handoff, await within(timeout_s, invoked, handoff.tool_name))
            async with self._switching:
                # Another handoff came first, or users' code (perhaps `on_handoff`) has changed the current agent.
                if self.agent is not source:
                    output = "Multiple handoffs detected, ignoring this one."
                elif refusal := await self._switch_to(
                    await self._activate(target), lambda: self._handed_off(source, target)
                ):
                    output = _NOT_HANDED_OFF.format(target=target.name, source=source.name, reason=refusal)
                else:
                    output = handoff.get_transfer_message(target)
            await answer(output)

    def _handed_off(self, source: RealtimeAgent[Any], target: RealtimeAgent[Any]) -> None:
        self._core.emit(RealtimeHandoffEvent(source, target, self._core.info))
        self._hooks.handed_off(source, target)

    async def _activate(
        self, agent: RealtimeAgent[Any], overrides: RealtimeSessionModelSettings | None = None
    ) -> ActiveAgent:
        voice_is_fixed = self.voice_was_heard and not self._model.capabilities.changes_voice
        speaking = self.active.settings if voice_is_fixed else None
        context, run_config = self._core.context, self._core.run_config
        return await activate(agent, context, run_config, self.settings, overrides=overrides, voice_of=speaking)

    async def _switch_to(self, active: ActiveAgent, then: Callable[[], None] = lambda: None) -> Exception | None:
        """Requests an agent's settings from the server. When the server accepts the settings, the agent becomes
        current, and `then` is called in the same step. Returns the server's refusal, or None.
        """

        async def request(answered: Acknowledge) -> None:
            update = RealtimeModelSendSessionUpdate(active.settings, previous=self.active.settings, answered=answered)
            await self._core.deliver(update)
            if not self._model.capabilities.confirms_settings:
                answered(None)

        def accepted() -> None:
            self.active = active
            then()
            self._hooks.started(active.agent)

        return await self._acknowledgements.wait(request, accepted)
