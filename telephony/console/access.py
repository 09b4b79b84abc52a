"""Decides whether a client may use the console (by a bearer token, the login cookie, or because the client is on this
machine), and writes the clients' actions to the audit log.

A route calls `Access.admit` with the scope that the client needs. For a route about one call, `number` is the phone
number of this application in the call:

    grant = await console.access.admit(request, Scope.LISTEN, number=own_number(row.direction, row.caller, row.called))
    await console.access.record(grant, Action.LISTEN, call=sid)

`admit` raises `AccessRefused` if the client is not allowed. The application then answers with the status 401, 403 or
503 and a message. A WebSocket is closed with the code 4401, 4403 or 4503. A list calls `admit` without a number, and
leaves out the calls for which `grant.allows(scope, number)` is False.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from realtime_core.sources import Sources

from ..allowance import Allowance
from ..errors import AccessRefused, ConsoleError, RecordRefused, RecordsUnavailable
from ..records.access import (
    OPERATOR,
    SINGLE_SIGN_ON,
    THIS_MACHINE,
    Action,
    AuditEntry,
    AuditQuery,
    Scope,
    StoredToken,
    hash_secret,
    split_token,
    token_text,
)
from ..records.client import RecordsClient
from ..settings import Settings
from ..twilio.numbers import tidy
from ..web.authentication import Authenticator

__all__ = ["COOKIE", "HEADER", "Access", "Action", "Credential", "Grant", "Scope", "console_error", "own_number"]

COOKIE = "telephony_session"
HEADER = "x-telephony-console"
"""A header that the console's pages send with each request that is not a GET. The value is ignored. A form on another
site cannot send this header, so such a form cannot change anything (cross-site request forgery).
"""
SESSION = timedelta(hours=12)
RECHECK_S = 2.0
"""The interval in seconds at which a WebSocket or a feed checks that its token is still valid."""
_LOGINS_AT_ONCE = 5
_LOGINS_PER_S = 0.2
_OWN_PAGE = ("same-origin", "none")
"""The allowed values of the header Sec-Fetch-Site: a request of the console's own page, and a request for a URL that a
person typed (https://www.w3.org/TR/fetch-metadata/).
"""


class Credential(Enum):
    """The way in which a client of the console has proved its identity."""

    THIS_MACHINE = auto()
    """The client is on this machine, and no token is required."""
    BEARER = auto()
    COOKIE = auto()


@dataclass(frozen=True, slots=True)
class Grant:
    """What one authenticated client may do: the scopes and the phone numbers, with the client's name for the
    audit log.
    """

    name: str
    """The name of the token or of the person, for the audit log and the page."""
    credential: Credential
    scopes: frozenset[Scope] = frozenset(Scope)
    numbers: frozenset[str] = frozenset()
    """The phone numbers of this application whose calls the client may see and control. An empty set means all
    numbers.
    """
    token_id: str = ""
    """The id of the stored token or session. The text is empty if the client used TELEPHONY_API_TOKEN or is on this
    machine.
    """

    def allows(self, scope: Scope, number: str | None = None) -> bool:
        """Returns whether the client has this scope for calls of `number`, a phone number of this application. With
        None, returns whether the client has the scope for any calls.
        """
        return scope in self.scopes and (number is None or not self.numbers or tidy(number) in self.numbers)

    def demand(self, scope: Scope, number: str | None = None) -> None:
        """Raises `AccessRefused` if the client that has this grant may not use `scope` for calls of `number`, a phone
        number of this application. With None, only the scope is checked.
        """
        if scope not in self.scopes:
            raise AccessRefused(403, f"This needs a token with the scope `{scope.value}`.")
        if not self.allows(scope, number):
            raise AccessRefused(403, "This token is limited to calls of other numbers.")

    def demand_all_numbers(self) -> None:
        """Raises `AccessRefused` if the token is limited to some numbers."""
        if self.numbers:
            raise AccessRefused(403, "This needs a token that is not limited to some numbers.")


def own_number(direction: str, caller: str, called: str) -> str:
    """Returns the phone number of this application in a call. A token that is limited to some numbers is compared with
    this number.
    """
    return caller if direction.startswith("outbound") else called


class Access:
    """Decides whether a client may use the console, and writes the actions of clients to the audit log."""

    def __init__(
        self, settings: Settings, authenticator: Authenticator, client: RecordsClient, sources: Sources
    ) -> None:
        self._settings = settings
        self._authenticator = authenticator
        self._client = client
        self._sources = sources
        self._logins = Allowance(per_s=_LOGINS_PER_S, burst=_LOGINS_AT_ONCE)

    async def admit(self, connection: HTTPConnection, scope: Scope, *, number: str | None = None) -> Grant:
        """Checks that the client of `connection` has this scope, and returns the `Grant` of the client (what the client
        may do). A request that changes something, and every WebSocket, must come from the console's own page or from a
        program with a bearer token.

        Args:
            number: The phone number of this application in the call (`own_number`). None if the request is not about
                one call.

        Raises:
            AccessRefused: the client is unknown (401), the client does not have the scope or the number (403), or the
                database cannot be used (503).
        """
        grant = await self.identify(connection)
        grant.demand(scope, number)
        return grant

    async def identify(self, connection: HTTPConnection) -> Grant:
        """Returns the `Grant` of the client (what the client may do), without a check of its scopes. Raises
        `AccessRefused` if the client is unknown.
        """
        grant = await self._identify(connection)
        if connection.scope["type"] == "websocket" or connection.scope["method"] not in ("GET", "HEAD"):
            self.demand_own_page(connection, grant.credential)
        return grant

    async def still(self, grant: Grant) -> bool:
        """Returns whether the token of the grant is still valid. Also returns True if the database with the tokens
        cannot be reached, because the answer is then unknown.
        """
        if not grant.token_id:
            return True
        try:
            return await self._valid(grant.token_id) is not None
        except AccessRefused:
            return True

    @asynccontextmanager
    async def while_valid(self, grant: Grant) -> AsyncIterator[None]:
        """Cancels this block with `AccessRefused` soon after the token of `grant` was revoked or has expired. For long
        requests, such as feeds.
        """
        revoked = False

        async def watch(block: asyncio.Task[object]) -> None:
            nonlocal revoked
            while True:
                await asyncio.sleep(RECHECK_S)
                if not await self.still(grant):
                    break
            revoked = True
            block.cancel()

        block = asyncio.current_task()
        assert block is not None
        watching = asyncio.create_task(watch(block), name="access")
        try:
            yield
        except asyncio.CancelledError:
            if not revoked or block.uncancel() > 0:
                raise
            raise AccessRefused(401, "This token was revoked or has ended.") from None
        finally:
            watching.cancel()

    async def _identify(self, connection: HTTPConnection) -> Grant:
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        given, operator = given.strip(), self._operator_token
        is_open = operator is None and self._authenticator.admits_operator(connection)
        if scheme.lower() == "bearer" and (operator is not None or split_token(given) is not None):
            if operator is not None and hmac.compare_digest(given.encode(), operator.encode()):
                return Grant(OPERATOR, Credential.BEARER)
            return replace(_grant(await self._stored(given)), credential=Credential.BEARER)
        if cookie := connection.cookies.get(COOKIE):
            try:
                return _grant(await self._stored(cookie))
            except AccessRefused:
                if not is_open:
                    raise
        if is_open:
            return Grant(THIS_MACHINE, Credential.THIS_MACHINE)
        if operator is None:
            raise AccessRefused(403, "Log in with a token that `telephony tokens create` made, or set "
                                     "TELEPHONY_API_TOKEN. Without a token only this machine is served, only its own "
                                     "pages, and only if PUBLIC_URL is not set.")  # fmt: skip
        raise AccessRefused(401, "Log in, or send a bearer token: TELEPHONY_API_TOKEN, or one that `telephony tokens "
                                 "create` made.")  # fmt: skip

    async def _stored(self, text: str) -> StoredToken:
        parts = split_token(text)
        token = None if parts is None else await self._valid(parts[0])
        if parts is None or token is None:
            raise AccessRefused(401, "This token is not valid. It may be revoked, or the login may have ended.")
        bound_to = (self._operator_token or "") if token.parent == OPERATOR else ""
        if token.parent == OPERATOR and not bound_to:
            raise AccessRefused(401, "This login has ended, because TELEPHONY_API_TOKEN has changed.")
        if not hmac.compare_digest(hash_secret(parts[1], bound_to=bound_to), token.secret_hash):
            raise AccessRefused(401, "This token is not valid. It may be revoked, or the login may have ended.")
        return token

    async def _valid(self, token_id: str) -> StoredToken | None:
        """Returns the token or session with this id, or None if it or its parent is not valid."""
        now = self._sources.now()
        try:
            token = await self._client.access(lambda store: store.token(token_id))
            if token is None or not token.is_valid(now):
                return None
            if token.parent in ("", OPERATOR, SINGLE_SIGN_ON):
                return token
            parent = await self._client.access(lambda store: store.token(token.parent))
        except (RecordsUnavailable, RecordRefused) as error:
            raise AccessRefused(503, f"The database cannot be used, and it has the tokens: {error}") from None
        return token if parent is not None and parent.is_valid(now) else None

    @property
    def _operator_token(self) -> str | None:
        token = self._settings.telephony_api_token
        return None if token is None else token.get_secret_value()

    # --- requests of other sites ---------------------------------------------------------------------------------

    def demand_own_page(self, connection: HTTPConnection, credential: Credential) -> None:
        """Refuses a request that a browser sends from a page of another site. `credential` is the way in which the
        client has proved its identity. A client with a bearer token does not need the header `HEADER`, because a page
        of another site does not have the token.

        Raises:
            AccessRefused: the request comes from another site, or does not have the header `HEADER`.
        """
        headers = connection.headers
        origin, is_websocket = headers.get("origin"), connection.scope["type"] == "websocket"
        if headers.get("sec-fetch-site", "none") not in _OWN_PAGE or not self._is_own(connection, origin):
            raise AccessRefused(403, "A page of another site sent this request.")
        if credential is Credential.BEARER:
            return
        if is_websocket and origin is None and credential is Credential.COOKIE:
            raise AccessRefused(403, "A WebSocket with the login cookie needs the header Origin.")
        if not is_websocket and HEADER not in headers:
            raise AccessRefused(403, f"This request needs the header {HEADER}, with any value.")

    def _is_own(self, connection: HTTPConnection, origin: str | None) -> bool:
        if origin is None:
            return True
        public = self._settings.public_url
        own_hosts = {connection.headers.get("host"), None if public is None else urlsplit(public).netloc}
        return urlsplit(origin).netloc in own_hosts - {None}

    # --- logins --------------------------------------------------------------------------------------------------

    async def log_in(self, given: str) -> tuple[str, StoredToken]:
        """Begins a session for the token `given`: TELEPHONY_API_TOKEN, or a token made by `telephony tokens create`.
        Returns the value of the cookie, and the session as it is stored.

        Raises:
            AccessRefused: the token is not valid, or there were too many attempts (429).
        """
        if not self._logins.spend(asyncio.get_running_loop().time()):
            raise AccessRefused(429, "There were too many attempts. Wait some seconds.")
        operator = self._operator_token
        if operator is not None and hmac.compare_digest(given.encode(), operator.encode()):
            return await self._begin(OPERATOR, frozenset(Scope), frozenset(), OPERATOR, bound_to=operator)
        token = await self._stored(given)
        if token.parent:
            raise AccessRefused(401, "This token is not valid. It may be revoked, or the login may have ended.")
        return await self._begin(token.name, token.scopes, token.numbers, token.id, until=token)

    async def log_in_person(self, name: str, scopes: frozenset[Scope]) -> tuple[str, StoredToken]:
        """Begins the session of a person whom single sign-on has identified. Returns the secret for the cookie, and the
        session as it is stored. Raises `AccessRefused` if no session can begin.
        """
        return await self._begin(name, scopes, frozenset(), SINGLE_SIGN_ON)

    async def _begin(
        self,
        name: str,
        scopes: frozenset[Scope],
        numbers: frozenset[str],
        parent: str,
        *,
        bound_to: str = "",
        until: StoredToken | None = None,
    ) -> tuple[str, StoredToken]:
        now, secret = self._sources.now(), self._sources.token(32)
        ends = now + SESSION
        if until is not None and until.expires_at is not None:
            ends = min(ends, until.expires_at)
        session = StoredToken(
            id=self._sources.token(8),
            name=name,
            secret_hash=hash_secret(secret, bound_to=bound_to),
            scopes=scopes,
            numbers=numbers,
            created_at=now,
            expires_at=ends,
            parent=parent,
        )
        try:
            await self._client.access(lambda store: store.add_token(session))
        except (RecordsUnavailable, RecordRefused) as error:
            raise AccessRefused(503, f"The database cannot be used, and it has the logins: {error}") from None
        await self.record(replace(_grant(session), credential=Credential.COOKIE), Action.LOG_IN)
        return token_text(session.id, secret), session

    async def log_out(self, grant: Grant) -> None:
        """Ends the login session of the client that has this grant, and writes the logout to the audit log. Raises
        `AccessRefused` if the database cannot be used.
        """
        now = self._sources.now()
        try:
            await self._client.access(lambda store: store.revoke_token(grant.token_id, now))
        except (RecordsUnavailable, RecordRefused) as error:
            raise AccessRefused(503, f"The database cannot be used, and it has the logins: {error}") from None
        await self.record(grant, Action.LOG_OUT)

    # --- the audit -----------------------------------------------------------------------------------------------

    async def record(self, grant: Grant, action: Action, *, call: str = "", detail: str = "") -> None:
        """Appends the action of a client to the audit log. `call` is the CallSid (empty if the action concerns no
        call), and `detail` is a further text. Must be called before the action is executed.

        Raises:
            AccessRefused: the audit log cannot be written (503). The action must then not be executed.
        """
        entry = AuditEntry(self._sources.now(), grant.name, action, call, detail)
        try:
            await self._client.access(lambda store: store.add_entry(entry))
        except (RecordsUnavailable, RecordRefused) as error:
            raise AccessRefused(
                503, f"The audit log cannot be written, so the action was not executed: {error}"
            ) from None

    async def entries(self, query: AuditQuery) -> list[AuditEntry]:
        """Returns the newest entries of the audit log that match the query. Raises `AccessRefused` if the database
        cannot be used.
        """
        try:
            return list(await self._client.access(lambda store: store.entries(query)))
        except (RecordsUnavailable, RecordRefused) as error:
            raise AccessRefused(503, f"The audit log cannot be read: {error}") from None


async def console_error(connection: Any, error: Exception) -> Any:
    """Returns the response to a request that raised a `ConsoleError`: a JSON object with the error, and the status of
    the error. A WebSocket is closed with the code 4000 plus this status, and None is returned. The WebSocket is
    accepted before it is closed, because otherwise a page cannot read the code.
    """
    assert isinstance(error, ConsoleError)
    if isinstance(connection, Request):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
        return JSONResponse({"error": str(error)}, status_code=error.status, headers=headers)
    assert isinstance(connection, WebSocket)
    if connection.client_state.name == "CONNECTING":
        await connection.accept()
    await connection.close(4000 + error.status, str(error))
    return None


def _grant(token: StoredToken) -> Grant:
    return Grant(token.name, Credential.COOKIE, token.scopes, token.numbers, token.id)
