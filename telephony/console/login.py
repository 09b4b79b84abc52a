"""The HTTP routes with which a client of the console logs in and out.

```
POST /console/api/login     {"token": "..."}: sets the cookie
POST /console/api/logout    ends the session
GET  /console/api/me        the name and the scopes of this client
```
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from ..web.middleware import base_of, root_of
from ..web.phone_server import phone_of
from .access import COOKIE, HEADER, SESSION, Credential, Scope
from .bodies import json_of, text_of
from .console import console_of

__all__ = ["routes", "set_cookie"]


def routes() -> list[BaseRoute]:
    return [
        Route("/console/api/login", login_methods),
        Route("/console/api/login", log_in, methods=["POST"]),
        Route("/console/api/logout", log_out, methods=["POST"]),
        Route("/console/api/me", me),
    ]


async def login_methods(request: Request) -> Response:
    """Returns the ways to log in without a token, as JSON: `{"single_sign_on": true}`. The route needs no login."""
    return JSONResponse({"single_sign_on": phone_of(request).settings.telephony_oidc_issuer is not None})


async def log_in(request: Request) -> Response:
    """Begins a session. Returns 204 with the cookie, 401 for an invalid token, or 429 after too many attempts."""
    console = console_of(request)
    console.access.demand_own_page(request, Credential.THIS_MACHINE)
    given = text_of(await json_of(request), "token", max_chars=1000)
    value, _ = await console.access.log_in(given)
    response = Response(status_code=204)
    set_cookie(request, response, value)
    return response


async def log_out(request: Request) -> Response:
    """Ends the session of the cookie."""
    console = console_of(request)
    grant = await console.access.identify(request)
    if grant.credential is Credential.COOKIE:
        await console.access.log_out(grant)
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=_path(request))
    return response


async def me(request: Request) -> Response:
    """Returns the name and the scopes of this client, and the name of the header that its requests need."""
    grant = await console_of(request).access.identify(request)
    return JSONResponse(
        {
            "name": grant.name,
            "scopes": [each.value for each in Scope if each in grant.scopes],
            "numbers": sorted(grant.numbers),
            "can_log_out": grant.credential is Credential.COOKIE,
            "header": HEADER,
        },
        headers={"Cache-Control": "no-store"},
    )


def set_cookie(request: Request, response: Response, value: str) -> None:
    """Sets the login cookie. If this request came over TLS, the browser will send the cookie only over TLS."""
    is_secure = base_of(request, phone_of(request).settings.public_url).startswith("https")
    response.set_cookie(
        COOKIE,
        value,
        max_age=int(SESSION.total_seconds()),
        path=_path(request),
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )


def _path(request: Request) -> str:
    return root_of(request) or "/"
