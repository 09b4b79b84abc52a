"""Finds the calls that supervisors have taken over, and the names of the supervisors. The data is the audit log."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from ..errors import AccessRefused
from ..records.access import Action, AuditEntry, AuditQuery
from .access import Access

__all__ = ["AGAIN", "NOT_TAKEN_OVER", "all_taken_over", "names_by_call", "supervisors_of"]

AGAIN = "connected again"
"""The detail of an entry of the audit log about a supervisor who continues a take-over after a lost connection."""
NOT_TAKEN_OVER = "not possible"
"""The detail of an entry of the audit log about a take-over that was not possible. The entry before it has the attempt.
"""
_MAX_ENTRIES = 1000


def names_by_call(entries: Iterable[AuditEntry]) -> dict[str, list[str]]:
    """Returns the names of the supervisors who took over calls, by CallSid, in the order of the take-overs. `entries`
    are entries of the audit log, the oldest first.
    """
    names: dict[str, list[str]] = {}
    for entry in entries:
        if entry.action is not Action.TAKE_OVER or entry.detail == AGAIN:
            continue
        of_call = names.setdefault(entry.call, [])
        if entry.detail != NOT_TAKEN_OVER:
            of_call.append(entry.who)
        elif entry.who in of_call:
            del of_call[len(of_call) - 1 - of_call[::-1].index(entry.who)]
    return {call: list(dict.fromkeys(of_call)) for call, of_call in names.items() if of_call}


async def supervisors_of(access: Access, calls: Iterable[str]) -> dict[str, list[str]]:
    """Returns the names of the supervisors who took over these calls, by CallSid. Returns an empty mapping if the
    database cannot be used, because pages show calls also in this case.
    """
    query = AuditQuery(calls=tuple(calls), action=Action.TAKE_OVER, limit=_MAX_ENTRIES)
    with suppress(AccessRefused):
        return names_by_call(reversed(await access.entries(query))) if query.calls else {}
    return {}


async def all_taken_over(access: Access) -> tuple[str, ...]:
    """Returns the CallSids of the calls that supervisors took over most recently, of at most 1,000 entries of the audit
    log. Raises `AccessRefused` if the database cannot be used.
    """
    query = AuditQuery(action=Action.TAKE_OVER, limit=_MAX_ENTRIES)
    return tuple(names_by_call(reversed(await access.entries(query))))
