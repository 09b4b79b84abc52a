"""Plays both sides of a recording. The messages of the phone come at their recorded times. The messages of the model
come after the events that caused them in the recording (their triggers).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable

import orjson

from realtime_core.connection import Close, Connection

from .mark_timing import AFTER_ALL, StreamPosition
from .model_player import ModelPlayer, ReplayedConnection, close_in
from .perturbation import Perturbation
from .recording import RecordedStream, Recording

__all__ = ["CallPlayer"]

_LINGER_S = 5.0
"""The time in seconds for which the connection stays open after the last message of the phone. The replayed code can
close the connection in this time.
"""
_AFTER_S = 1e-4
_AT_ONCE_S = 0.01
"""The maximum time in seconds from the start of a call to its first stream. If the stream starts later, the call
existed before the stream.
"""


class _StreamPlayer:
    """Plays one recorded media stream."""

    def __init__(self, recorded: RecordedStream, player: CallPlayer) -> None:
        self.connection = ReplayedConnection(self._on_sent)
        self.start = recorded.start
        self._player = player
        self._timing = recorded.marks
        self._frames = recorded.phone
        self._next_frame = 0
        self._position = StreamPosition()
        self._marks: list[tuple[float, float, int, str]] = []
        self._serial = 0
        self._over_at = max(recorded.ended_t or 0.0, recorded.phone[-1].t if recorded.phone else recorded.t)

    def coming(self) -> tuple[float, float] | None:
        """Returns the time and the order in the recording of the next message of the phone, or None."""
        if self.connection.is_over:
            return None
        if self._next_frame == len(self._frames):
            return self._marks[0][:2] if self._marks else (self._over_at + _LINGER_S, AFTER_ALL)
        frame = self._frames[self._next_frame]
        coming = (frame.t, frame.index)
        return min(coming, self._marks[0][:2]) if self._marks else coming

    def play(self, coming: tuple[float, float]) -> None:
        """Sends the message at this time and order."""
        if self._marks and self._marks[0][:2] == coming:
            self.connection.say(heapq.heappop(self._marks)[3])
        elif self._next_frame < len(self._frames):
            frame = self._frames[self._next_frame]
            self._next_frame += 1
            if frame.event == "close":
                self.connection.end(close_in(frame.text))
            else:
                self.connection.say(frame.text)
        else:
            self.connection.end(Close(1006, "the recording is over", "network"))

    def _on_sent(self, text: str) -> None:
        message = orjson.loads(text)
        match message.get("event"):
            case "media":
                payload = message["media"]["payload"]
                self._position.media(len(payload) * 3 // 4 - payload[-2:].count("="))
            case "clear":
                self._position.clear()
                self._flush()
            case "mark":
                self._on_mark(message["mark"]["name"], message.get("streamSid", ""))
        self._player.changed()

    def _on_mark(self, name: str, stream_sid: str) -> None:
        due, order = self._timing.due(self._position, self._player.now)
        mark = {"event": "mark", "sequenceNumber": "1", "streamSid": stream_sid, "mark": {"name": name}}
        text = orjson.dumps(mark).decode()
        self._serial += 1
        heapq.heappush(self._marks, (due, order, self._serial, text))

    def _flush(self) -> None:
        """Makes all open marks due now, as Twilio returns them immediately after a `clear`."""
        at = self._player.now + self._timing.turnaround_s
        self._marks = [(min(due, at), order, serial, text) for due, order, serial, text in self._marks]
        heapq.heapify(self._marks)


class CallPlayer(ModelPlayer):
    """Plays both sides of a recorded call. `on_stream` is called with the connection of each media stream when the
    stream begins.
    """

    def __init__(
        self,
        recording: Recording,
        perturbation: Perturbation | None = None,
        *,
        on_stream: Callable[[Connection], None],
    ) -> None:
        super().__init__(recording, perturbation)
        self._on_stream = on_stream
        self._streams: list[_StreamPlayer] = []
        self._waiting = deque(recording.streams)
        for at, length in self.perturbation.stalls:
            self._loop.call_later(at, self._loop.stall, length)  # type: ignore[attr-defined]
        for begin, end, reads_first in recording.stalls:
            self._loop.call_later(begin + _AFTER_S, self._block, end - begin - _AFTER_S, reads_first)
        if self._waiting[0].t < _AT_ONCE_S:
            self._begin_stream()
        self.changed()

    def changed(self) -> None:
        """Sets the timer for the next message of the recorded phone again. Must be called when this message or its time
        may have changed, for example because the call has sent a message to the phone.
        """
        self._set_timer()

    def _block(self, seconds: float, reads_first: bool) -> None:
        self._loop.stall(seconds)  # type: ignore[attr-defined]
        if reads_first:
            self._timer.cancel()
            self._play_due()

    def _begin_stream(self) -> None:
        stream = _StreamPlayer(self._waiting.popleft(), self)
        self._streams = [each for each in self._streams if not each.connection.is_over] + [stream]
        self.schedule.stream_began()
        stream.connection.say(stream.start)
        self._on_stream(stream.connection)
        self._model_changed()

    def _next(self) -> tuple[float, float] | None:
        phone, model = self._next_of_phone()[0], self._model_next
        return phone if model is None or (phone is not None and phone < model) else model

    def _next_of_phone(self) -> tuple[tuple[float, float] | None, _StreamPlayer | None]:
        """Returns the time and the order of the next message of the phone, and its stream. None in place of the stream
        means a new stream.
        """
        first, from_stream = None, None
        for stream in self._streams:
            coming = stream.coming()
            if coming is not None and (first is None or coming < first):
                first, from_stream = coming, stream
        if self._waiting:
            new = self._waiting[0]
            if first is None or (new.t, new.index) < first:
                return (new.t, new.index), None
        return first, from_stream

    def _play(self, coming: tuple[float, float]) -> None:
        if coming == self._model_next:
            super()._play(coming)
            return
        stream = self._next_of_phone()[1]
        if stream is None:
            self._begin_stream()
        else:
            stream.play(coming)
