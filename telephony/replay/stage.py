"""Plays both sides of a recording in virtual time: the phone by its clock, the model by its causes.

One timer, one order: by time, then by the place in the recording; each message is a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping
from typing import Any

import orjson

from realtime_core.connection import Close, Connection
from realtime_core.errors import ConnectFailed

from .causes import AUDIO
from .marks import AFTER_ALL, Place
from .model_cues import ModelCues
from .peers import ReplayedConnection
from .perturbation import Perturbation
from .recording import Incoming, Recording

__all__ = ["ModelStage", "Stage"]

_LINGER_S = 5.0
"""After the last of the phone, so long our own closing is waited for."""


class ModelStage:
    """The model's side alone: `transport` opens its connections. Made within the running loop, at the call's start."""

    def __init__(self, recording: Recording, perturbation: Perturbation | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.perturbation = perturbation or Perturbation()
        self.cues = ModelCues(recording)
        self._reached = bool(recording.model)
        self._sessions: list[ReplayedConnection] = []
        self._start = self._loop.time()
        self._model_next: tuple[float, float] | None = None
        self._playing = False
        self._timer: asyncio.Handle | None = None
        self._timer_at: float | None = None
        if self.perturbation.disconnect_at_s is not None:
            self._loop.call_later(self.perturbation.disconnect_at_s, self._disconnect)

    @property
    def now(self) -> float:
        return self._loop.time() - self._start

    async def transport(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Opens the next of the recorded connections."""
        if not self._reached:
            raise ConnectFailed("The model was not reached in the recording.")
        await asyncio.sleep(max(0.0, self.cues.opens_at() - self.now))
        connection = ReplayedConnection(self._on_command)
        self.cues.opened(self.now)
        self._sessions.append(connection)
        self._model_changed()
        return connection

    def close(self) -> None:
        self._cancel_timer()

    def _on_command(self, text: str) -> None:
        now = self.now
        if AUDIO in text[:120] or text.endswith(f'"{AUDIO}"}}'):
            start = text.find('"audio":"') + 9
            end = text.find('"', start)
            if not self.cues.appended((end - start) * 3 // 4 - text.count("=", end - 2, end), now):
                return
        else:
            message = orjson.loads(text)
            self.cues.sent(str(message.get("type", "")), message, now)
        self._model_changed()

    def _say(self, incoming: Incoming) -> None:
        connection = self._sessions[min(incoming.session, len(self._sessions) - 1)]
        if incoming.event == "close":
            connection.end(_close(incoming.text))
        else:
            connection.say(self.cues.renamed(incoming.text))

    def _disconnect(self) -> None:
        if self._sessions:
            self._sessions[-1].end(Close(1006, "perturbation", "network"))

    # --- one timer -----------------------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        """What the model says next may be another, or due at another time."""
        due, head = self.cues.due(), self.cues.head
        self._model_next = None if due is None or head is None else (due, head.index)
        self._set_timer()

    def _next(self) -> tuple[float, float] | None:
        """(when, the place in the recording) of what comes next."""
        return self._model_next

    def _play(self) -> None:
        """Do what is due now."""
        if (incoming := self.cues.take(self.now)) is not None:
            self._say(incoming)
        self._model_changed()

    def _set_timer(self) -> None:
        if self._playing:
            return
        coming = self._next()
        at = None if coming is None else coming[0]
        if at == self._timer_at:
            return
        self._cancel_timer()
        if at is not None:
            self._timer_at = at
            self._timer = self._loop.call_at(self._start + at, self._fire)

    def _fire(self) -> None:
        self._timer = self._timer_at = None
        self._playing = True
        try:
            self._play()
        finally:
            self._playing = False
        self._set_timer()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None


class Stage(ModelStage):
    """Both sides. `phone` is the media stream's connection for `run_call`."""

    def __init__(self, recording: Recording, perturbation: Perturbation | None = None) -> None:
        super().__init__(recording, perturbation)
        self._recording = recording
        self.phone = ReplayedConnection(self._on_phone)
        self._frames = recording.phone
        self._next_frame = 0
        self._place = Place()
        self._marks: list[tuple[float, float, int, str]] = []
        self._serial = 0
        self._over_at = recording.phone[-1].t if recording.phone else 0.0
        self.phone.say(recording.start)
        self._set_timer()
        for at, length in self.perturbation.stalls:
            self._loop.call_later(at, self._loop.stall, length)  # type: ignore[attr-defined]

    def _on_phone(self, text: str) -> None:
        message = orjson.loads(text)
        match message.get("event"):
            case "media":
                payload = message["media"]["payload"]
                self._place.media(len(payload) * 3 // 4 - payload[-2:].count("="))
            case "clear":
                self._place.clear()
                self._flush()
            case "mark":
                self._on_mark(message["mark"]["name"], message.get("streamSid", ""))
        self._set_timer()

    def _on_mark(self, name: str, stream_sid: str) -> None:
        due, order = self._recording.marks.due(self._place, self.now)
        mark = {"event": "mark", "sequenceNumber": "1", "streamSid": stream_sid, "mark": {"name": name}}
        text = orjson.dumps(mark).decode()
        self._serial += 1
        heapq.heappush(self._marks, (due, order, self._serial, text))

    def _flush(self) -> None:
        """All that are out come back at once."""
        at = self.now + self._recording.marks.turnaround_s
        self._marks = [(min(due, at), order, serial, text) for due, order, serial, text in self._marks]
        heapq.heapify(self._marks)

    def _next(self) -> tuple[float, float] | None:
        phone, model = self._next_of_phone(), self._model_next
        return phone if model is None or (phone is not None and phone < model) else model

    def _next_of_phone(self) -> tuple[float, float] | None:
        if self.phone.is_over:
            return None
        if self._next_frame == len(self._frames):
            return self._marks[0][:2] if self._marks else (self._over_at + _LINGER_S, AFTER_ALL)
        frame = self._frames[self._next_frame]
        coming = (frame.t, frame.index)
        return min(coming, self._marks[0][:2]) if self._marks else coming

    def _play(self) -> None:
        coming = self._next_of_phone()
        if coming is None or (self._model_next is not None and self._model_next < coming):
            super()._play()
        elif self._marks and self._marks[0][:2] == coming:
            self.phone.say(heapq.heappop(self._marks)[3])
        elif self._next_frame < len(self._frames):
            frame = self._frames[self._next_frame]
            self._next_frame += 1
            if frame.event == "close":
                self.phone.end(_close(frame.text))
            else:
                self.phone.say(frame.text)
        else:
            self.phone.end(Close(1006, "the recording is over", "network"))


def _close(text: str) -> Close:
    data: dict[str, Any] = orjson.loads(text)
    by = data.get("by")
    return Close(int(data.get("code", 1006)), str(data.get("reason", "")), "peer" if by == "peer" else "network")
