"""Checks the signatures of webhooks and media streams, and the bearer token of operators.

If no secret is configured, only requests from this machine are admitted.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from ..allowance import Allowance
from ..logs import Repeats
from ..setting_values import is_loopback
from ..settings import Settings
from ..twilio.signature import Fault, SigningKeys, check, check_header, explain, other_slash, signed_for
from .forms import Form
from .middleware import signed_url

__all__ = ["Authenticator", "Unsigned"]

log = logging.getLogger(__name__)

SEARCHES_PER_S = 1.0
SEARCHES_AT_ONCE = 5
"""The maximum number of searches without a pause between them. A search follows a webhook with a wrong signature: it
finds the URL for which the signature is valid (`signed_for`), so the log can show the mistake. In the long run
`SEARCHES_PER_S` limits the number of searches per second.
"""
_OF_PROXIES = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
"""The headers that proxies add. A proxy that adds no header may use HTTP/1.0, which is the default of nginx."""


@dataclass(frozen=True, slots=True)
class Unsigned:
    """The refusal of a webhook without a valid signature.

    Usually both fields are None. Both fields are set if the signature was made with the configured auth token, but for
    another URL than expected: `signed_for` is the URL for which the signature was made, and `expected` is the URL from
    PUBLIC_URL. Twilio's debugger shows these URLs, and `telephony doctor` reads them.
    """

    signed_for: str | None = None
    expected: str | None = None


class AccountKeys(Protocol):
    """Finds the keys for checking the signatures of webhooks from Twilio accounts other than the account of the
    settings.
    """

    def keys_of(self, account_sid: str) -> Sequence[SigningKeys]: ...

    @property
    def all_keys(self) -> Sequence[SigningKeys]: ...


class Authenticator:
    """Admits or refuses webhooks, WebSocket upgrades of media streams, and requests of operators. `on_refused` gets the
    reason of every refusal.

    Any client can send invalid requests. Therefore only the first refusal with a reason, and then at most one in a
    minute, is logged. After an invalid signature, the log also names the URL that the sender has signed, if it was
    found. The search for this URL needs several checks of the signature, so the number of searches per second is
    limited.
    """

    def __init__(self, settings: Settings, *, on_refused: Callable[[str], None] = lambda kind: None) -> None:
        self.accounts: AccountKeys | None = None
        """The keys of further Twilio accounts, or None if only the account of the settings is used."""
        self._settings = settings
        self._keys = settings.signing_keys
        self._on_refused = on_refused
        self._repeats = Repeats(log)
        self._searches = Allowance(per_s=SEARCHES_PER_S, burst=SEARCHES_AT_ONCE)

    def admits_headers(self, request: HTTPConnection) -> bool:
        """Returns whether the headers can be those of a Twilio webhook. Must be called before the body is read."""
        if not self._checks:
            return self._admits_without_secret(request, "a webhook")
        faults = [check_header(keys, *_signature(request)) for keys in self._all_keys]
        fault = None if None in faults else faults[0]
        if fault is not None:
            self._reject("a webhook", fault, request, {}, websocket=False)
        return fault is None

    def choose(self, request: HTTPConnection, forms: Sequence[Form]) -> Form | Unsigned:
        """Checks the signature of a webhook. The body of a webhook can often be decoded in several ways, and `forms`
        are the possible results (see `forms.read_forms`). Returns the form to which the signature belongs. If the
        signature belongs to no form, returns the refusal. `admits_headers`, which checks the headers, must be called
        first.
        """
        if not self._checks:
            return forms[0]
        for form in forms:
            if self.is_signed(request, form):
                return form
        return self._reject("a webhook", "mismatch", request, _signed_part(request, forms[0]), websocket=False)

    def is_signed(self, request: HTTPConnection, form: Form, url: str | None = None) -> bool:
        """Returns whether the request with the fields `form` has a valid signature for `url`. With None, the URL is the
        one that Twilio uses for the path of the request. Returns False if no auth token is configured.

        The query parameters of a GET request are a part of the signed URL.
        """
        if not self._checks:
            return False
        url, signed = url or self._url(request), _signed_part(request, form)
        return any(check(keys, url, signed, *_signature(request)) is None for keys in self._keys_of(form))

    def admits_stream(self, websocket: HTTPConnection) -> bool:
        """Returns whether the upgrade of a media stream is admitted. The upgrade must have a valid signature. If no
        auth token is configured, the upgrade must come from this machine.
        """
        if not self._checks:
            return self._admits_without_secret(websocket, "a media stream")
        url = self._url(websocket, websocket=True)
        signature, settings = _signature(websocket)
        # The upgrade does not name the Twilio account. The `start` message names the account, and the account is
        # checked when this message arrives.
        faults = [check(keys, url, {}, signature, settings) for keys in self._all_keys]
        if None in faults:
            return True
        fault = next((each for each in faults if each == "mismatch"), faults[0])
        assert fault is not None
        if fault == "mismatch":
            # Users have reported an undocumented case: Twilio signs the URL with a slash at the end that the TwiML did
            # not have.
            other = other_slash(url)
            if any(check(keys, other, {}, signature, settings) is None for keys in self._all_keys):
                self._repeats.info("slash", f"A media stream is signed for {other!r}, not {url!r}. It is accepted.")
                return True
        self._reject("a media stream", fault, websocket, {}, websocket=True)
        return False

    def admits_operator(self, request: HTTPConnection) -> bool:
        """Returns whether the request has the token TELEPHONY_API_TOKEN.

        If no token is configured, returns whether the request comes from this machine and PUBLIC_URL is not set. With
        PUBLIC_URL, a proxy that adds no headers could make every request look local.
        """
        token = self._settings.telephony_api_token
        if token is None:
            return self._settings.public_url is None and _is_local(request)
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(
            given.strip().encode(), token.get_secret_value().encode()
        )

    @property
    def _all_keys(self) -> Sequence[SigningKeys]:
        return (self._keys, *(() if self.accounts is None else self.accounts.all_keys))

    def _keys_of(self, form: Form) -> Sequence[SigningKeys]:
        """Returns the signing keys of the Twilio account that the form names. If the account has keys of its own, only
        these keys are valid.
        """
        own = () if self.accounts is None else self.accounts.keys_of(form.get("AccountSid", ""))
        return own or (self._keys,)

    @property
    def _checks(self) -> bool:
        return self._settings.checks_signatures and self._settings.public_url is not None

    def _admits_without_secret(self, connection: HTTPConnection, what: str) -> bool:
        if self._settings.telephony_allow_unsigned:
            return True
        if _is_of_another_site(connection):
            self.refuse("another site", f"Refused {what}: a page of another site sent it.")
            return False
        if _is_local(connection):
            return True
        self.refuse(
            "not local",
            f"Refused {what}: without TWILIO_AUTH_TOKEN and PUBLIC_URL only this machine is served, without a proxy.",
        )
        return False

    def _reject(
        self, what: str, fault: Fault, connection: HTTPConnection, form: Mapping[str, Any], *, websocket: bool
    ) -> Unsigned:
        url = self._url(connection, websocket=websocket)
        signature, settings = _signature(connection)
        other = None
        if fault == "mismatch" and self._searches.spend(asyncio.get_running_loop().time()):
            received = str(connection.url)
            other = signed_for(self._keys, url, form, signature, settings, requested=received)
        kind = "" if other is None else f"signed for {other}"
        if other is not None:  # the sender has our secret, so this line is not suppressed
            self._repeats.count(fault)
        self.refuse(fault, lambda: f"Refused {what}: {explain(fault, url, settings, other)}", kind=kind)
        return Unsigned() if other is None else Unsigned(other, url)

    def refuse(self, reason: str, message: str | Callable[[], str], *, kind: str = "") -> None:
        """Counts a refusal by its reason and logs the refusal. The log gets at most one line per minute for each
        `kind`. By default `kind` is the reason.
        """
        self._on_refused(reason)
        self._repeats.warning(kind or reason, message)

    def _url(self, connection: HTTPConnection, *, websocket: bool = False) -> str:
        """Returns the URL that Twilio uses for this request."""
        return signed_url(connection, self._settings.public_url or "", websocket=websocket)


def _signature(connection: HTTPConnection) -> tuple[str | None, str | None]:
    headers = connection.headers
    return headers.get("x-twilio-signature"), headers.get("x-twilio-webhooks-signature-settings")


def _signed_part(request: HTTPConnection, form: Form) -> Mapping[str, Any]:
    return form.signed if request.scope["method"] == "POST" else {}


def _is_of_another_site(connection: HTTPConnection) -> bool:
    """Returns whether a browser sends this request from a page of another origin.

    All current browsers send the header `Sec-Fetch-Site`, also for images and for requests without permission
    (https://www.w3.org/TR/fetch-metadata/). A page from another port of this machine belongs to another program and
    counts as another origin.
    """
    return connection.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def _is_local(connection: HTTPConnection) -> bool:
    """Returns whether the request comes from this machine, is addressed to this machine, passed no proxy, and does not
    come from a page of another origin.
    """
    if _is_of_another_site(connection):
        return False
    client = connection.client
    if client is None or not is_loopback(client.host):
        return False
    if any(name in connection.headers for name in _OF_PROXIES) or connection.scope.get("http_version") == "1.0":
        return False
    if not is_loopback(connection.url.hostname or ""):
        return False
    origin = connection.headers.get("origin")
    return origin is None or origin.partition("://")[2] == connection.headers.get("host")
