"""Lets a supervisor speak to the caller in place of the agent (a take-over), over a WebSocket.

`WebSocket /console/api/calls/{sid}/take-over`. The client sends the audio of its microphone as binary messages (PCM, 16
bits, 8 kHz, mono). A text message gives the call back to the agent: `{"type": "hand-back", "said": "..."}`. The server
sends JSON:

```
{"state": "live", "id": "..."}    the caller hears the supervisor; `id` is the id of the take-over
{"state": "over"}                 this connection does not speak to the caller any more, and is closed with 1000
{"state": "over", "agent": "..."} the same, after a hand-back; `agent` is what the agent knows (`HandedBack`)
{"state": "failed", "error": "..."}
```

The state is `over` if the supervisor has handed the call back, if the call is over, or if another connection continues
the take-over.

A microphone sends audio all the time, also if nobody speaks. If no message arrives for 4 s, the connection counts as
lost, and is closed with 4408. If the connection is lost, the caller hears a filler. The client can connect again with
`?again=ID` within 4 s and continue. `ID` is the id of the take-over. The name of the login is not sufficient to
continue, because several persons may have the same login. After 4 s the agent gets the call back.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from realtime_core.audio import g711

from ..call.call import Call
from ..errors import AccessRefused, CallError
from ..records.access import Action, Scope
from .access import Grant
from .console import console_of
from .live_calls import live_call
from .taken_over import AGAIN, NOT_TAKEN_OVER

__all__ = ["routes"]

GRACE_S = 4.0
"""The time in seconds within which a supervisor who speaks to the caller can connect again after a lost connection.
After this time the agent gets the call back.
"""
QUIET_S = 4.0
"""The time in seconds without a message after which the connection of a supervisor counts as lost."""
_QUIET = 4408
_MAX_PIECE_BYTES = 16_000
"""The maximum size of a binary message in bytes: one second of audio."""
_MAX_SAID = 4000


def routes() -> list[BaseRoute]:
    return [WebSocketRoute("/console/api/calls/{sid}/take-over", take_over)]


@dataclass(slots=True)
class _TakeOver:
    """The supervisor who has taken over a call."""

    id: str
    """A random id, which only the client of this supervisor knows."""
    who: str
    connection: WebSocket
    """The newest connection of the supervisor. The caller hears no other connection."""


_take_overs: dict[Call, _TakeOver] = {}
"""The calls of this process that are taken over."""


async def take_over(websocket: WebSocket) -> None:
    """Lets a supervisor speak in place of the agent until the client sends `hand-back`."""
    console = console_of(websocket)
    call, grant = await live_call(websocket, Scope.CONTROL)
    again = websocket.query_params.get("again", "")
    await console.access.record(grant, Action.TAKE_OVER, call=call.sid, detail=AGAIN if again else "")
    await websocket.accept()
    try:
        if again:
            current = await _continue(call, grant, websocket, again)
        else:
            current = await _begin(call, grant, websocket, console.phone.sources.token())
    except CallError as error:
        await _close(websocket, 4409, {"state": "failed", "error": str(error)})
        if not again:
            await console.access.record(grant, Action.TAKE_OVER, call=call.sid, detail=NOT_TAKEN_OVER)
        return
    said = None
    is_quiet = False
    try:
        async with console.access.while_valid(grant):
            await websocket.send_json({"state": "live", "id": current.id})
            said = await _speaks(websocket, call, current)
    except TimeoutError:
        is_quiet = True
    except (WebSocketDisconnect, AccessRefused, OSError):
        pass
    finally:
        if said is None:
            console.background.start(_left(call, current, websocket), f"lost supervisor of {call.sid}")
    if said is not None:
        _take_overs.pop(call, None)
        # Before the audit: a slow database must not leave the caller in silence.
        known = await call.supervision.hand_back(said)
        await console.access.record(grant, Action.HAND_BACK, call=call.sid)
        await _close(websocket, 1000, {"state": "over", "agent": known.value})
    elif not _is_heard(call, current, websocket):
        await _close(websocket, 1000, {"state": "over"})
    elif is_quiet:
        await _close(websocket, _QUIET)


async def _close(websocket: WebSocket, code: int, message: dict[str, str] | None = None) -> None:
    """Sends a last message, and closes the connection. Does nothing if the client has already left."""
    with suppress(WebSocketDisconnect, RuntimeError, OSError):  # RuntimeError: the server has noticed the end before
        if message is not None:
            await websocket.send_json(message)
        await websocket.close(code)


async def _begin(call: Call, grant: Grant, websocket: WebSocket, take_over_id: str) -> _TakeOver:
    """Begins a take-over. Raises `CallError` if the take-over is not possible."""
    await call.supervision.take_over()
    current = _take_overs[call] = _TakeOver(take_over_id, grant.name, websocket)
    return current


async def _continue(call: Call, grant: Grant, websocket: WebSocket, take_over_id: str) -> _TakeOver:
    """Continues the take-over with this id, whose connection was lost. The server may not have noticed the loss. Raises
    `CallError` if the take-over is over, or if it is the take-over of another supervisor.
    """
    current = _take_overs.get(call)
    if current is None or (current.id, current.who) != (take_over_id, grant.name) or not call.supervision.is_active:
        raise CallError("The agent has the call again, or another supervisor has it.")
    current.connection = websocket
    await call.supervision.back()
    return current


def _is_heard(call: Call, current: _TakeOver, websocket: WebSocket) -> bool:
    """Returns whether the caller hears this connection of the supervisor. The caller does not hear the connection if
    the call or the take-over is over, or if a newer connection continues the take-over.
    """
    is_current = _take_overs.get(call) is current and current.connection is websocket
    return is_current and call.supervision.is_active and not call.ended


async def _speaks(websocket: WebSocket, call: Call, current: _TakeOver) -> str | None:
    """Plays the audio of the microphone until the supervisor gives the call back. Returns `said`: the supervisor's
    summary of the words that were spoken. Returns None at the first message after the end of the call or of the
    take-over, or after a newer connection. Raises `TimeoutError` if no message arrives for `QUIET_S` seconds.
    """
    while True:
        async with asyncio.timeout(QUIET_S):
            message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
        if not _is_heard(call, current, websocket):
            return None
        if (audio := message.get("bytes")) is not None:
            if len(audio) <= _MAX_PIECE_BYTES:
                call.supervision.hear(g711.encode(audio[: len(audio) // 2 * 2]))
        elif (said := _handed_back(message.get("text") or "")) is not None:
            return said


def _handed_back(text: str) -> str | None:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("type") != "hand-back":
        return None
    said = value.get("said")
    return said[:_MAX_SAID] if isinstance(said, str) else ""


async def _left(call: Call, current: _TakeOver, websocket: WebSocket) -> None:
    """Handles the loss of a supervisor's connection. After `GRACE_S` seconds, gives the call back to the agent, unless
    the supervisor has connected again, or the call is over.
    """
    if _is_heard(call, current, websocket):
        await call.supervision.away()
        await asyncio.sleep(GRACE_S)
    if _take_overs.get(call) is not current or current.connection is not websocket:
        return
    del _take_overs[call]
    if not call.ended:
        await call.supervision.hand_back()
