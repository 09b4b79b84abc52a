"""Decides when the next recorded message of the model is due in a replay, from the messages that the replayed code has
sent and their times. Times are in seconds since the start of the call. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Mapping
from typing import Any

from ..journal.format import Record
from .recording import Incoming, Recording
from .triggers import AUDIO, Trigger, our_ids

__all__ = ["ModelSchedule"]

PATIENCE_S = 3.0
"""The time in seconds for which a message of the model waits for a trigger (an event that caused the message in the
recording). If the trigger has not happened after this time, the message is skipped.
"""
_QUOTED = re.compile(r'"([A-Za-z0-9_\-]+)"')
_DUE_LATER = 1e-9


class ModelSchedule:
    """Decides when the recorded messages of the model are passed to the replayed code. `head` is the next message of
    the recording, and `due` returns its time. Times such as `now` are in seconds since the start of the call.

    `renamed` replaces the recorded ids of the client's items and events by the ids of the replay.
    """

    def __init__(self, recording: Recording) -> None:
        self._queue = deque(recording.model)
        self._met: dict[str, list[float]] = defaultdict(list)
        self._stream = 0
        self._audio_bytes: list[int] = []
        self._audio_t: list[float] = []
        self._recorded_ids: dict[str, deque[list[str]]] = defaultdict(deque)
        self._attempts = deque(recording.attempts)
        for command in recording.commands:
            self._recorded_ids[command.event].append(our_ids(command.message))
        self._renames: dict[str, str] = {}
        self._awaited_bytes: int | None = None
        self._head_since = 0.0
        self._last = 0.0
        self.skipped = 0
        """The number of skipped messages: their triggers did not happen."""

    @property
    def head(self) -> Incoming | None:
        return self._queue[0] if self._queue else None

    def attempt(self) -> Record | None:
        """Returns the recorded result of the next attempt to connect to the model, or None if the recording has no
        further attempt.
        """
        return self._attempts.popleft() if self._attempts else None

    def opened(self, now: float) -> int:
        """Stores the time `now` at which the replayed code has opened a connection to the model. From then on, the
        recorded messages of this connection may be sent. Returns the number of the connection, from 0.
        """
        self._met["open"].append(now)
        return len(self._met["open"]) - 1

    def stream_began(self) -> None:
        """Counts the caller's audio from 0 again. Must be called when a new media stream begins. Recorded messages that
        waited for audio of the earlier stream no longer wait for this audio.
        """
        self._stream += 1
        self._audio_bytes.clear()
        self._audio_t.clear()

    def appended(self, n_bytes: int, now: float) -> bool:
        """Must be called when the replayed code sends `n_bytes` bytes of the caller's audio to the model, at the time
        `now`. A recorded message of the model may wait for this audio. Returns True if the next message has now got all
        audio for which it waits, so `due` must be called again.
        """
        total = (self._audio_bytes[-1] if self._audio_bytes else 0) + n_bytes
        self._audio_bytes.append(total)
        self._audio_t.append(now)
        return self._awaited_bytes is not None and total >= self._awaited_bytes

    def sent(self, type: str, message: Mapping[str, Any], now: float) -> None:
        """Must be called when the replayed code sends a command to the model. `type` is the type of the command, such
        as `response.create`, and `now` is the time. The recorded messages of the model that wait for this command can
        then become due. Commands with audio are passed to `appended` instead.
        """
        self._met[type].append(now)
        if recorded := self._recorded_ids[type]:
            for then, today in zip(recorded.popleft(), our_ids(message), strict=False):
                if then != today:
                    self._renames[then] = today

    def due(self) -> float | None:
        """Returns the time at which `take` must be called for the next recorded message of the model. Returns None if
        no message is left, or if the time is not yet known because the replayed code must first connect or send more
        audio.
        """
        self._awaited_bytes = None
        head = self.head
        if head is None or head.session >= len(self._met["open"]):
            return None
        due = self._last if head.triggers else max(self._last, head.t)
        waits = False
        for trigger in head.triggers:
            if self._is_past(trigger):
                continue
            met = self._time_of(trigger)
            if met is not None:
                due = max(due, met + head.t - trigger.t)
            elif trigger.type == AUDIO:
                if trigger.stream > self._stream:
                    return None
                self._awaited_bytes = trigger.count
                return None
            elif trigger.type == "open":
                return None
            else:
                waits = True
        return max(due, self._head_since) + PATIENCE_S if waits else due

    def take(self, now: float) -> Incoming | None:
        """Returns the next recorded message of the model if it is due at `now`. Returns None if the message is not due,
        or if the message was skipped because an event that caused the message in the recording did not happen.
        """
        due = self.due()
        if due is None or due > now + _DUE_LATER:
            return None
        head = self._queue.popleft()
        self._head_since = now
        if any(self._time_of(trigger) is None for trigger in head.triggers if not self._is_past(trigger)):
            self.skipped += 1
            return None
        self._last = due
        return head

    def renamed(self, text: str) -> str:
        if not self._renames:
            return text
        return _QUOTED.sub(lambda found: f'"{self._renames.get(found[1], found[1])}"', text)

    def _is_past(self, trigger: Trigger) -> bool:
        """Returns whether the trigger is audio of an ended stream. Such a trigger counts as sent."""
        return trigger.type == AUDIO and trigger.stream < self._stream

    def _time_of(self, trigger: Trigger) -> float | None:
        if trigger.type == AUDIO:
            at = bisect_left(self._audio_bytes, trigger.count)
            return self._audio_t[at] if at < len(self._audio_t) else None
        times = self._met[trigger.type]
        return times[trigger.count - 1] if trigger.count <= len(times) else None
