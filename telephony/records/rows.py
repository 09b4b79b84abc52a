"""What is known of a call, and how news are added to it. Pure.

Processes write what they know in any order: a state that a call does not leave stays, and so does a known `sid`.
Nothing that was said is kept here, and no digit that was typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from ..twilio.callbacks import ENDED

__all__ = ["CallNews", "CallRow", "added", "masked"]

_MAX_CHARS = 300


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
    """The process that has, or had, the call."""
    status: str = ""
    """Twilio's: `queued`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed`, `canceled`."""
    reason: str = ""
    """Why our side ended it; empty until then."""
    error: str = ""
    answered_by: str = ""
    message_left: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    """When anything was last heard of it."""
    duration_s: int | None = None
    cost: float | None = None
    currency: str = ""

    @property
    def over(self) -> bool:
        return self.status in ENDED

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self)
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


def added(row: CallRow | None, news: CallNews) -> CallRow | None:
    """The call with the news; None: nobody knows it, and it does not begin."""
    if row is None:
        if not news.begins:
            return None
        row = CallRow(news.key)
    changes = {name: _fitting(value) for name, value in news.changes.items()}
    if row.over:
        changes.pop("status", None)
    if row.sid is not None:
        changes.pop("sid", None)
    if row.ended_at is not None:
        changes.pop("ended_at", None)
    return replace(row, **changes, updated_at=max(news.at, row.updated_at or news.at))


def masked(number: str) -> str:
    """A number of which its country and its last two digits are left, roughly; of a `sip:` address, its scheme."""
    if number.startswith("+") and len(number) > 6:
        return f"{number[:3]}{'•' * (len(number) - 5)}{number[-2:]}"
    scheme, colon, _ = number.partition(":")
    return f"{scheme}:•" if colon else "•" if number else ""


def _fitting(value: Any) -> Any:
    return value[:_MAX_CHARS] if isinstance(value, str) else value
