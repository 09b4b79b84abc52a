"""Single sign-on with OpenID Connect. The provider identifies a person, and the settings list the admitted persons.

```
GET /console/oidc/login      to the provider
GET /console/oidc/callback   back from the provider: begins the session of the person
```

Uses the authorization code flow with PKCE, a state and a nonce (https://openid.net/specs/openid-connect-core-1_0.html).
The verifier, the state and the nonce are stored in a cookie of the browser, so any process can answer the callback.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from importlib.util import find_spec
from typing import Any, cast
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ..errors import AccessRefused, ConsoleError, SettingsError
from ..records.access import Scope
from ..setting_values import is_loopback
from ..settings import Settings
from ..web.middleware import base_of, root_of
from ..web.phone_server import phone_of
from .console import console_of
from .files import page_file
from .login import set_cookie

__all__ = ["check_extra", "is_admitted", "routes"]

log = logging.getLogger(__name__)

_COOKIE = "telephony_oidc"
_COOKIE_S = 600
_TIMEOUT_S = 10.0
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]


def check_extra(settings: Settings) -> None:
    """Raises `SettingsError` if single sign-on is configured and its library (extra `oidc`) is not installed."""
    if settings.telephony_oidc_issuer is not None and find_spec("authlib") is None:
        raise SettingsError(
            ["TELEPHONY_OIDC_ISSUER: single sign-on needs authlib: pip install 'telephony-agent[oidc]'"]
        )


def routes() -> list[BaseRoute]:
    return [Route("/console/oidc/login", begin), Route("/console/oidc/callback", callback)]


async def begin(request: Request) -> Response:
    """Begins the login: redirects the browser to the provider of TELEPHONY_OIDC_ISSUER. Returns 404 if this setting is
    empty.
    """
    phone = phone_of(request)
    provider = _Provider(phone.settings, _redirect_uri(request))
    state, nonce, verifier = (phone.sources.token(32) for _ in range(3))
    address = await asyncio.to_thread(provider.begin, state, nonce, verifier)
    response = RedirectResponse(address, status_code=303)
    response.set_cookie(
        _COOKIE,
        f"{state}.{nonce}.{verifier}",
        max_age=_COOKIE_S,
        path=_path(request),
        secure=_redirect_uri(request).startswith("https"),
        httponly=True,
        samesite="lax",  # the browser comes from the page of the login provider
    )
    return response


async def callback(request: Request) -> Response:
    """Ends the login: begins the session of a person whom the provider has identified. Returns 401 if the provider has
    not identified the person, and 403 if the person is not admitted.
    """
    console = console_of(request)
    phone = console.phone
    provider = _Provider(phone.settings, _redirect_uri(request))
    state, nonce, verifier = (*request.cookies.get(_COOKIE, "").split("."), "", "", "")[:3]
    if not state or not hmac.compare_digest(request.query_params.get("state", "").encode(), state.encode()):
        raise AccessRefused(401, "This login was not begun here, or took too long. Log in again.")
    if (error := request.query_params.get("error")) is not None:
        raise AccessRefused(401, f"The provider refused the login ({error[:100]}).")
    claims = await asyncio.to_thread(provider.finish, request.query_params.get("code", ""), nonce, verifier)
    email = str(claims.get("email") or "").lower()
    if claims.get("email_verified") is not True or not is_admitted(email, phone.settings.telephony_oidc_emails or ""):
        log.warning("A single sign-on was refused: its address is not verified, or not in TELEPHONY_OIDC_EMAILS.")
        raise AccessRefused(403, "This account is not admitted. An administrator adds it to TELEPHONY_OIDC_EMAILS.")
    scopes = frozenset(map(Scope, phone.settings.telephony_oidc_scopes.split()))
    value, _ = await console.access.log_in_person(email, scopes)
    # After a redirect from another site the browser would not send a cookie with SameSite=Strict. Therefore this page
    # opens the console.
    response = page_file("logged-in.html")
    set_cookie(request, response, value)
    response.delete_cookie(_COOKIE, path=_path(request))
    return response


def is_admitted(email: str, admitted: str) -> bool:
    """Returns whether a person with this e-mail address may log in: whether the list `admitted` contains the address or
    its domain. Example of a list: `ada@example.com @example.org`.
    """
    name, at, domain = email.rpartition("@")
    return bool(name and at and domain) and any(
        each in (email, f"@{domain}") for each in admitted.lower().replace(",", " ").split()
    )


class _Provider:
    """The OpenID provider. The methods of this class block."""

    def __init__(self, settings: Settings, redirect_uri: str) -> None:
        issuer, client_id = settings.telephony_oidc_issuer, settings.telephony_oidc_client_id
        secret = settings.telephony_oidc_client_secret
        if issuer is None or client_id is None:
            raise ConsoleError(404, "Single sign-on is not set up: set TELEPHONY_OIDC_ISSUER.")
        from authlib.integrations.requests_client import OAuth2Session

        self._issuer = issuer.rstrip("/")
        self._client_id = client_id
        self._session: Any = OAuth2Session(
            client_id,
            None if secret is None else secret.get_secret_value(),
            scope="openid email",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
        )

    def begin(self, state: str, nonce: str, verifier: str) -> str:
        """Returns the URL of the provider's login page."""
        endpoint = self._metadata()["authorization_endpoint"]
        address, _ = self._session.create_authorization_url(endpoint, state=state, nonce=nonce, code_verifier=verifier)
        return str(address)

    def finish(self, code: str, nonce: str, verifier: str) -> dict[str, Any]:
        """Exchanges the `code` for an ID token, checks the token, and returns its claims. Raises `AccessRefused` if the
        token is not valid.
        """
        from authlib.integrations.base_client import OAuthError
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        metadata = self._metadata()
        try:
            token = self._session.fetch_token(
                metadata["token_endpoint"], code=code, code_verifier=verifier, timeout=_TIMEOUT_S
            )
            keys = KeySet.import_key_set(cast("Any", self._get(metadata["jwks_uri"])))
            decoded = jwt.decode(str(token.get("id_token")), keys, algorithms=_ALGORITHMS)
            jwt.JWTClaimsRegistry(
                iss={"essential": True, "value": metadata["issuer"]},
                aud={"essential": True, "value": self._client_id},
                exp={"essential": True},
                nonce={"essential": True, "value": nonce},
            ).validate(decoded.claims)
        except (OAuthError, JoseError, ValueError, OSError) as error:
            log.warning("The login at %s failed: %s", self._issuer, type(error).__name__)
            raise AccessRefused(401, "The login at the provider failed. Log in again.") from None
        return dict(decoded.claims)

    def _metadata(self) -> dict[str, Any]:
        found = self._get(f"{self._issuer}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._issuer:
            raise ConsoleError(502, "The provider of TELEPHONY_OIDC_ISSUER names another issuer.")
        return found

    def _get(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            raise ConsoleError(502, "The provider of TELEPHONY_OIDC_ISSUER has to use https.")
        try:
            answer = self._session.get(url, withhold_token=True, timeout=_TIMEOUT_S)
            answer.raise_for_status()
            value: dict[str, Any] = answer.json()
        except (OSError, ValueError) as error:
            raise ConsoleError(502, f"The provider of TELEPHONY_OIDC_ISSUER fails: {type(error).__name__}.") from None
        return value


def _redirect_uri(request: Request) -> str:
    return f"{base_of(request, phone_of(request).settings.public_url)}/console/oidc/callback"


def _path(request: Request) -> str:
    return f"{root_of(request)}/console/oidc"
