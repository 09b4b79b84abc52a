"""The outbox (the messages about ended calls, for webhooks) in the memory of this process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from .outbox import GIVE_UP, Message, MessageState, Waiting

__all__ = ["MemoryOutbox"]

_MAX_MESSAGES = 10_000


class MemoryOutbox:
    """Stores in the memory of this process the messages about ended calls that are delivered by webhook. Implements
    `Outbox`. Only the newest messages are kept, until the process ends.
    """

    def __init__(self) -> None:
        self._messages: OrderedDict[str, Message] = OrderedDict()

    def put(self, message: Message) -> None:
        known = self._messages.get(message.id)
        if known is None:
            self._messages[message.id] = message
            if len(self._messages) > _MAX_MESSAGES:
                self._messages.popitem(last=False)
        elif known.state is MessageState.PENDING and known.attempts == 0:
            due = min(known.due_at, message.due_at)
            self._messages[message.id] = replace(known, payload=message.payload, due_at=due)

    def forget(self, call_id: str) -> None:
        """Removes the messages about the call with this id."""
        for message in [each for each in self._messages.values() if each.call_id == call_id]:
            del self._messages[message.id]

    def claim_due(self, now: datetime, *, lease_s: float, limit: int) -> list[Message]:
        due = [each for each in self._messages.values() if each.state is MessageState.PENDING and each.due_at <= now]
        claimed = []
        for message in sorted(due, key=lambda each: each.due_at)[:limit]:
            later = now + timedelta(seconds=lease_s)
            self._messages[message.id] = replace(message, attempts=message.attempts + 1, due_at=later)
            claimed.append(self._messages[message.id])
        return claimed

    def settle(self, message: Message) -> bool:
        known = self._messages.get(message.id)
        if known is None or known.attempts != message.attempts:
            return False
        self._messages[message.id] = replace(known, state=message.state, due_at=message.due_at, error=message.error)
        return True

    def messages(self, *, state: MessageState | None = None, limit: int = 100) -> list[Message]:
        found = [each for each in self._messages.values() if state is None or each.state is state]
        return sorted(found, key=lambda each: each.created_at, reverse=True)[:limit]

    def redeliver(self, ids: Sequence[str] | None, now: datetime) -> int:
        these = [
            each
            for each in self._messages.values()
            if (each.state is MessageState.DEAD if ids is None else each.id in ids)
        ]
        for each in these:
            again = replace(each, state=MessageState.PENDING, due_at=now, give_up_at=now + GIVE_UP, error="")
            self._messages[each.id] = again
        return len(these)

    def waiting(self) -> Waiting:
        pending = [each for each in self._messages.values() if each.state is MessageState.PENDING]
        dead = sum(each.state is MessageState.DEAD for each in self._messages.values())
        return Waiting(len(pending), dead, min((each.created_at for each in pending), default=None))
