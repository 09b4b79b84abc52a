"""The record of one call in the database, and the effect of updates. Pure.

Processes write updates in any order. A final status is never replaced, and a known `sid` is never replaced. The status
`interrupted` is not final. Other processes set this status when the process of a call has stopped renewing its lease.
That process may still be alive and merely suspended, so the next status that it writes replaces `interrupted`.

A record contains no typed digits. Of the conversation, a record contains only the result and the summary.
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
"""The status of a call whose process no longer shows that the process is alive. The process has ended, or is suspended.
"""
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
"""The maximum number of characters of each text field of a call record. Longer texts are cut."""
_EARLY = ("queued", "ringing")
_WORDS: Mapping[str, str] = {
    "busy": "the line was busy",
    "no-answer": "nobody answered",
    "canceled": "hung up before an answer",
    "failed": "the call could not be connected",
    "completed": "hung up",
    "interrupted": "its process ended",
}
"""The descriptions of endings that the other party or the network caused and that have no description yet."""
JSON_FIELDS = ("agents", "result", "turns", "tools", "transfers", "usage", "consent", "steps", "task")
_INTERNAL = ("process", "document", "subject", "number_key")


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call. Dates are in UTC. Phone numbers are masked when the call is over, unless the settings keep numbers."""

    id: str
    """The id: this application's own id for a placed call, and Twilio's `CallSid` for an inbound call."""
    sid: str | None = None
    direction: str = ""
    caller: str = ""
    called: str = ""
    agent: str = ""
    instance: str = ""
    """The name of the process that handles the call."""
    process: str = ""
    """The id of the process that handles the call. The lease of the process (which shows that the process is alive) has
    the same id. Empty in records of older releases.
    """
    status: str = ""
    """Twilio's status (`queued`, `ringing`, `in-progress`, `completed`, `busy`, `no-answer`, `failed` or `canceled`),
    or `interrupted` if the process of the call has died.
    """
    reason: str = ""
    """The reason why the call ended, as text, as far as this application knows it. The text is empty before the end."""
    error: str = ""
    answered_by: str = ""
    message_left: bool = False
    stream: str = ""
    """`open` while the call has a media stream. After the stream, the reason why the stream ended (`StreamEnd.why`).
    The text is empty before the first stream.
    """
    reattached: int = 0
    """How often a new media stream replaced a lost stream of the call."""
    offered: int = 0
    """How often this application has asked Twilio (with TwiML) for a new media stream, since the last media stream of
    the call started.
    """
    document: str = ""
    """The TwiML that continues the call. Removed when Twilio has requested the TwiML."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    updated_at: datetime | None = None
    """The time of the last update of this record."""
    duration_s: int | None = None
    cost: float | None = None
    """The price of the call at Twilio, in `currency`, or None if the price is unknown."""
    currency: str = ""
    subject: str = ""
    """A keyed hash of the number of the other party (`subjects.SubjectKey`). The hash is kept when the number is
    masked.
    """
    answered_at: datetime | None = None
    ending: str = ""
    """The reason why the call ended, as a code: the name of an `EndReason` in lower case, Twilio's status of a call
    without an answer, or the reason why the call was refused. `reason` contains the reason as text.
    """
    agents: list[str] | None = None
    """The names of the agents that have spoken, in order. `agent` is the last of these names."""
    outcome: str = ""
    result: Any = None
    """The structured result, as a JSON value."""
    summary: str = ""
    turns: list[dict[str, Any]] | None = None
    """The agent's turns. Each turn has `at_ms` (milliseconds since the start of the call), and `latency_ms`
    (milliseconds from the end of the caller's speech until the caller heard the answer). None if the turns are not
    known.
    """
    interruptions: int | None = None
    tools: dict[str, dict[str, int]] | None = None
    """The number of `calls` and of `failures` of each tool, by the name of the tool."""
    transfers: list[dict[str, Any]] | None = None
    usage: dict[str, Any] | None = None
    """The number of tokens of the model, by modality."""
    model_cost: float | None = None
    """The cost of the model in US dollars, or None if the cost is unknown."""
    journal: str = ""
    """The path of the journal, or its URL in object storage."""
    variant: str = ""
    """The version of the agent that answered the call: the name of the agent and a digest of its definition, such as
    `Desk 3f2a91c0d47e`. The word `canary` follows for a new version that only a part of the callers get.
    """
    language: str = ""
    """The language of the call."""
    steps: list[dict[str, Any]] | None = None
    """The results of the steps that were tried for the caller, such as an agent, another number and a voicemail, in
    order (see `telephony.numbers.ladder`). Each entry has `step` and `result`.
    """
    task: Any = None
    """A task that must be done after the call: call back a caller who left a message. `state` is `open` or `done`."""
    number_key: str = ""
    """The number or the pattern of numbers in the configuration whose limits count this call. The text is empty if no
    such limits apply.
    """
    consent: Any = None
    """The evidence about the consent to a recording (`telephony.call.consent.ConsentEvidence`), as JSON."""

    @property
    def over(self) -> bool:
        return self.status in ENDED or self.status == INTERRUPTED

    @property
    def is_with_agent(self) -> bool:
        """Whether the call is in progress and the caller still talks to the agent. False if another step of the
        number's configuration has taken over the call.
        """
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
        """The reason why the call ended, as a code. The text is empty while the call continues."""
        return self.ending or (self.status if self.over else "")

    @property
    def ending_words(self) -> str:
        """The reason why the call ended, as text. The text is empty while the call continues."""
        return self.reason or (self.error if self.over else "") or _WORDS.get(self.ending_code, self.ending_code)


@dataclass(frozen=True, slots=True)
class CallUpdate:
    """A change of a call record: new values for some fields of a `CallRecord`, known at the time `at`. `key` is the id
    or the `CallSid` of the call. If the call is not known and `begins` is True, a new record with the id `key` is
    created.
    """

    key: str
    at: datetime
    begins: bool = True
    changes: Mapping[str, Any] = field(default_factory=dict)
    announce_s: float | None = None
    """The delay in seconds of the webhook message about the ended call. If the value is set and the call is over after
    the update, a message is put into the outbox (the messages for webhooks).
    """
    shows_numbers: bool = False
    """Whether the webhook message about the ended call contains the full phone number of the other party. If False, the
    number is masked.
    """
    held_by: str = ""
    """The id of a process. If set, the update applies only while this process handles the call
    (`CallRecord.process`).
    """


def updated(row: CallRecord | None, update: CallUpdate) -> CallRecord | None:
    """Returns the call record `row` with the changes of `update`. With `row` None, returns a new record. Returns None
    if the update does not apply: there is no record and `update.begins` is False, or another process handles the call.
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
