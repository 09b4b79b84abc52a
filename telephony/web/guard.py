"""Who may come in. With a secret only what Twilio signed; without one only this machine itself."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from ..logs import Repeats
from ..settings import Settings, is_loopback
from ..twilio.signature import check, explain, other_slash, signed_for
from .entrance import asked_for

__all__ = ["Guard"]

log = logging.getLogger(__name__)

_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""What proxies add. One that adds nothing may still give itself away by HTTP/1.0, as nginx does by default."""


class Guard:
    """Decides on webhooks, on the upgrade of media streams and on the operator's endpoints.

    What it refuses is logged once for each kind and then once a minute at most, with the number of the others: anybody
    can send nonsense, and the log is no place for it. `on_refused` is told of every one.
    """

    def __init__(self, settings: Settings, *, on_refused: Callable[[str], None] = lambda kind: None) -> None:
        self._settings = settings
        self._keys = settings.signing_keys
        self._on_refused = on_refused
        self._repeats = Repeats(log)

    def admits_webhook(self, request: HTTPConnection, form: Mapping[str, Any]) -> bool:
        """`form` is that of a POST; for a GET, whose parameters are part of the URL, it is empty."""
        return self._admits(request, form, websocket=False)

    def admits_stream(self, websocket: HTTPConnection) -> bool:
        return self._admits(websocket, {}, websocket=True)

    def mismatch(self, request: HTTPConnection, form: Mapping[str, Any]) -> tuple[str, str] | None:
        """For a webhook that is refused, but signed by somebody who has our secret: the address that it is signed for,
        and the one that PUBLIC_URL makes it. Twilio's debugger shows them, and `telephony doctor` reads them."""
        if not self._settings.checks_signatures or (public_url := self._settings.public_url) is None:
            return None
        url = asked_for(request, public_url, websocket=False)
        signature = request.headers.get("x-twilio-signature")
        settings = request.headers.get("x-twilio-webhooks-signature-settings")
        theirs = signed_for(self._keys, url, form, signature, settings, asked=str(request.url))
        return None if theirs is None else (theirs, url)

    def admits_operator(self, request: HTTPConnection) -> bool:
        """Does it bear TELEPHONY_API_TOKEN? Without one: is it this machine, and can nobody else come? Behind a proxy
        that tells nothing of itself the whole world looks local."""
        token = self._settings.telephony_api_token
        if token is None:
            return self._settings.public_url is None and _is_local(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), token.get_secret_value().encode()
        )

    def _admits(self, connection: HTTPConnection, form: Mapping[str, Any], *, websocket: bool) -> bool:
        public_url = self._settings.public_url
        what = "a media stream" if websocket else "a webhook"
        if not self._settings.checks_signatures or public_url is None:
            if self._settings.telephony_allow_unsigned or _is_local(connection):
                return True
            self._refuse(
                "not local",
                f"Refused {what}: without TWILIO_AUTH_TOKEN and PUBLIC_URL only this machine is served, and directly.",
            )
            return False
        url = asked_for(connection, public_url, websocket=websocket)
        signature = connection.headers.get("x-twilio-signature")
        settings = connection.headers.get("x-twilio-webhooks-signature-settings")
        fault = check(self._keys, url, form, signature, settings)
        if fault is None:
            return True
        if websocket and fault == "mismatch":
            # Not documented, but told of: the upgrade's URL is signed with a slash that the TwiML did not have.
            other = other_slash(url)
            if check(self._keys, other, form, signature, settings) is None:
                self._repeats.info("slash", f"A media stream is signed for {other!r}, not {url!r}; let in.")
                return True
        asked = str(connection.url)
        why = explain(fault, self._keys, url, form, signature, settings, asked=asked)
        self._refuse(fault, f"Refused {what}: {why}")
        return False

    def _refuse(self, kind: str, message: str) -> None:
        self._on_refused(kind)
        self._repeats.warning(kind, message)


def _is_local(connection: HTTPConnection) -> bool:
    """From this machine, to this machine, through no proxy: a tunnel or a page of some other site is none of it."""
    client = connection.client
    if client is None or not is_loopback(client.host):
        return False
    if any(name in connection.headers for name in _OF_PROXIES) or connection.scope.get("http_version") == "1.0":
        return False
    return is_loopback(connection.url.hostname or "") and _is_local_origin(connection.headers.get("origin"))


def _is_local_origin(origin: str | None) -> bool:
    if origin is None:
        return True
    try:
        return is_loopback(urlsplit(origin).hostname or "")
    except ValueError:
        return False
