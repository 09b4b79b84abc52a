"""The tokens of the console and the audit log in the memory of this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count, islice

from .access import AuditEntry, AuditQuery, StoredToken

__all__ = ["MemoryAccess"]

_MAX_ENTRIES = 10_000


class MemoryAccess:
    """Stores the tokens of the console and the audit log in the memory of this process, without a database. Implements
    `AccessStore`. Only the newest entries are kept, until the process ends.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, StoredToken] = {}
        self._entries: deque[AuditEntry] = deque(maxlen=_MAX_ENTRIES)
        self._ids = count(1)

    def add_token(self, token: StoredToken) -> None:
        now = token.created_at
        self._tokens = {
            key: each
            for key, each in self._tokens.items()
            if each.expires_at is None or each.expires_at > now or not _is_session(each)
        }
        self._tokens[token.id] = token

    def token(self, token_id: str) -> StoredToken | None:
        return self._tokens.get(token_id)

    def tokens(self) -> list[StoredToken]:
        return [each for each in self._tokens.values() if not _is_session(each)]

    def revoke_token(self, token_id: str, now: datetime) -> bool:
        token = self._tokens.get(token_id)
        if token is None or token.revoked_at is not None:
            return False
        for each in list(self._tokens.values()):
            if token_id in (each.id, each.parent):
                self._tokens[each.id] = replace(each, revoked_at=now)
        return True

    def add_entry(self, entry: AuditEntry) -> None:
        self._entries.append(replace(entry, id=next(self._ids)))

    def entries(self, query: AuditQuery) -> Sequence[AuditEntry]:
        return list(islice(filter(query.matches, reversed(self._entries)), query.limit))


def _is_session(token: StoredToken) -> bool:
    return token.parent != ""
