"""Finds the live call to which an HTTP request of the console refers. If another process has the call, the client is
redirected to this process.

A call belongs to one process. The call record contains the name of this process (the instance). A proxy sends requests
for `/i/INSTANCE/...` to the process with this name.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse
from starlette.websockets import WebSocket

from ..call.call import Call
from ..errors import CallElsewhere, ConsoleError
from ..records.access import Scope
from ..records.call_record import CallRecord
from ..web.middleware import root_of
from ..web.phone_server import PhoneServer
from .access import Grant, own_number
from .console import console_of

__all__ = ["call_elsewhere", "live_call"]


async def live_call(connection: HTTPConnection, scope: Scope) -> tuple[Call, Grant]:
    """Returns the live call whose CallSid is in the path, and the grant of the client (its name, scopes and phone
    numbers). Checks that the client has `scope` for this call.

    Raises:
        AccessRefused: the client is not allowed.
        CallElsewhere: another process has the call.
        ConsoleError: there is no such call (404), the call is over (409), or the process of the call does not answer
            (503).
    """
    console, sid = console_of(connection), str(connection.path_params["sid"])
    phone = console.phone
    call = phone.registry.call(sid)
    if call is not None:
        number = own_number(call.info.direction, call.caller, call.called)
        return call, await console.access.admit(connection, scope, number=number)
    grant = await console.access.admit(connection, scope)
    row = await phone.call_records.client.call(sid)
    if row is None or not grant.allows(scope, own_number(row.direction, row.caller, row.called)):
        raise ConsoleError(404, "There is no such call.")
    raise await _error_elsewhere(phone, connection, row)


async def _error_elsewhere(phone: PhoneServer, connection: HTTPConnection, row: CallRecord) -> ConsoleError:
    if row.over:
        return ConsoleError(409, "This call is over.")
    asked_for = connection.path_params.get("instance")
    is_alive = bool(row.process) and await phone.call_records.client.is_alive(row.process)
    if row.instance in ("", phone.instance, asked_for) or not is_alive:
        # The request was for the process of the call. A proxy sent the request to this process, because the other
        # process has ended.
        return ConsoleError(503, "The process of this call does not answer. If the caller is still there, another "
                                 "process continues the call soon.")  # fmt: skip
    return CallElsewhere(row.instance)


async def call_elsewhere(connection: Any, error: Exception) -> Any:
    """Returns the response that redirects a client to the process that has the call. An HTTP request gets the status
    307. A WebSocket is closed with the code 4307, and the reason is the path of the process.
    """
    assert isinstance(error, CallElsewhere)
    here = root_of(connection)
    base = f"{here}/i/{error.instance}"
    if isinstance(connection, Request):
        instance = connection.path_params.get("instance")
        before = here if instance is None else f"{here}/i/{instance}"
        path = connection.url.path.removeprefix(before)
        return RedirectResponse(f"{base}{path}", status_code=307)
    assert isinstance(connection, WebSocket)
    await connection.accept()
    await connection.close(4307, base)
    return None
