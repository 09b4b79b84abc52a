"""Writes what commands do into the audit of the console."""

from __future__ import annotations

import getpass
from datetime import datetime

from ..records.access import AccessStore, Action, AuditEntry

__all__ = ["audit"]


def audit(store: AccessStore, now: datetime, action: Action, detail: str) -> None:
    """Append an entry with the name of this machine's user."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # there is no account with this number, as in some containers
        user = "unknown"
    store.add_entry(AuditEntry(now, f"{user} (command line)", action, detail=detail))
