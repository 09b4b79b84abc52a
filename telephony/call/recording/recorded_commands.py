"""Records the commands that users' code gives to a call and to the session of the call.

A replay repeats the commands of a tool without running the tool. Therefore each command has a `control` record with its
arguments and a `control.end` record with its result. Both records contain the name of the tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from ...journal.cuts import CutCause
from ..digits import Digits
from .recorder import CallRecorder

__all__ = ["OURS", "RecordedCommands", "current_tool", "cut_cause"]

_T = TypeVar("_T")

current_tool: ContextVar[str | None] = ContextVar("telephony_tool", default=None)
"""The `call_id` of the tool call whose code is running in this context, or None."""

OURS = ""
"""The value of `current_tool` while this package itself (and not users' code) gives commands to the call. A replay does
not repeat such commands from the journal, because the code of this package runs again and gives them.
"""


def cut_cause() -> CutCause:
    """Returns the cause of an interruption of the agent that code (and not the caller) makes now. The cause depends on
    the running code: a tool (`TOOL`), this package (`CALL`), or other code of the application (`API`).
    """
    tool = current_tool.get()
    return CutCause.API if tool is None else CutCause.CALL if tool is OURS else CutCause.TOOL


class RecordedCommands:
    """Records the commands of one call. The recorded arguments are JSON values without phone numbers and digits. The
    digest of a clip is recorded in place of the clip.
    """

    def __init__(self, record: CallRecorder) -> None:
        self._record = record
        self._count = 0

    async def run(self, action: str, work: Awaitable[_T], /, **arguments: Any) -> _T:
        """Awaits `work`, which carries out a command to the call, and returns its result. Writes one record to the
        call's journal before `work` and one after it. `action` is the name of the command. `arguments` are written to
        the first record, and the result or the exception to the second record. The exception is raised again.
        """
        end = self._begin(action, arguments)
        try:
            result = await work
        except asyncio.CancelledError:
            end(cancelled=True)
            raise
        except Exception as error:
            end(error=str(error) or type(error).__name__)
            raise
        end(**_outcome(result))
        return result

    @contextmanager
    def within(self, action: str, state: AbstractContextManager[None], /, **arguments: Any) -> Iterator[None]:
        """Enters the context `state`, and leaves this context at the end of the block. Writes one record at the start
        and one at the end. `action` is the name of the command in these records, and `arguments` are written to the
        first record.
        """
        end = self._begin(action, arguments)
        try:
            with state:
                yield
        finally:
            end()

    @asynccontextmanager
    async def within_async(self, action: str, state: AbstractAsyncContextManager[None], /) -> AsyncIterator[None]:
        """Enters the async context `state`, and leaves this context at the end of the block. Writes one record at the
        start and one at the end. `action` is the name of the command in these records.
        """
        end = self._begin(action, {})
        try:
            async with state:
                yield
        finally:
            end()

    def done(self, action: str, /, **arguments: Any) -> None:
        """Writes the records of a command that has already been executed: one record for the start and one for the end,
        with the same time. `action` is the name of the command, and `arguments` are written to the first record.
        """
        self._begin(action, arguments)()

    def _begin(self, action: str, arguments: Mapping[str, Any]) -> Any:
        self._count += 1
        nth, tool = self._count, current_tool.get()
        inside: dict[str, Any] = {} if tool is None else {"ours": True} if tool is OURS else {"tool": tool}
        self._record.write("control", id=nth, action=action, **inside, **arguments)
        return lambda **outcome: self._record.write("control.end", id=nth, action=action, **outcome)


def _outcome(result: Any) -> dict[str, Any]:
    if isinstance(result, Digits):
        return {"keys": len(result.value), "complete": result.complete}
    return {} if result is None else {"result": result}
