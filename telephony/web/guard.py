"""Who may come in. With an auth token only what Twilio signed; without one only this machine itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection

from ..settings import Settings, is_loopback
from ..twilio.signature import is_signed, public_address, websocket_address

__all__ = ["Guard"]

log = logging.getLogger(__name__)


class Guard:
    """Decides on webhooks and on the upgrade of media streams."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def admits_webhook(self, request: HTTPConnection, form: Mapping[str, Any]) -> bool:
        return self._admits(request, form, websocket=False)

    def admits_stream(self, websocket: HTTPConnection) -> bool:
        return self._admits(websocket, {}, websocket=True)

    def _admits(self, connection: HTTPConnection, form: Mapping[str, Any], *, websocket: bool) -> bool:
        token, public_url = self._settings.twilio_auth_token, self._settings.public_url
        if token is None or public_url is None:
            if _is_local(connection):
                return True
            log.warning(
                "Refused %s: without TWILIO_AUTH_TOKEN and PUBLIC_URL only this machine is served.", connection.url.path
            )
            return False
        if websocket:
            url = websocket_address(public_url, connection.url.path)
        else:
            url = public_address(public_url, connection.url.path, connection.url.query)
        if is_signed(token.get_secret_value(), url, form, connection.headers.get("x-twilio-signature")):
            return True
        log.warning("Refused a request: its X-Twilio-Signature does not fit %s (from PUBLIC_URL).", url)
        return False


def _is_local(connection: HTTPConnection) -> bool:
    """From this machine, to this machine, through no proxy: a tunnel or a page of some other site is none of it."""
    client = connection.client
    if client is None or not is_loopback(client.host):
        return False
    if any(name in connection.headers for name in ("forwarded", "x-forwarded-for", "x-forwarded-host")):
        return False
    return is_loopback(connection.url.hostname or "") and _is_local_origin(connection.headers.get("origin"))


def _is_local_origin(origin: str | None) -> bool:
    if origin is None:
        return True
    host = origin.partition("://")[2]
    return is_loopback(host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host)
