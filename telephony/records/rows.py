"""What is known of a call, and how news are added to it. Pure.

Processes write what they know in any order. A final state stays, and so does a known `sid`. `interrupted` is not final:
other processes write it when a call's process has stopped renewing its lease, and that process may only have been
frozen. The next status that anybody knows takes its place.

Nothing that was said is kept here, and no digit that was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from ..twilio.callbacks import ENDED
from .storable import MAX_KEY_CHARS, clean_number, clean_text, is_key

__all__ = ["INTERRUPTED", "MAX_CHARS", "OPEN", "REFUSED", "CallNews", "CallRow", "added"]

INTERRUPTED = "interrupted"
"""The status of a call whose process has ended, or seems to have."""
OPEN = "open"
REFUSED = "refused"
MAX_CHARS: Mapping[str, int] = {
    "id": MAX_KEY_CHARS,
    "sid": MAX_KEY_CHARS,
    "direction": 32,
    "caller": 300,
    "called": 300,
    "agent": 300,
    "instance": 64,
    "process": 64,
    "status": 32,
    "reason": 300,
    "error": 300,
    "answered_by": 32,
    "stream": 32,
    "document": 64_000,
    "currency": 8,
}
"""The texts of a call, and where each is cut."""
_INTERNAL = ("process", "document")


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call. Dates are in UTC; a number is masked once the call is over, unless the settings keep it."""

    id: str
    """Ours for a call that we placed, Twilio's `CallSid` for one that came in."""
    sid: str | None = None
    direction: str = ""
    caller: str = ""
    called: str = ""
    agent: str = ""
    instance: str = ""
    """The name of the process that has, or had, the call."""
    process: str = ""
    """The id under which this process renews its lease; empty in rows of older releases."""
    status: str = ""
    """Twilio's: `queued`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed`, `canceled`; or
    `interrupted`."""
    reason: str = ""
    """Why our side ended it; empty until then."""
    error: str = ""
    answered_by: str = ""
    message_left: bool = False
    stream: str = ""
    """`open` while the call has a media stream, then why that stream ended (`StreamEnd.why`); empty before the first
    stream."""
    reattached: int = 0
    """How many streams took the place of one that was lost."""
    offered: int = 0
    """How many new streams Twilio was told to open since the last one came."""
    document: str = ""
    """The TwiML that the call goes on with, where Twilio has still to ask for it."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    """When anything was last heard of it."""
    duration_s: int | None = None
    cost: float | None = None
    currency: str = ""

    @property
    def over(self) -> bool:
        return self.status in ENDED or self.status == INTERRUPTED

    def to_json(self) -> dict[str, Any]:
        fields = {name: value for name, value in asdict(self).items() if name not in _INTERNAL}
        dates = {name: value.isoformat() for name, value in fields.items() if isinstance(value, datetime)}
        return {**fields, **dates, "over": self.over}


@dataclass(frozen=True, slots=True)
class CallNews:
    """Fields of `CallRow` that are news at `at`. `key` is an id or a `CallSid`; where no such call is known and
    `begins`, it is the id of a new one."""

    key: str
    at: datetime
    begins: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)
    held_by: str = ""
    """Where it is set, the news count only while the call is this process's (`CallRow.process`)."""


def added(row: CallRow | None, news: CallNews) -> CallRow | None:
    """The call with the news. None: the call is not known and does not begin, or it is another process's."""
    if row is None:
        if not news.begins:
            return None
        row = CallRow(news.key)
    elif news.held_by and row.process != news.held_by:
        return None
    changes = {name: _fitting(name, value) for name, value in news.changes.items()}
    if changes.get("stream") == REFUSED and row.stream not in ("", REFUSED):
        return None  # the call has, or had, a stream that was let in
    if row.direction:
        changes.pop("direction", None)  # a process that only has the stream takes every call for one that came in
    if row.stream and "stream" not in changes:
        changes.pop("process", None)  # of several processes the call is that one's which had its last stream
        changes.pop("instance", None)
    if row.status == INTERRUPTED and "status" in changes:
        row = replace(row, ended_at=None)
    if row.status in ENDED:
        changes.pop("status", None)
    if row.sid is not None or changes.get("sid") is None:
        changes.pop("sid", None)
    if row.ended_at is not None:
        changes.pop("ended_at", None)
    return replace(row, **changes, updated_at=max(news.at, row.updated_at or news.at))


def _fitting(name: str, value: Any) -> Any:
    """The value as every database takes it."""
    if name == "sid":
        return value if isinstance(value, str) and is_key(value) else None
    if name in MAX_CHARS:
        return clean_text("" if value is None else str(value), MAX_CHARS[name])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return clean_number(value)
    return value
