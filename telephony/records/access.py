"""The tokens, sessions and scopes of the clients of the console, and the audit of their actions. Pure.

A token is a text `tel_ID.SECRET`. The records have the id and a hash of the secret. The secret has 256 random bits, so
a plain SHA-256 is enough. A login makes a session. A session is a token with an end. It also ends when its parent is
revoked.
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
    "AccessStore",
    "Action",
    "AuditEntry",
    "Scope",
    "StoredToken",
    "hash_secret",
    "scopes_text",
    "split_token",
    "token_text",
]

OPERATOR = "operator"
"""The parent of the sessions that began with TELEPHONY_API_TOKEN."""
SINGLE_SIGN_ON = "single sign-on"
"""The parent of the sessions that began with OpenID Connect."""
_PREFIX = "tel_"


class Scope(StrEnum):
    """What a token permits."""

    VIEW = "view"
    """See live and past calls."""
    LISTEN = "listen"
    """Hear live calls and the audio of past ones."""
    CONTROL = "control"
    """Control live calls: hang up, transfer, approve tools, take over. Place test calls."""
    EXPORT = "export"
    """Download journals and audio, and make tests of calls."""


class Action(StrEnum):
    """What the audit records."""

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
    """A token or a session, as the records keep it. Dates are in UTC."""

    id: str
    name: str
    secret_hash: str
    scopes: frozenset[Scope]
    numbers: frozenset[str]
    """Our numbers whose calls the client may see and control. An empty value means all numbers."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    parent: str = ""
    """The id of the token that began this session. Or `OPERATOR` or `SINGLE_SIGN_ON`. An empty value means that this is
    a token.
    """

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the audit."""

    at: datetime
    who: str
    """The name of the token, or of the person."""
    action: Action
    call: str = ""
    """The `CallSid` of the call, if there is one."""
    detail: str = ""
    id: int = field(default=0, compare=False)


class AccessStore(Protocol):
    """A store of tokens and of the audit. Its methods may block; they raise what `Records` raises."""

    def add_token(self, token: StoredToken) -> None:
        """Stores a new token, and deletes the sessions that have ended."""

    def token(self, token_id: str) -> StoredToken | None: ...

    def tokens(self) -> list[StoredToken]:
        """Returns the tokens without sessions, the oldest first."""

    def revoke_token(self, token_id: str, now: datetime) -> bool:
        """Revokes a token and its sessions. False means that there is no such token, or it was revoked before."""

    def add_entry(self, entry: AuditEntry) -> None:
        """Appends to the audit. Nothing changes or deletes an entry."""

    def entries(self, *, before: int | None = None, limit: int = 100, call: str | None = None) -> Sequence[AuditEntry]:
        """Returns the newest entries of one call, or of all calls. Only entries with an id lower than `before` are
        returned.
        """


def token_text(token_id: str, secret: str) -> str:
    return f"{_PREFIX}{token_id}.{secret}"


def split_token(text: str) -> tuple[str, str] | None:
    """Returns the id and the secret of a token. None means that the text is no token."""
    token_id, dot, secret = text.removeprefix(_PREFIX).partition(".")
    is_token = text.startswith(_PREFIX) and bool(dot and token_id and secret) and len(text) <= 200 and text.isascii()
    return (token_id, secret) if is_token else None


def hash_secret(secret: str, *, bound_to: str = "") -> str:
    """Returns the hash of a secret that the records keep. `bound_to` is a second secret. The same hash results only
    with the same second secret.
    """
    if bound_to:
        return hmac.new(bound_to.encode(), secret.encode(), sha256).hexdigest()
    return sha256(secret.encode()).hexdigest()


def scopes_text(scopes: Iterable[Scope]) -> str:
    return ",".join(each.value for each in Scope if each in set(scopes))
