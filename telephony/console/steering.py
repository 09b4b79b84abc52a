"""Controls live calls: hangs up, transfers, approves or rejects tool calls, lets the agent say something, and listens.

```
POST /console/api/calls/{sid}/hang-up
POST /console/api/calls/{sid}/transfer   {"target": "kitchen", "warm": false}
POST /console/api/calls/{sid}/approve    {"call_id": "..."}
POST /console/api/calls/{sid}/reject     {"call_id": "...", "message": "..."}
POST /console/api/calls/{sid}/say        {"words": "..."}
WebSocket /console/api/calls/{sid}/listen
```

An accepted command gets the status 202. The journal of the call contains the result of the command (`control.end`).
Each command is written to the audit log before it is executed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..call.call import Call
from ..errors import CallError, ConsoleError, TwilioError
from ..records.access import Action, Scope
from .access import own_number
from .bodies import body_of, json_of, text_of
from .console import console_of
from .live_calls import live_call

__all__ = ["routes"]

log = logging.getLogger(__name__)

_MAX_WORDS = 1000


def routes() -> list[BaseRoute]:
    calls = "/console/api/calls/{sid}"
    return [
        Route(f"{calls}/hang-up", hang_up, methods=["POST"]),
        Route(f"{calls}/transfer", transfer, methods=["POST"]),
        Route(f"{calls}/approve", approve, methods=["POST"]),
        Route(f"{calls}/reject", reject, methods=["POST"]),
        Route(f"{calls}/say", say, methods=["POST"]),
        WebSocketRoute(f"{calls}/listen", listen),
    ]


async def hang_up(request: Request) -> Response:
    """Ends the live call in the path. If the process of the call does not answer, Twilio is asked to end the call."""
    console = console_of(request)
    try:
        call, grant = await live_call(request, Scope.CONTROL)
    except ConsoleError as error:
        if error.status != 503 or console.phone.control is None:
            raise
        return await _hang_up_at_twilio(request)
    await body_of(request)
    await console.access.record(grant, Action.HANG_UP, call=call.sid)
    return _started(request, call, call.supervision.hang_up())


async def _hang_up_at_twilio(request: Request) -> Response:
    """Asks Twilio to end a call whose process has ended."""
    console, sid = console_of(request), str(request.path_params["sid"])
    phone = console.phone
    row = await phone.call_records.client.call(sid)
    if row is None or row.sid is None or phone.control is None:
        raise ConsoleError(404, "There is no such call.")
    number = own_number(row.direction, row.caller, row.called)
    grant = await console.access.admit(request, Scope.CONTROL, number=number)
    await body_of(request)
    await console.access.record(grant, Action.HANG_UP, call=row.sid, detail="at Twilio, because its process is gone")
    try:
        await phone.control.hang_up(row.sid)
    except TwilioError as error:
        raise ConsoleError(502, str(error)) from None
    return JSONResponse({}, status_code=202)


async def transfer(request: Request) -> Response:
    """Transfers the caller to the `target` of the body, which must be one of the transfer targets of the call. With
    `warm`, the called person hears who is calling, and accepts or declines.
    """
    call, grant = await live_call(request, Scope.CONTROL)
    body = await json_of(request)
    target, warm = text_of(body, "target"), body.get("warm") is True or body.get("target") in call.warm_targets
    try:
        number = call.transfer_number(target)
    except CallError as error:
        raise ConsoleError(409, str(error)) from None
    await console_of(request).access.record(grant, Action.TRANSFER, call=call.sid, detail=f"to {target}")
    return _started(request, call, call.supervision.transfer(target, number, warm=warm))


async def approve(request: Request) -> Response:
    """Approves the tool call with the `call_id` of the body, which waits for approval."""
    call, grant = await live_call(request, Scope.CONTROL)
    call_id, tool = _waiting_tool(call, await json_of(request))
    await console_of(request).access.record(grant, Action.APPROVE, call=call.sid, detail=f"{tool} {call_id}")
    return _started(request, call, call.supervision.approve(call_id))


async def reject(request: Request) -> Response:
    """Rejects the tool call with the `call_id` of the body, which waits for approval. The model gets the `message`."""
    call, grant = await live_call(request, Scope.CONTROL)
    body = await json_of(request)
    call_id, tool = _waiting_tool(call, body)
    message = text_of(body, "message", max_chars=_MAX_WORDS) if "message" in body else None
    await console_of(request).access.record(grant, Action.REJECT, call=call.sid, detail=f"{tool} {call_id}")
    return _started(request, call, call.supervision.reject(call_id, message))


async def say(request: Request) -> Response:
    """Lets the agent say the `words` of the body to the caller."""
    call, grant = await live_call(request, Scope.CONTROL)
    words = text_of(await json_of(request), "words", max_chars=_MAX_WORDS)
    if call.supervision.is_active:
        raise ConsoleError(409, "The agent is silent while a supervisor speaks.")
    await console_of(request).access.record(grant, Action.SAY, call=call.sid)
    return _started(request, call, call.supervision.say(words))


async def listen(websocket: WebSocket) -> None:
    """Sends both sides of a live call as binary messages of stereo PCM (16 bits, 8 kHz). The left channel has the
    caller. The right channel has the audio that the caller hears. The WebSocket is closed with code 1000 at the end of
    the call. If the client does not read, audio is dropped.
    """
    console = console_of(websocket)
    call, grant = await live_call(websocket, Scope.LISTEN)
    await console.access.record(grant, Action.LISTEN, call=call.sid)
    await websocket.accept()
    with call.listen() as listener:
        async with console.access.while_valid(grant), until_closed(websocket):
            async for piece in listener:
                await websocket.send_bytes(piece)
            await websocket.close(1000)


class until_closed:
    """A context manager that cancels its block when the client closes the WebSocket. The block then ends without an
    error. Must be used only for a WebSocket on which the client sends nothing.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._closed = False

    async def __aenter__(self) -> None:
        block = asyncio.current_task()
        assert block is not None

        async def watch() -> None:
            while (await self._websocket.receive())["type"] != "websocket.disconnect":
                pass
            self._closed = True
            block.cancel()

        self._block, self._watching = block, asyncio.create_task(watch(), name="listening client")

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> bool:
        self._watching.cancel()
        if kind is asyncio.CancelledError and self._closed and self._block.uncancel() == 0:
            return True
        return kind is WebSocketDisconnect


def _waiting_tool(call: Call, body: dict[str, Any]) -> tuple[str, str]:
    """Returns the id and the name of the tool call that the request names. The tool call must wait for approval."""
    call_id = text_of(body, "call_id")
    tool = call.waiting_tools.get(call_id)
    if tool is None:
        raise ConsoleError(409, "No tool call with this id waits for approval. It may be decided already.")
    return call_id, tool


def _started(request: Request, call: Call, work: Coroutine[Any, Any, Any]) -> Response:
    """Runs a command of a supervisor in the background, and returns the response."""

    async def run() -> None:
        try:
            await work
        except CallError as error:
            log.warning("Call %s: a command of a supervisor failed: %s", call.sid, error)

    console_of(request).background.start(run(), f"supervisor of {call.sid}")
    return JSONResponse({}, status_code=202)
