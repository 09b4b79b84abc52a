"""A client that places calls through a running server with `POST /calls`."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from realtime_core import RealtimeAgent
from realtime_core.errors import UserError
from realtime_core.sources import SYSTEM

from ..errors import ServerFailed
from ..outcomes.result_form import ResultType
from ..outcomes.transcript import Line
from ..twilio.numbers import text_of
from .call_request import CallRequest
from .plan import CallResult, LeaveMessage

__all__ = ["RemoteServer"]

log = logging.getLogger(__name__)

_POLL_S = 0.5
_TIMEOUT_S = 15.0


class RemoteServer:
    """A client of the running server at the URL `address`. `token` is the server's TELEPHONY_API_TOKEN."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address.rstrip("/")
        self._token = token

    async def run_call(
        self,
        to: str,
        *,
        agent: str | RealtimeAgent[Any] | None = None,
        result: type[Any] | None = None,
        machine: LeaveMessage | None = None,
        on_status: Callable[[str], None] = lambda status: None,
        **options: Any,
    ) -> CallResult[Any]:
        """Places a call to the number `to` through the server, and waits until the call is over. The arguments are
        those of `Telephony.run_call`, and `agent` is the name of an agent of the server. `on_status` is called with
        each new status of the call. If the task is cancelled, the server hangs up the call. Raises `ServerFailed`, and
        `UserError` for arguments that cannot be sent to a server.
        """
        try:
            to = text_of(to)
        except ValueError as error:
            raise UserError(f"The request is not valid: to: {error}.") from None
        fields = {"to": to, **options, "agent": _name(agent)}
        if result is not None:
            fields["result"] = ResultType(result).schema
        if machine is not None and isinstance(machine.message, bytes):
            fields["clip"] = base64.b64encode(machine.message).decode()
        elif machine is not None:
            fields["message"] = machine.message
        body = _body(fields)
        key = SYSTEM.token()  # a repeated request places no second call
        placing = asyncio.ensure_future(self._ask("POST", "/calls", body, key))
        try:
            status, answer = await asyncio.shield(placing)
            if status == 409:
                return CallResult(to, "refused", error=answer["error"])
            while not answer.get("over"):
                on_status(str(answer.get("status", "")))
                await asyncio.sleep(_POLL_S)
                _, answer = await self._ask("GET", f"/calls/{answer['id']}", None, "")
        except asyncio.CancelledError:
            await asyncio.shield(self._hang_up(placing))
            raise
        return _result(answer, result)

    async def _hang_up(self, placing: asyncio.Future[tuple[int, Any]]) -> None:
        """Hangs up the call, even if it is not known whether the call was placed."""
        try:
            _, answer = await placing
            if "id" in answer:
                await self._ask("DELETE", f"/calls/{answer['id']}", None, "")
        except ServerFailed as error:
            log.error("The request to hang up failed: %s", error)

    async def _ask(self, method: str, path: str, body: bytes | None, key: str) -> tuple[int, Any]:
        for attempt in range(4):
            try:
                return await asyncio.to_thread(self._send, method, path, body, key)
            except urllib.error.HTTPError as error:
                with error:
                    answer = _problem(error.read())
                if error.code == 409:
                    return error.code, answer
                if error.code == 503 and "Retry-After" in error.headers and attempt < 3:
                    await asyncio.sleep(2.0**attempt)
                    continue
                raise ServerFailed(f"{self._address}{path}: {error.code}: {answer.get('error', '')}") from None
            except OSError as error:
                if attempt == 3:
                    raise ServerFailed(f"{self._address} does not answer: {error}") from error
                await asyncio.sleep(2.0**attempt)
        raise AssertionError

    def _send(self, method: str, path: str, body: bytes | None, key: str) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._address + path, body, headers, method=method)  # noqa: S310 - the user's address
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            return response.status, json.loads(response.read())


def _problem(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:  # a proxy's page
        answer = None
    return answer if isinstance(answer, dict) else {}


def _name(agent: str | RealtimeAgent[Any] | None) -> str | None:
    if agent is None or isinstance(agent, str):
        return agent
    raise UserError(
        "An agent cannot be sent to a server: give the name of one that it serves, agent='remind:agent' "
        "(telephony serve desk:agent --outgoing remind:agent)."
    )


def _body(fields: dict[str, Any]) -> bytes:
    """Returns the body of the request. The body is validated in this process, so errors are raised in this process."""
    try:
        json.dumps(fields)
    except (TypeError, ValueError) as error:
        raise UserError(f"data= and secrets= are sent to the server as JSON: {error}") from None
    try:
        return CallRequest.model_validate(fields).model_dump_json(exclude_unset=True).encode()
    except ValidationError as error:
        answer = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors())
        raise UserError(f"The request is not valid: {answer}.") from None


def _result(answer: dict[str, Any], wanted: type[Any] | None) -> CallResult[Any]:
    names = CallResult.__dataclass_fields__
    fields = {name: value for name, value in answer.items() if name in names}
    fields["transcript"] = tuple(Line(**line) for line in answer.get("transcript", ()))
    if wanted is not None and fields.get("output") is not None:
        fields["output"], problems = ResultType(wanted).check(fields["output"])
        if problems:  # a rule of the type that is not in its schema
            log.warning("The result of a call is not valid: %s", "; ".join(problems))
    return CallResult(**fields)
