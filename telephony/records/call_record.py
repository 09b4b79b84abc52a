"""The record of one call in the database, and how updates change it. Pure.

Processes write updates in any order. A final status stays, and so does a known `sid`. `interrupted` is not final: other
processes write it when the process of a call has stopped renewing its lease, but that process may only be frozen. The
next status replaces it.

A record has no typed digits, and of the conversation only the result and the summary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from ..twilio.callbacks import ENDED
from .storable import MAX_KEY_CHARS, clean_json, clean_number, clean_text, is_key

__all__ = ["INTERRUPTED", "JSON_FIELDS", "MAX_CHARS", "OPEN", "REFUSED", "CallRecord", "CallUpdate", "updated"]

INTERRUPTED = "interrupted"
"""The status of a call whose process has ended, or has stopped renewing its lease."""
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
    "subject": 64,
    "ending": 32,
    "outcome": 300,
    "summary": 4_000,
    "journal": 1_000,
    "variant": 64,
    "language": 16,
    "number_key": 64,
}
"""The maximum length of each text. Longer texts are cut."""
_EARLY = ("queued", "ringing")
_WORDS: Mapping[str, str] = {
    "busy": "the line was busy",
    "no-answer": "nobody answered",
    "canceled": "hung up before an answer",
    "failed": "the call could not be connected",
    "completed": "hung up",
    "interrupted": "its process ended",
}
"""The endings of calls that our side did not end, and that have no words yet."""
JSON_FIELDS = ("agents", "result", "turns", "tools", "transfers", "usage", "consent", "steps", "task")
_INTERNAL = ("process", "document", "subject", "number_key")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Dates are in UTC. A number is masked when the call is over, unless the settings keep numbers."""

    id: str
    """Our own id for a placed call, Twilio's `CallSid` for an inbound call."""
    sid: str | None = None
    direction: str = ""
    caller: str = ""
    called: str = ""
    agent: str = ""
    instance: str = ""
    """The name of the process that handles the call."""
    process: str = ""
    """The id of the lease of this process. Empty in records of older releases."""
    status: str = ""
    """Twilio's status: `queued`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed`, `canceled`; or
    `interrupted`."""
    reason: str = ""
    """The reason why our side ended the call. Empty until then."""
    error: str = ""
    answered_by: str = ""
    message_left: bool = False
    stream: str = ""
    """`open` while the call has a media stream, then why the stream ended (`StreamEnd.why`). Empty before the first
    stream."""
    reattached: int = 0
    """How many new streams replaced a lost one."""
    offered: int = 0
    """How many times Twilio was instructed to open a new stream since the last stream started."""
    document: str = ""
    """The TwiML that continues the call, until Twilio has requested it."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    """When the last update was made."""
    duration_s: int | None = None
    cost: float | None = None
    """The price of Twilio in `currency`. None means unknown."""
    currency: str = ""
    subject: str = ""
    """A keyed hash of the number of the other party (`subjects.SubjectKey`). It stays when the number is masked."""
    answered_at: datetime | None = None
    ending: str = ""
    """The reason why the call ended, as a code: the name of an `EndReason` in lower case, Twilio's status of a call
    without an answer, or why the call was refused. `reason` has it in words.
    """
    agents: list[str] | None = None
    """The agents that have spoken, in order. `agent` is the last one."""
    outcome: str = ""
    result: Any = None
    """The structured result, as JSON."""
    summary: str = ""
    turns: list[dict[str, Any]] | None = None
    """The agent's turns: `at_ms` since the start, and `latency_ms` from the caller's last word to the first sound, at
    the caller's ear. None: not known."""
    interruptions: int | None = None
    tools: dict[str, dict[str, int]] | None = None
    """The numbers of `calls` and `failures`, by the name of the tool."""
    transfers: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = None
    """The number of tokens by modality."""
    model_cost: float | None = None
    """The cost of the model in US dollars. None means unknown."""
    journal: str = ""
    """The path of the journal."""
    variant: str = ""
    """The version of the agent: `name digest`, or `name digest canary` (`telephony.versions`)."""
    language: str = ""
    """The language of the call."""
    steps: list[dict[str, Any]] | None = None
    """What the steps of the number's ladder did, in order: `step` and `result`."""
    task: Any = None
    """What is to be done after the call: to call back a caller who left a message. `state` is `open` or `done`."""
    number_key: str = ""
    """The number or pattern of the configuration whose limits count this call. Empty: there is none."""
    consent: Any = None
    """The evidence about the consent to a recording (`telephony.call.consent.ConsentEvidence`), as JSON."""

    @property
    def over(self) -> bool:
        return self.status in ENDED or self.status == INTERRUPTED

    @property
    def is_with_agent(self) -> bool:
        """Whether the call goes on, and no step of its ladder has taken it over from the agent."""
        return self.ended_at is None and not self.over and self.steps is None

    @property
    def is_outbound(self) -> bool:
        return self.direction.startswith("outbound")

    def to_json(self) -> dict[str, Any]:
        fields = {name: value for name, value in asdict(self).items() if name not in _INTERNAL}
        dates = {name: value.isoformat() for name, value in fields.items() if isinstance(value, datetime)}
        how = {"ending": self.ending_code, "reason": self.ending_words}
        return {**fields, **dates, **how, "over": self.over}

    @property
    def ending_code(self) -> str:
        """The reason why the call ended, as a code. Empty while it goes on."""
        return self.ending or (self.status if self.over else "")

    @property
    def ending_words(self) -> str:
        """The reason why the call ended, in words. Empty while it goes on."""
        return self.reason or (self.error if self.over else "") or _WORDS.get(self.ending_code, self.ending_code)


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """New values for fields of a `CallRecord`, known at `at`. `key` is an id or a `CallSid`. If the call is not known
    and `begins` is set, `key` is the id of a new record."""

    key: str
    at: datetime
    begins: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)
    announce_s: float | None = None
    """The delay of the message about the call, in seconds. If it is set and the call is over after the update, a
    message is put into the outbox."""
    shows_numbers: bool = False
    """Whether the message has the number of the other party in full."""
    held_by: str = ""
    """If set, the update applies only while this process handles the call (`CallRecord.process`)."""


