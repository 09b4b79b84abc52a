"""Writes the actions of commands to the audit log of the console."""

from __future__ import annotations

import getpass
from datetime import datetime

from realtime_core.sources import SYSTEM

from ..records.access import AccessStore, Action, AuditEntry
from ..settings import read_settings
from .call_list import opened_records

__all__ = ["audit", "audit_change"]


def audit(store: AccessStore, now: datetime, action: Action, detail: str) -> None:
    """Appends an entry to the audit log. The entry has the name of the user who runs the command, the action, and
    `detail` as text.
    """
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # there is no account with this number, as in some containers
        user = "unknown"
    store.add_entry(AuditEntry(now, f"{user} (command line)", action, detail=detail))


def audit_change(detail: str) -> None:
    """Appends a change of the configuration to the audit log. Must be called before the change. Without a database,
    writes nothing.

    Raises:
        RecordsUnavailable, RecordRefused: the audit log cannot be written. The configuration must then not be changed.
    """
    with opened_records(read_settings()) as records:
        if records is not None:
            audit(records.access, SYSTEM.now(), Action.CONFIGURE, detail)
