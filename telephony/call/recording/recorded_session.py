"""The session of a call as users' code gets it. Commands are written to the journal and then passed to the real
session. All other methods are those of the real session.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Self, TypeVar

from realtime_core import RealtimeSession
from realtime_core.outbox import PostAudio

from ..model_formats import without_formats
from .cut_causes import cutting
from .recorded_commands import RecordedCommands, cut_cause

if TYPE_CHECKING:
    from realtime_core import (
        RealtimeAgent,
        RealtimeItem,
        RealtimeModel,
        RealtimeSessionModelSettings,
        RunContextWrapper,
    )
    from realtime_core.config import RealtimeUserInput
    from realtime_core.event_streams import EventHandler, EventStream
    from realtime_core.events import RealtimeSessionEvent
    from realtime_core.session import SessionStatus
    from realtime_core.usage import Usage

__all__ = ["RecordedSession"]

_Command = TypeVar("_Command", bound=Callable[..., Awaitable[None]])


def _recorded(command: _Command) -> _Command:
    """Returns a command that records each call and its arguments, and then calls the original command."""
    _, *names = inspect.signature(command).parameters

    @wraps(command)
    async def recorded(self: RecordedSession, *positional: Any, **named: Any) -> None:
        arguments = {**dict(zip(names, positional, strict=False)), **named}
        work = command(self, *positional, **named)
        await self._commands.run(f"session.{command.__name__}", work, **arguments)

    return recorded  # type: ignore[return-value]  # it has the signature of `command`


class RecordedSession(RealtimeSession):
    """Passes all method calls to a session, and writes the commands to the journal. The methods are documented in
    `RealtimeSession`.
    """

    def __init__(self, session: RealtimeSession, commands: RecordedCommands) -> None:
        self._session = session
        self._commands = commands

    # --- recorded ----------------------------------------------------------------------------------------------------

    @_recorded
    async def send_message(self, message: RealtimeUserInput, *, respond: bool = True) -> None:
        await self._session.send_message(message, respond=respond)

    @_recorded
    async def request_response(self, instructions: str | None = None, **options: Any) -> None:
        await self._session.request_response(instructions, **options)

    @_recorded
    async def cancel_response(self, response_id: str | None = None) -> None:
        await self._session.cancel_response(response_id)

    @_recorded
    async def update_settings(self, settings: RealtimeSessionModelSettings) -> None:
        await self._session.update_settings(without_formats(settings))

    @_recorded
    async def pause_responses(self) -> None:
        await self._session.pause_responses()

    @_recorded
    async def resume_responses(self) -> None:
        await self._session.resume_responses()

    @_recorded
    async def interrupt(self) -> None:
        with cutting(cut_cause()):
            await self._session.interrupt()

    @_recorded
    async def approve_tool_call(self, call_id: str, *, always: bool = False) -> None:
        await self._session.approve_tool_call(call_id, always=always)

    @_recorded
    async def reject_tool_call(
        self, call_id: str, *, always: bool = False, rejection_message: str | None = None
    ) -> None:
        await self._session.reject_tool_call(call_id, always=always, rejection_message=rejection_message)

    # --- not recorded ------------------------------------------------------------------------------------------------

    @property
    def model(self) -> RealtimeModel:
        return self._session.model

    @property
    def context(self) -> RunContextWrapper[Any]:
        return self._session.context

    @property
    def usage(self) -> Usage:
        return self._session.usage

    @property
    def current_agent(self) -> RealtimeAgent[Any]:
        return self._session.current_agent

    @property
    def history(self) -> list[RealtimeItem]:
        return self._session.history

    @property
    def status(self) -> SessionStatus:
        return self._session.status

    async def __aenter__(self) -> Self:
        await self._session.__aenter__()
        return self

    async def close(self) -> None:
        await self._session.close()

    def __aiter__(self) -> AsyncIterator[RealtimeSessionEvent]:
        return self._session.__aiter__()

    async def __anext__(self) -> RealtimeSessionEvent:
        return await self._session.__anext__()

    def events(self, *types: str) -> EventStream:
        return self._session.events(*types)

    def subscribe(self, *types: str) -> EventStream:
        return self._session.subscribe(*types)

    def add_handler(self, handler: EventHandler) -> None:
        self._session.add_handler(handler)

    def remove_handler(self, handler: EventHandler) -> None:
        self._session.remove_handler(handler)

    async def send_audio(self, audio: bytes, *, commit: bool = False) -> None:
        await self._session.send_audio(audio, commit=commit)

    @property
    def post_audio(self) -> PostAudio:
        return self._session.post_audio

    async def update_history(
        self, history: Sequence[RealtimeItem] | Callable[[list[RealtimeItem]], Sequence[RealtimeItem]]
    ) -> None:
        await self._session.update_history(history)

    async def update_agent(self, agent: RealtimeAgent[Any]) -> None:
        await self._session.update_agent(agent)
