"""A running server that makes the calls: a client of `POST /calls`."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

from realtime_core.sources import SYSTEM

from ..errors import ServerFailed
from .plan import CallResult, LeaveMessage, Line

__all__ = ["RemoteServer"]

_POLL_S = 0.5
_TIMEOUT_S = 15.0


class RemoteServer:
    """`token`: its TELEPHONY_API_TOKEN."""

    def __init__(self, address: str, token: str | None) -> None:
        self._address = address.rstrip("/")
        self._token = token

    async def run_call(
        self,
        to: str,
        *,
        data: dict[str, Any] | None = None,
        machine: LeaveMessage | None = None,
        greeting: str | None = None,
        max_s: float = 600.0,
        ring_s: int = 30,
        agent: None = None,
        result: None = None,
        detect: bool = True,
    ) -> CallResult[Any]:
        """Raises `ServerFailed`; and `ValueError` for what only this process could do."""
        if agent is not None or result is not None or (machine is not None and isinstance(machine.message, bytes)):
            raise ValueError("A server makes calls with its own agent: no agent=, no result=, no clip as a message.")
        asked = {
            "to": to,
            "data": data or {},
            "greeting": greeting,
            "message": None if machine is None else machine.message,
            "max_s": max_s,
            "ring_s": ring_s,
        }
        key = SYSTEM.token()  # a request that was not answered is asked again, and calls nobody twice
        status, told = await self._ask("POST", "/calls", asked, key)
        if status == 409:
            return CallResult(to, "refused", error=told["error"])
        while not told.get("over"):
            await asyncio.sleep(_POLL_S)
            _, told = await self._ask("GET", f"/calls/{told['id']}", None, "")
        return _result(told)

    async def _ask(self, method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
        for attempt in range(4):
            try:
                return await asyncio.to_thread(self._send, method, path, body, key)
            except urllib.error.HTTPError as error:
                with error:
                    told = json.loads(error.read() or b"{}")
                if error.code == 409:
                    return error.code, told
                if error.code == 503 and "Retry-After" in error.headers and attempt < 3:
                    await asyncio.sleep(2.0**attempt)
                    continue
                raise ServerFailed(f"{self._address}{path}: {error.code}: {told.get('error', '')}") from None
            except OSError as error:
                if attempt == 3:
                    raise ServerFailed(f"{self._address} does not answer: {error}") from error
                await asyncio.sleep(2.0**attempt)
        raise AssertionError

    def _send(self, method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, headers, method=method)  # noqa: S310 - as told
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:  # noqa: S310
            return response.status, json.loads(response.read())


def _result(told: dict[str, Any]) -> CallResult[Any]:
    names = CallResult.__dataclass_fields__
    fields = {name: value for name, value in told.items() if name in names}
    fields["transcript"] = tuple(Line(**line) for line in told.get("transcript", ()))
    return CallResult(**fields)
