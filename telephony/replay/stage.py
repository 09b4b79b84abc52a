"""Plays both sides of a recording in virtual time: the phone by its clock, the model by its causes.

One timer, one order: by time, then by the place in the recording; each message is a turn of the event loop.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from realtime_core import errors
from realtime_core.connection import Close, Connection
from realtime_core.errors import ConnectFailed

from .causes import AUDIO
from .marks import AFTER_ALL, Place
from .model_cues import ModelCues
from .peers import ReplayedConnection
from .perturbation import Perturbation
from .recording import Incoming, RecordedStream, Recording

__all__ = ["ModelStage", "Stage"]

_LINGER_S = 5.0
"""After the last of the phone, so long our own closing is waited for."""
_DUE_LATER = 1e-9
_BEHIND_S = 1e-4
_SAME_STEP_S = 2e-6
_AT_ONCE_S = 0.01
"""A stream that begins so soon is that with which the call begins; else the call was there before."""


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
        attempt = self.cues.attempt()
        if attempt is None and not self._reached:
            raise ConnectFailed("The model was not reached in the recording.")
        if attempt is not None:
            await asyncio.sleep(max(0.0, attempt.t - self.now))
            if "error" in attempt.data:
                raise _refusal(attempt.data)
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

    def _play(self, coming: tuple[float, float]) -> None:
        """Do what is due then: now, or in a moment."""
        if (incoming := self.cues.take(max(self.now, coming[0]))) is not None:
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
        last: tuple[float, float] | None = None
        try:
            while (coming := self._next()) is not None and self._is_due(coming, last):
                self._play(coming)
                last = coming
        finally:
            self._playing = False
        self._set_timer()

    def _is_due(self, coming: tuple[float, float], last: tuple[float, float] | None) -> bool:
        """Now; or it came in the same step as the last, as far as can be known: at one time, and nothing was done
        between them."""
        if last is None:
            return coming[0] <= self.now + _DUE_LATER
        return coming[1] == last[1] + 1 and coming[0] - last[0] < _SAME_STEP_S

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None


class _Line:
    """One stream of the phone, played again."""

    def __init__(self, recorded: RecordedStream, stage: Stage) -> None:
        self.connection = ReplayedConnection(self._on_sent)
        self.start = recorded.start
        self._stage = stage
        self._curve = recorded.marks
        self._frames = recorded.phone
        self._next_frame = 0
        self._place = Place()
        self._marks: list[tuple[float, float, int, str]] = []
        self._serial = 0
        self._over_at = max(recorded.ended_t or 0.0, recorded.phone[-1].t if recorded.phone else recorded.t)

    def coming(self) -> tuple[float, float] | None:
        """(when, the place in the recording) of what the phone says next."""
        if self.connection.is_over:
            return None
        if self._next_frame == len(self._frames):
            return self._marks[0][:2] if self._marks else (self._over_at + _LINGER_S, AFTER_ALL)
        frame = self._frames[self._next_frame]
        coming = (frame.t, frame.index)
        return min(coming, self._marks[0][:2]) if self._marks else coming

    def play(self, coming: tuple[float, float]) -> None:
        """Say it."""
        if self._marks and self._marks[0][:2] == coming:
            self.connection.say(heapq.heappop(self._marks)[3])
        elif self._next_frame < len(self._frames):
            frame = self._frames[self._next_frame]
            self._next_frame += 1
            if frame.event == "close":
                self.connection.end(_close(frame.text))
            else:
                self.connection.say(frame.text)
        else:
            self.connection.end(Close(1006, "the recording is over", "network"))

    def _on_sent(self, text: str) -> None:
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
        self._stage.changed()

    def _on_mark(self, name: str, stream_sid: str) -> None:
        due, order = self._curve.due(self._place, self._stage.now)
        mark = {"event": "mark", "sequenceNumber": "1", "streamSid": stream_sid, "mark": {"name": name}}
        text = orjson.dumps(mark).decode()
        self._serial += 1
        heapq.heappush(self._marks, (due, order, self._serial, text))

    def _flush(self) -> None:
        """All that are out come back at once."""
        at = self._stage.now + self._curve.turnaround_s
        self._marks = [(min(due, at), order, serial, text) for due, order, serial, text in self._marks]
        heapq.heapify(self._marks)


class Stage(ModelStage):
    """Both sides. `on_stream` gets the connection of each media stream, at the time at which it began."""

    def __init__(
        self,
        recording: Recording,
        perturbation: Perturbation | None = None,
        *,
        on_stream: Callable[[Connection], None],
    ) -> None:
        super().__init__(recording, perturbation)
        self._on_stream = on_stream
        self._lines: list[_Line] = []
        self._to_come = deque(recording.streams)
        for at, length in self.perturbation.stalls:
            self._loop.call_later(at, self._loop.stall, length)  # type: ignore[attr-defined]
        for begin, end, reads_first in recording.stalls:
            self._loop.call_later(begin + _BEHIND_S, self._stand_still, end - begin - _BEHIND_S, reads_first)
        if self._to_come[0].t < _AT_ONCE_S:
            self._begin_stream()
        self.changed()

    def changed(self) -> None:
        """The phone may have something to say at another time."""
        self._set_timer()

    def _stand_still(self, seconds: float, reads_first: bool) -> None:
        self._loop.stall(seconds)  # type: ignore[attr-defined]
        if reads_first:
            self._cancel_timer()
            self._fire()

    def _begin_stream(self) -> None:
        line = _Line(self._to_come.popleft(), self)
        self._lines = [each for each in self._lines if not each.connection.is_over] + [line]
        self.cues.stream_began()
        line.connection.say(line.start)
        self._on_stream(line.connection)
        self._model_changed()

    def _next(self) -> tuple[float, float] | None:
        phone, model = self._next_of_phone()[0], self._model_next
        return phone if model is None or (phone is not None and phone < model) else model

    def _next_of_phone(self) -> tuple[tuple[float, float] | None, _Line | None]:
        """When something comes from the phone, and from which stream; None: it is a new one."""
        first, from_line = None, None
        for line in self._lines:
            coming = line.coming()
            if coming is not None and (first is None or coming < first):
                first, from_line = coming, line
        if self._to_come:
            stream = self._to_come[0]
            if first is None or (stream.t, stream.index) < first:
                return (stream.t, stream.index), None
        return first, from_line

    def _play(self, coming: tuple[float, float]) -> None:
        if coming == self._model_next:
            super()._play(coming)
            return
        line = self._next_of_phone()[1]
        if line is None:
            self._begin_stream()
        else:
            line.play(coming)


def _refusal(data: Mapping[str, Any]) -> Exception:
    """The error of a connection that could not be opened. One that is not of `realtime_core` came from a user's own
    transport; the model does not try again after it."""
    kind = getattr(errors, str(data.get("type", "ConnectFailed")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.RealtimeCoreError)):
        return OSError(str(data["error"]))
    try:
        error = kind(str(data["error"]))
    except TypeError:  # it wants to know more than the journal does
        error = ConnectFailed(str(data["error"]))
    if isinstance(error, ConnectFailed):
        error.status = data.get("status")
    return error


def _close(text: str) -> Close:
    data: dict[str, Any] = orjson.loads(text)
    by = data.get("by")
    return Close(int(data.get("code", 1006)), str(data.get("reason", "")), "peer" if by == "peer" else "network")
