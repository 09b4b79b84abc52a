"""Decides the state of a message after one attempt to deliver it: delivered, pending for another attempt, or dead.
Pure.

Attempts are repeated with exponential backoff and jitter until `Message.give_up_at`, a day after the message was
created. According to the specification, any 2xx status is a success, and 410 means that the receiver wants no more
messages (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md). A redirect is a
failure, because it could send the message to a URL that the operator did not choose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random

from ..records.outbox import Message, MessageState

__all__ = ["Answer", "after"]

_FIRST_S = 5.0
_FACTOR = 2.5
_LONGEST_S = 3600.0
_MAX_RETRY_AFTER_S = 6 * 3600.0
_GONE = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of the receiver to an attempt to deliver a webhook message. `status` is the HTTP status, or 0 if
    there was no response. In this case `error` contains the reason.
    """

    status: int = 0
    error: str = ""
    retry_after_s: float | None = None
    """The value of the header `Retry-After`, in seconds."""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """The response as a short text for the log and the command line: the HTTP status, or the error if there was no
        response.
        """
        if not self.status:
            return self.error
        return f"HTTP {self.status}" + (" (redirects are not followed)" if 300 <= self.status < 400 else "")


def after(message: Message, answer: Answer, now: datetime, random: Random) -> Message:
    """Returns the message with its new state after an attempt to deliver it, to which the receiver gave the response
    `answer`. `now` is in UTC. `random` gives the jitter of the waiting time. `message.attempts` includes this attempt.
    """
    if answer.is_success:
        return replace(message, state=MessageState.DELIVERED, due_at=now, error="")
    if answer.status == _GONE:
        return replace(
            message, state=MessageState.DEAD, due_at=now, error=f"{answer.words}: the receiver wants no more"
        )
    due = now + timedelta(seconds=_pause_s(message.attempts, answer, random))
    if now >= message.give_up_at:
        return replace(message, state=MessageState.DEAD, due_at=now, error=answer.words)
    return replace(message, due_at=min(due, message.give_up_at), error=answer.words)


def _pause_s(attempts: int, answer: Answer, random: Random) -> float:
    """Returns the pause before the next attempt in seconds. Half of the pause is fixed and half is random, so messages
    that failed together are repeated at different times.
    """
    exponent = min(max(0, attempts - 1), math.ceil(math.log(_LONGEST_S / _FIRST_S, _FACTOR)))
    pause_s = min(_LONGEST_S, _FIRST_S * _FACTOR**exponent) * random.uniform(0.5, 1.0)
    if answer.retry_after_s is not None and answer.retry_after_s > 0:
        return max(pause_s, min(answer.retry_after_s, _MAX_RETRY_AFTER_S))
    return pause_s
