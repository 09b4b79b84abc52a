"""The outbox: messages about ended calls and campaigns that wait for their delivery by webhook. Pure.

A message is written in the same database transaction as the change that it reports, for example the final status of a
call. The id of the message is computed from the call, contact or campaign, so a repeated write creates no second
message. A process claims due messages for a short time. If the process dies, the messages become due again, and another
process delivers them with the same id.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Any, Protocol

from ..masking import mask_number
from .call_record import INTERRUPTED, CallRecord

__all__ = ["CALL_ENDED", "GIVE_UP", "Message", "MessageState", "Outbox", "Waiting", "contact_key", "message_of"]

CALL_ENDED = "call.ended"
GIVE_UP = timedelta(days=1)
"""The time for which the delivery of a webhook message is tried. After this time the message gets the state `DEAD`."""
MAX_PAYLOAD_BYTES = 256 * 1024
_LARGE = ("turns", "tools", "transfers", "result")
"""The fields of a message that are removed, in this order, until the payload is small enough."""


class MessageState(StrEnum):
    """The states of a message for a webhook."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """The message could not be delivered in time, or the receiver refused the message permanently. `telephony webhooks
    redeliver` tries the delivery again.
    """


@dataclass(frozen=True, slots=True)
class Message:
    """One message about an ended call or a campaign, for the delivery by webhook. Dates are in UTC."""

    id: str
    """The header `webhook-id` of the message. Each attempt to deliver the message has the same id."""
    call_id: str
    kind: str
    payload: str
    """The body of the webhook request: JSON text."""
    created_at: datetime
    due_at: datetime
    give_up_at: datetime
    state: MessageState = MessageState.PENDING
    attempts: int = 0
    """How often a process has claimed the message in order to deliver it."""
    error: str = ""
    """The reason why the last attempt to deliver the message failed."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The numbers of webhook messages that have not been delivered. The delivery of a `pending` message will be tried
    again. The delivery of a `dead` message was given up. Times are in UTC.
    """

    pending: int = 0
    dead: int = 0
    oldest: datetime | None = None
    """The time at which the oldest pending message was created."""


class Outbox(Protocol):
    """A store of the messages about ended calls and campaigns that are delivered by webhook. `now` is in UTC. The
    methods may block, and raise the same exceptions as `Records`.
    """

    def claim_due(self, now: datetime, *, lease_s: float, limit: int) -> list[Message]:
        """Claims at most `limit` due webhook messages, the oldest first, so that this process delivers them. No other
        process gets a claimed message for `lease_s` seconds. After this time the message is due again, unless `settle`
        was called for the message.
        """

    def settle(self, message: Message) -> bool:
        """Stores the `state`, `due_at` and `error` of a message after an attempt to deliver the message. `claim_due`
        must have returned the message. Returns False and stores nothing if another process has claimed the message in
        the meantime.
        """

    def messages(self, *, state: MessageState | None = None, limit: int = 100) -> list[Message]:
        """Returns the newest messages, at most `limit`. With `state`, returns only messages in this state."""

    def redeliver(self, ids: Sequence[str] | None, now: datetime) -> int:
        """Makes the messages with these ids due, so they are delivered again. With None, makes all dead messages due:
        the messages whose delivery was given up. Returns the number of messages.
        """

    def waiting(self) -> Waiting:
        """Returns the numbers of webhook messages that have not been delivered, and the time at which the oldest
        pending message was created.
        """


def contact_key(campaign_id: str, contact_id: str) -> str:
    """Returns the value of `Message.call_id` for a message about a contact of a campaign: a hash of both ids. For a
    message about a call, `Message.call_id` is the id of the call.
    """
    return sha256(f"{campaign_id}\0{contact_id}".encode()).hexdigest()


def message_of(row: CallRecord, now: datetime, *, hold_s: float = 0.0, shows_numbers: bool = False) -> Message:
    """Returns the webhook message about an ended call, due after `hold_s` seconds. The number of the other party is
    masked, unless `shows_numbers` is True. A call that was `interrupted` and ends later has a second message.
    """
    kind = INTERRUPTED if row.status == INTERRUPTED else "ended"
    message_id = "msg_" + sha256(f"{row.id}\0{kind}".encode()).hexdigest()[:32]
    due = now + timedelta(seconds=hold_s)
    return Message(message_id, row.id, CALL_ENDED, _payload(row, now, shows_numbers), now, due, now + GIVE_UP)


def _payload(row: CallRecord, now: datetime, shows_numbers: bool) -> str:
    """Returns the call record as JSON text of at most `MAX_PAYLOAD_BYTES` bytes."""
    data: dict[str, Any] = row.to_json()
    if not shows_numbers:  # a call that was interrupted, or that ended elsewhere, still has the number in its record
        other = "called" if row.direction.startswith("outbound") else "caller"
        data[other] = mask_number(data[other])
    left_out: list[str] = []
    for name in ("", *_LARGE):
        if name:
            data[name] = None
            left_out.append(name)
        about = {**data, **({"left_out": left_out} if left_out else {})}
        text = json.dumps({"type": CALL_ENDED, "timestamp": now.isoformat(), "data": about}, ensure_ascii=False)
        if len(text.encode()) <= MAX_PAYLOAD_BYTES:
            break
    return text
