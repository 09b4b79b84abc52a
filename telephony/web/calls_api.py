"""`POST /calls` and `GET /calls/{id}`: calls on request, for this machine or the bearer of TELEPHONY_API_TOKEN.

```
POST /calls   {"to": "+14155550123", "data": {"name": "Ada"}, "message": "for a voicemail", "max_s": 180}
              Idempotency-Key: any text; the same key gives the same call, and never a second one
```
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from ..errors import CallRefused
from ..outbound.dialler import Dialler
from ..outbound.do_not_call import care_of
from ..outbound.placed import PlacedCall
from ..outbound.plan import GREETING, CallPlan, LeaveMessage

if TYPE_CHECKING:
    from .phone import Phone

__all__ = ["create_call", "fetch_call", "open_dialler"]

MAX_BYTES = 64 * 1024
_MAX_KEYS = 10_000


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")

    to: str
    data: dict[str, Any] = {}
    greeting: str | None = None
    message: str | None = None
    max_s: float = Field(600.0, gt=0, le=14_400)
    ring_s: int = Field(30, ge=5, le=600)
    timezone: str | None = None

    def plan(self) -> CallPlan:
        message = None if self.message is None else LeaveMessage(self.message)
        return CallPlan(
            self.to,
            data=self.data,
            machine=message,
            greeting=self.greeting or GREETING,
            max_s=self.max_s,
            ring_s=self.ring_s,
            timezone=self.timezone,
        )


def open_dialler(phone: Phone) -> Dialler | None:
    """The application's, where an account, a number of ours and a public address are configured."""
    from ..twilio.rest import TwilioRest
    from ..twilio.signature import public_address

    settings = phone.settings
    number, base, rest = settings.twilio_phone_number, settings.public_url, phone.control
    if number is None or base is None or not isinstance(rest, TwilioRest):
        return None

    def address(what: str, token: str) -> str:
        return public_address(base, f"/i/{phone.instance}/outgoing-{what}/{token}")

    return Dialler(rest, from_=number, address=address, care=care_of(settings), sources=phone.sources)


async def create_call(request: Request) -> JSONResponse:
    """201 with the call, 200 for a key that was seen before; 4xx says what is wrong."""
    if (refused := _refuse(request)) is not None:
        return refused
    body = await _body(request)
    if body is None:
        return _problem(413, f"A body of more than {MAX_BYTES} bytes.")
    dialler: Dialler = request.app.state.dialler
    keys: OrderedDict[str, tuple[bytes, str]] = _keys(request)
    key, digest = request.headers.get("idempotency-key", ""), hashlib.sha256(body).digest()
    if key in keys:
        known, token = keys[key]
        if known != digest:
            return _problem(422, "This Idempotency-Key was used for another request.")
        return JSONResponse(_shown(dialler.calls.get(token), token), status_code=200)
    try:
        asked = _Asked.model_validate_json(body)
        call = dialler.place(asked.plan())
    except ValidationError as error:
        return _problem(400, "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors()))
    except CallRefused as error:
        return _problem(409, str(error))
    if key:
        keys[key] = digest, call.token
        if len(keys) > _MAX_KEYS:
            keys.popitem(last=False)
    return JSONResponse(_shown(call, call.token), status_code=201, headers={"Location": f"/calls/{call.token}"})


async def fetch_call(request: Request) -> JSONResponse:
    """200 with the call, 404."""
    if (refused := _refuse(request)) is not None:
        return refused
    token = request.path_params["id"]
    call = request.app.state.dialler.calls.get(token)
    if call is None:
        return _problem(404, "There is no such call, or it was long ago.")
    shown = _shown(call, token)
    if call.is_over:
        result = await call.finished()
        shown |= json.loads(json.dumps(asdict(result), default=str)) | {"reached": result.reached}
    return JSONResponse(shown)


def _shown(call: PlacedCall | None, token: str) -> dict[str, Any]:
    if call is None:
        return {"id": token}
    return {"id": token, "to": call.to, "sid": call.sid, "status": call.status, "over": call.is_over}


def _refuse(request: Request) -> JSONResponse | None:
    phone: Phone = request.app.state.phone
    if not phone.guard.admits_operator(request):
        return _problem(401, "This needs the bearer token TELEPHONY_API_TOKEN (set it, if it is not).")
    if getattr(request.app.state, "dialler", None) is None:
        return _problem(503, "No calls can be placed: set TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, "
                             "TWILIO_PHONE_NUMBER and PUBLIC_URL.")  # fmt: skip
    return None


def _keys(request: Request) -> OrderedDict[str, tuple[bytes, str]]:
    state = request.app.state
    if not hasattr(state, "call_keys"):
        state.call_keys = OrderedDict()
    keys: OrderedDict[str, tuple[bytes, str]] = state.call_keys
    return keys


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            return None
    return bytes(body)


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)
