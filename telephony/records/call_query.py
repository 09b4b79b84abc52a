"""Selects the calls of a list: filters, order and pages. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from realtime_core.errors import UserError

from ..twilio.numbers import e164, legible, tidy
from ..twilio.phone_forms import forms_of_one_phone, subjects_of_phone
from .call_record import CallRecord

__all__ = ["FILTERS", "NUMBERS", "TEXTS", "CallPage", "CallQuery", "Party", "page_of", "query_of", "time_of"]

FILTERS = ("from", "to", "number", "agent", "status", "since")
TEXTS = ("summary", "outcome", "reason", "agent")
"""The fields that `CallQuery.text` searches, in addition to the result, the numbers and the call id."""
NUMBERS = ("caller", "called")
"""The fields that `CallQuery.number_text` searches."""
MAX_LIMIT = 1_000
DEFAULT_LIMIT = 50
_DURATION = re.compile(r"(\d{1,6})\s*([smhdw])")
_PART_OF_NUMBER = re.compile(r"[0-9\s().+\-]*[0-9][0-9\s().+\-]*")
_CALL_ID_START = re.compile(r"CA[0-9A-Za-z]+")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Party:
    """A phone whose calls are searched. A phone may have several numbers, and the first number is the main form. The
    hashes of the numbers also find calls with masked numbers.
    """

    numbers: tuple[str, ...]
    subjects: tuple[str, ...]

    @classmethod
    def of(cls, number: str, subject_of: Callable[[str], str]) -> Party:
        """Returns the phone of a number in E.164, or of a `sip:` address. `subject_of` returns the hash of a number."""
        return cls(forms_of_one_phone(number), tuple(filter(None, subjects_of_phone(number, subject_of))))


@dataclass(frozen=True, slots=True)
class CallQuery:
    """The filters of a list of calls. A call must match all filters that are set. All times are in UTC. The newest call
    comes first.
    """

    caller: Party | None = None
    called: Party | None = None
    number: Party | None = None
    """The number of either party of the call."""
    agent: str = ""
    """The name of one of the agents that spoke."""
    status: str = ""
    """The status of the call, or the code of its ending (`CallRecord.ending_code`)."""
    endings: tuple[str, ...] = ()
    """Codes of endings (`CallRecord.ending_code`). The call must have one of these codes. An empty tuple matches all
    calls.
    """
    text: str = ""
    """A text to search for. A call matches if its summary, outcome, result or reason, the name of its agent, or a
    displayed phone number contains this text. A call also matches if the text is its `CallSid`, or the beginning of its
    `CallSid` (at least `CA` and one more character).
    """
    text_number: Party | None = None
    """The phone number that the filter `text` contains, if `text` is a complete phone number, else None. A call also
    matches `text` if one party of the call has this number.
    """
    is_interrupted: bool = False
    """Whether only calls match in which the caller interrupted the agent."""
    sids: tuple[str, ...] | None = None
    """The `CallSid`s of several calls. A call must have one of these `CallSid`s. None matches all calls."""
    is_open: bool = False
    """Whether only calls that have not ended match."""
    start: datetime | None = None
    end: datetime | None = None
    """The end of the period. A call matches if the call started at `start` or later, and before `end`."""
    limit: int = DEFAULT_LIMIT
    after: tuple[datetime, str] | None = None
    """The start time and the id of the last call of the previous page. The page begins after this call."""
    scan: int = 0
    """The maximum number of calls that are searched for one page, so that a search with few matches does not read the
    whole table. A page may then be short or empty and still have a next page. 0 means no limit.
    """
    until: tuple[datetime, str] | None = None
    """The position at which the search for this page stops: the start time and the id of the last call that is
    searched. `Records.boundary` computes this position from `scan`. None means no limit.
    """

    @property
    def number_text(self) -> str:
        """The text that is searched in phone numbers. If `text` can be a part of a phone number, such as `(415) 555`,
        the result is `text` without spaces, brackets, dashes and dots. Otherwise the result is `text`.
        """
        text = legible(self.text)
        return re.sub(r"[\s().\-]", "", text) if _PART_OF_NUMBER.fullmatch(text) else self.text

    @property
    def is_start_of_call_id(self) -> bool:
        """Whether the searched `text` can be the beginning of a Twilio `CallSid`: `CA` and at least one more letter or
        digit. The calls whose `CallSid` begins with `text` then match too.
        """
        return _CALL_ID_START.fullmatch(self.text) is not None

    def matches(self, row: CallRecord) -> bool:
        """Returns whether this call matches the filters, for calls that are stored in memory. A database uses SQL with
        the same conditions.
        """
        started = row.started_at
        return (
            started is not None
            and (self.caller is None or _is_at(self.caller, row, row.caller, not row.is_outbound))
            and (self.called is None or _is_at(self.called, row, row.called, row.is_outbound))
            and (self.number is None or _has_number(row, self.number))
            and (not self.agent or self.agent == row.agent or self.agent in (row.agents or ()))
            and (not self.status or self.status in (row.status, row.ending))
            and (not self.endings or row.ending_code in self.endings)
            and (not self.text or _has_text(row, self))
            and (not self.is_interrupted or (row.interruptions or 0) > 0)
            and (self.sids is None or row.sid in self.sids)
            and (not self.is_open or row.ended_at is None)
            and (self.start is None or started >= self.start)
            and (self.end is None or started < self.end)
            and (self.after is None or (started, row.id) < self.after)
            and (self.until is None or (started, row.id) >= self.until)
        )


def _is_at(party: Party, row: CallRecord, number: str, is_subject: bool) -> bool:
    return number in party.numbers or (is_subject and row.subject in party.subjects)


def _has_number(row: CallRecord, number: Party) -> bool:
    return any(_is_at(number, row, each, True) for each in (row.caller, row.called))


def _has_text(row: CallRecord, query: CallQuery) -> bool:
    text, number, sid = query.text.lower(), query.number_text.lower(), (row.sid or "").lower()
    values = (*(getattr(row, name) or "" for name in TEXTS), json.dumps(row.result, ensure_ascii=True))
    return (
        any(text in value.lower() for value in values)
        or any(number in (getattr(row, name) or "").lower() for name in NUMBERS)
        or (sid.startswith(text) if query.is_start_of_call_id else sid == text)
        or (query.text_number is not None and _has_number(row, query.text_number))
    )


@dataclass(frozen=True, slots=True)
class CallPage:
    """One page of a list of calls."""

    calls: list[CallRecord]
    cursor: str
    """The text with which the next page is requested. The text is empty for the last page."""


def page_of(rows: list[CallRecord], query: CallQuery) -> CallPage:
    """Returns a page with the first `query.limit` of the found calls, `rows`. There is a next page if more calls were
    found, or if the search ended at its limit (`query.scan`) before it had searched all calls.
    """
    shown = rows[: query.limit]
    last = shown[-1] if len(rows) > query.limit else None
    if last is None and query.until is not None:
        return CallPage(shown, _cursor(*query.until))
    return CallPage(shown, "" if last is None or last.started_at is None else _cursor(last.started_at, last.id))


def query_of(given: Mapping[str, str], *, now: datetime, subject_of: Callable[[str], str]) -> CallQuery:
    """Converts the parameters of a request or command to a `CallQuery`. Reads the filters `from`, `to`, `number`,
    `agent`, `status` and `since`, and the values `limit` and `cursor`.

    `subject_of` returns the hash of a phone number. `number` is a phone number. `from` and `to` are the calling and the
    called number (`+14155550123`), or the start and the end of a period (`2026-01-31`, `2026-01-31T08:00`). `since` is
    a time or an age (`90m`, `24h`, `7d`). Times without a time zone are in UTC. A date as the end includes the whole
    day.

    Raises:
        UserError: a filter is invalid. The message contains the valid forms.
    """
    caller = called = start = end = None
    if text := given.get("from", ""):
        if _is_time(text):
            start = time_of("from", text)
        else:
            caller = _party("from", text, subject_of)
    if text := given.get("to", ""):
        if _is_time(text):
            end = time_of("to", text, end=True)
        else:
            called = _party("to", text, subject_of)
    if text := given.get("since", ""):
        since = _since(text, now)
        start = since if start is None else max(start, since)
    number = given.get("number", "")
    return CallQuery(
        caller=caller,
        called=called,
        number=_party("number", number, subject_of) if number else None,
        agent=given.get("agent", ""),
        status=given.get("status", ""),
        start=start,
        end=end,
        limit=_limit(given.get("limit", "")),
        after=_parse_cursor(given.get("cursor", "")),
    )


def _is_time(text: str) -> bool:
    return re.match(r"\d{4}-\d{2}-\d{2}", text) is not None


def _party(name: str, text: str, subject_of: Callable[[str], str]) -> Party:
    text = tidy("+" + text[1:] if text.startswith(" ") else text)  # in a query of a URL, "+" is a blank
    if not text.lower().startswith(("sip:", "sips:", "client:")):
        try:
            text = e164(text)
        except ValueError as error:
            raise UserError(f"{name}: {error}.") from None
    return Party.of(text, subject_of)


def time_of(name: str, text: str, *, end: bool = False) -> datetime:
    """Parses a time like `2026-01-31` or `2026-01-31T08:00`. A time without a time zone is in UTC. If `end` is True, a
    date includes the whole day.

    Raises:
        UserError: the text is not a time.
    """
    try:
        time = datetime.fromisoformat(tidy(text))
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        return time + timedelta(days=1) if end and len(tidy(text)) == len("2026-01-31") else time
    except (ValueError, OverflowError):
        raise UserError(f"{name}: write a time like 2026-01-31 or 2026-01-31T08:00.") from None


def _since(text: str, now: datetime) -> datetime:
    if (found := _DURATION.fullmatch(tidy(text).lower())) is not None:
        try:
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        except OverflowError:
            raise UserError("since: this is before the first year.") from None
    if not _is_time(text):
        raise UserError("since: write an age like 90m, 24h or 7d, or a time like 2026-01-31.")
    return time_of("since", text)


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise UserError(f"limit: write a number from 1 to {MAX_LIMIT}.")
    return int(text)


def _cursor(started_at: datetime, call_id: str) -> str:
    return base64.urlsafe_b64encode(f"{started_at.isoformat()} {call_id}".encode()).decode().rstrip("=")


def _parse_cursor(text: str) -> tuple[datetime, str] | None:
    if not text:
        return None
    try:
        time, _, call_id = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(" ")
        started_at = datetime.fromisoformat(time)
        if started_at.tzinfo is None or not call_id:
            raise ValueError("not ours")
    except (ValueError, binascii.Error):
        raise UserError("cursor: this is not the `next` of a list of calls.") from None
    return started_at, call_id
