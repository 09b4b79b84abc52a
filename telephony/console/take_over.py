"""Lets a supervisor speak to the caller in place of the agent (a take-over), over a WebSocket.

`WebSocket /console/api/calls/{sid}/take-over`. The client sends the audio of its microphone as binary messages (PCM, 16
bits, 8 kHz, mono). A text message gives the call back to the agent: `{"type": "hand-back", "said": "..."}`. The server
sends JSON:

```
{"state": "live"}          the caller hears the supervisor
{"state": "over"}          the agent has the call again, and the WebSocket is closed with 1000
{"state": "failed", "error": "..."}
```

A microphone sends audio all the time, also if nobody speaks. If no message arrives for 4 s, the connection counts as
lost, and is closed with 4408. If the connection is lost, the caller hears a filler. The same person can connect again
with `?again=1` within 4 s and continue. After 4 s the agent gets the call back.
"""

from __future__ import annotations

import asyncio
import json
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

__all__ = ["routes"]

GRACE_S = 4.0
"""The time in seconds within which a supervisor whose connection was lost can connect again."""
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

    who: str
    connections: int = 0
    """The number of times that this supervisor has connected again after a lost connection."""


_take_overs: dict[Call, _TakeOver] = {}
"""The calls of this process that are taken over."""


async def take_over(websocket: WebSocket) -> None:
    """Lets a supervisor speak in place of the agent until the client sends `hand-back`."""
    console = console_of(websocket)
    call, grant = await live_call(websocket, Scope.CONTROL)
    again = websocket.query_params.get("again") == "1"
    await console.access.record(grant, Action.TAKE_OVER, call=call.sid, detail="connected again" if again else "")
    await websocket.accept()
    try:
        current = await _begin(call, grant, again=again)
    except CallError as error:
        await websocket.send_json({"state": "failed", "error": str(error)})
        await websocket.close(4409)
        return
    nth = current.connections
    said = close_code = None
    try:
        async with console.access.while_valid(grant):
            await websocket.send_json({"state": "live"})
            said = await _speaks(websocket, call)
    except TimeoutError:
        close_code = _QUIET
    except (WebSocketDisconnect, AccessRefused, OSError):
        pass
    finally:
        if said is None:
            console.background.start(_left(call, current, nth), f"lost supervisor of {call.sid}")
    if said is None:
        if close_code is not None:
            await websocket.close(close_code)
        return
    _take_overs.pop(call, None)
    await call.supervision.hand_back(said)  # before the audit: a slow database must not leave the caller in silence
    await console.access.record(grant, Action.HAND_BACK, call=call.sid)
    await websocket.send_json({"state": "over"})
    await websocket.close(1000)


async def _begin(call: Call, grant: Grant, *, again: bool) -> _TakeOver:
    """Begins a take-over. With `again`, continues the take-over of the same person, whose connection was lost. The
    server may not have noticed the loss. Raises `CallError` if the take-over is not possible.
    """
    current = _take_overs.get(call)
    is_own = current is not None and current.who == grant.name and call.supervision.is_active
    if current is not None and is_own and (again or call.supervision.is_away):
        current.connections += 1
        await call.supervision.back()
        return current
    if again:
        raise CallError("The agent has the call again.")
    await call.supervision.take_over()
    current = _take_overs[call] = _TakeOver(grant.name)
    return current


async def _speaks(websocket: WebSocket, call: Call) -> str:
    """Plays the audio of the microphone until the supervisor gives the call back, or until the call is over. Returns
    `said`: the supervisor's summary of the words that were spoken. Raises `TimeoutError` if no message arrives for
    `QUIET_S` seconds.
    """
    while True:
        async with asyncio.timeout(QUIET_S):
            message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1005))
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


async def _left(call: Call, current: _TakeOver, nth: int) -> None:
    """Handles the loss of a supervisor's connection. After `GRACE_S` seconds, gives the call back to the agent, unless
    the supervisor has connected again.
    """
    if current.connections != nth:
        return
    await call.supervision.away()
    await asyncio.sleep(GRACE_S)
    if call.supervision.is_away and current.connections == nth:
        _take_overs.pop(call, None)
        await call.supervision.hand_back()
