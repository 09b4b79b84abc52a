"""The tokens, sessions and scopes of the console's clients, and the audit log of their actions. Pure.

A token is a text `tel_ID.SECRET`. The database contains the id and a hash of the secret. The secret has 256 random
bits, so a plain SHA-256 hash is sufficient. A login creates a session. A session is a token that expires. A session
also ends when its parent token is revoked.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

__all__ = [
    "OPERATOR",
    "SINGLE_SIGN_ON",
    "THIS_MACHINE",
    "AccessStore",
    "Action",
    "AuditEntry",
    "AuditQuery",
    "Scope",
    "StoredToken",
    "hash_secret",
    "scopes_text",
    "split_token",
    "token_text",
]

OPERATOR = "operator"
"""The value of `StoredToken.parent` for login sessions of the console that began with TELEPHONY_API_TOKEN."""
THIS_MACHINE = "this machine"
"""The name in the audit log for a client on this machine that needs no token."""
SINGLE_SIGN_ON = "single sign-on"
"""The value of `StoredToken.parent` for login sessions that began with single sign-on (OpenID Connect). Other login
sessions began with a token.
"""
_PREFIX = "tel_"


class Scope(StrEnum):
    """What a token permits. A token may have several scopes."""

    VIEW = "view"
    """See live calls and past calls."""
    LISTEN = "listen"
    """Listen to live calls and to the audio of past calls."""
    CONTROL = "control"
    """Control live calls: hang up, transfer, approve tool calls, take over. Place test calls."""
    EXPORT = "export"
    """Download journals and audio, and create tests from calls."""


class Action(StrEnum):
    """The actions that the audit log records."""

    LOG_IN = "log in"
    LOG_OUT = "log out"
    LISTEN = "listen"
    EXPORT = "export"
    TAKE_OVER = "take over"
    HAND_BACK = "hand back"
    HANG_UP = "hang up"
    TRANSFER = "transfer"
    APPROVE = "approve"
    REJECT = "reject"
    SAY = "say"
    ERASE = "erase"
    CONFIGURE = "configure"
    CREATE_TOKEN = "create token"  # noqa: S105
    REVOKE_TOKEN = "revoke token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token of the console, or a login session, as stored in the database. Dates are in UTC."""

    id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    numbers: frozenset[str]
    """The phone numbers of this application whose calls the client may see and control. An empty set means all
    numbers.
    """
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    parent: str = ""
    """The origin of a login session: the id of the token with which the person logged in, or `OPERATOR` or
    `SINGLE_SIGN_ON`. The text is empty if this object is a token and not a session.
    """

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit log: who did which action in the console, and when."""

    at: datetime
    who: str
    """The name of the token or of the person who did the action."""
    action: Action
    call: str = ""
    """The `CallSid` of the call, or an empty text if the action concerns no call."""
    detail: str = ""
    id: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """The filters for a page of the audit log. All times are in UTC. An entry must match all filters that are set. The
    newest entry comes first.
    """

    before: int | None = None
    """Selects only entries with a lower id. For the next page, the value is the `id` of the last entry of the previous
    page.
    """
    limit: int = 100
    call: str = ""
    """The `CallSid` of the call that the entries must concern. An empty text means all entries."""
    calls: tuple[str, ...] | None = None
    """The `CallSid`s of several calls. The entries must concern one of these calls. None means all entries."""
    who: str = ""
    """A text that the name of the client must contain. Upper and lower case are equal."""
    action: Action | None = None
    start: datetime | None = None
    end: datetime | None = None
    """The end of the period. An entry matches if its time is `start` or later, and before `end`."""

    def matches(self, entry: AuditEntry) -> bool:
        """Returns whether this entry matches the filters, for an audit log in memory. The database uses the same
        conditions.
        """
        return (
            (self.before is None or entry.id < self.before)
            and self.call in ("", entry.call)
            and (self.calls is None or entry.call in self.calls)
            and self.who.casefold() in entry.who.casefold()
            and self.action in (None, entry.action)
            and (self.start is None or entry.at >= self.start)
            and (self.end is None or entry.at < self.end)
        )


class AccessStore(Protocol):
    """A store of tokens and of the audit log. All times are in UTC. The methods may block, and raise the same
    exceptions as `Records`.
    """

    def add_token(self, token: StoredToken) -> None:
        """Stores a new token of the console, and deletes expired sessions."""

    def token(self, token_id: str) -> StoredToken | None: ...

    def tokens(self) -> list[StoredToken]:
        """Returns the tokens of the console without the login sessions, the oldest first."""

    def revoke_token(self, token_id: str, now: datetime) -> bool:
        """Revokes a token of the console and the login sessions that began with it. Returns False if there is no such
        token or if it was already revoked.
        """

    def add_entry(self, entry: AuditEntry) -> None:
        """Appends an entry to the audit log. Entries cannot be changed or deleted."""

    def entries(self, query: AuditQuery) -> Sequence[AuditEntry]:
        """Returns the newest entries of the audit log that match the query, at most `query.limit` entries."""


def token_text(token_id: str, secret: str) -> str:
    return f"{_PREFIX}{token_id}.{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """Splits a token of the console into its id and its secret. Returns None if the text is not a token."""
    token_id, dot, secret = text.removeprefix(_PREFIX).partition(".")
    is_token = text.startswith(_PREFIX) and bool(dot and token_id and secret) and len(text) <= 200 and text.isascii()
    return (token_id, secret) if is_token else None


def hash_secret(secret: str, *, bound_to: str = "") -> str:
    """Returns the hash of a secret, which is stored in place of the secret. `bound_to` is a second secret, from which
    the hash is also computed. A login with TELEPHONY_API_TOKEN is bound to this token, so a new token ends the login.
    """
    if bound_to:
        return hmac.new(bound_to.encode(), secret.encode(), sha256).hexdigest()
    return sha256(secret.encode()).hexdigest()


def scopes_text(scopes: Iterable[Scope]) -> str:
    return ",".join(each.value for each in Scope if each in set(scopes))
