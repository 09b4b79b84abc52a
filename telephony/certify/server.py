"""The webhooks and streams of the calls of `telephony certify`. The signature of each request is checked."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from twilio.request_validator import RequestValidator

from ..urls import as_websocket
from .leg import Leg

__all__ = ["CertifiedCall", "CertifyServer"]


@dataclass(slots=True)
class CertifiedCall:
    """One call that `telephony certify` makes between two numbers of the user, to check how Twilio behaves. `near` is
    the calling end, and `far` is the called end, each with the TwiML that it gets. The object also collects what Twilio
    reports about the call: the statuses, and who answered (`verdict`).
    """

    name: str
    near: Leg
    far: Leg
    near_twiml: str = "{stream}"
    far_twiml: str = "{stream}"
    statuses: list[str] = field(default_factory=list)
    verdict: str = ""
    fetched: int = 0


class CertifyServer:
    """The web application for the calls of `telephony certify`, which compares the real Twilio with the simulated one.
    Twilio requests its webhooks and connects its media streams under `base`, the public address. `token` is the auth
    token, with which the signature of each request is checked. `secret` is a part of all paths.
    """

    def __init__(self, base: str, token: str, secret: str) -> None:
        self.base = base.rstrip("/")
        self.call: CertifiedCall | None = None
        self.signed: dict[str, list[bool]] = defaultdict(list)
        """For each kind of request: whether each request had a valid signature for its address."""
        self._validator = RequestValidator(token)
        self._secret = secret
        self.app = Starlette(
            routes=[
                Route(f"/certify/{secret}/{{side}}", self._twiml, methods=["GET", "POST"]),
                Route(f"/certify/{secret}/{{side}}/{{kind}}", self._callback, methods=["GET", "POST"]),
                WebSocketRoute(f"/certify-stream/{secret}/{{side}}", self._stream),
            ]
        )

    def address(self, side: str, kind: str = "") -> str:
        return f"{self.base}/certify/{self._secret}/{side}" + (f"/{kind}" if kind else "")

    def document(self, side: str) -> str:
        """Returns the TwiML for one end of the call. `side` is `near` (the calling end) or `far` (the called end)."""
        assert self.call is not None
        url = as_websocket(f"{self.base}/certify-stream/{self._secret}/{side}")
        action = self.address(side)
        stream = f'<Connect action="{action}"><Stream url="{url}"/></Connect>'
        template = self.call.near_twiml if side == "near" else self.call.far_twiml
        return f"<Response>{template.format(stream=stream)}</Response>"

    async def _twiml(self, request: Request) -> Response:
        await self._check(request, "webhook")
        side = request.path_params["side"]
        if self.call is None:
            return Response("<Response><Hangup/></Response>", media_type="text/xml")
        self.call.fetched += 1
        return Response(self.document(side), media_type="text/xml")

    async def _callback(self, request: Request) -> Response:
        form = await self._check(request, "callback")
        if (call := self.call) is not None and request.path_params["kind"] == "status":
            call.statuses.append(form.get("CallStatus", ""))
        elif call is not None and request.path_params["kind"] == "machine":
            call.verdict = form.get("AnsweredBy", "")
        return Response("<Response/>", media_type="text/xml")

    async def _check(self, request: Request, kind: str) -> dict[str, str]:
        form = {name: str(value) for name, value in (await request.form()).items()} if request.method == "POST" else {}
        url = self.base + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        self.signed[kind].append(self._validator.validate(url, form, request.headers.get("x-twilio-signature", "")))
        return form

    async def _stream(self, socket: WebSocket) -> None:
        url = as_websocket(self.base) + socket.url.path
        self.signed["stream"].append(self._validator.validate(url, {}, socket.headers.get("x-twilio-signature", "")))
        await socket.accept()
        if self.call is not None:
            await (self.call.near if socket.path_params["side"] == "near" else self.call.far).serve(socket)