def updated(row: CallRecord | None, update: CallUpdate) -> CallRecord | None:
    """Returns the record after the update. None means that the update does not apply, because the call is not known and
    does not begin, or because another process handles it.
    """
    if row is None:
        if not update.begins:
            return None
        row = CallRecord(update.key, started_at=update.at)
    elif update.held_by and row.process != update.held_by:
        return None
    changes = {name: _fitting(name, value) for name, value in update.changes.items()}
    if changes.get("stream") == REFUSED and row.stream not in ("", REFUSED):
        return None  # the call has, or had, a stream that was admitted
    if row.direction:
        changes.pop("direction", None)  # a process with only the stream assumes an inbound call
    if row.stream and "stream" not in changes:
        changes.pop("process", None)  # the process of the last stream handles the call
        changes.pop("instance", None)
    if row.status == INTERRUPTED and "status" in changes:
        row = replace(row, ended_at=None, ending="")
    if row.status in ENDED or (row.status == "in-progress" and changes.get("status") in _EARLY):
        changes.pop("status", None)
    if row.sid is not None or changes.get("sid") is None:
        changes.pop("sid", None)
    if row.started_at is not None and isinstance(begun := changes.get("started_at"), datetime):
        changes["started_at"] = min(row.started_at, begun)  # another process may have had the call before
    for name in ("answered_at", "ended_at"):
        if getattr(row, name) is not None:
            changes.pop(name, None)
    return replace(row, **changes, updated_at=max(update.at, row.updated_at or update.at))


def _fitting(name: str, value: Any) -> Any:
    """Returns the value in a form that every database accepts."""
    if name == "sid":
        return value if isinstance(value, str) and is_key(value) else None
    if name in JSON_FIELDS:
        return clean_json(value)
    if name in MAX_CHARS:
        return clean_text("" if value is None else str(value), MAX_CHARS[name])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return clean_number(value)
    return value
