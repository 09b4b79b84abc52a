"""Simulates Twilio's end of a media stream, with a caller on the phone. Connects `line` (the network), `playout` (the
buffer) and `wire` (the messages) to the event loop.

Frames are sent and audio is played by the phone's clock, which drifts against the clock of the event loop. A frame is
sent when its last sample was said. The timestamp of a frame is that of its first sample.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

from realtime_core.connection import Close, Connection
from realtime_core.connection.memory import MemoryConnection
from realtime_core.connection.websocket import WebSocketConnection
from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.sources import SYSTEM, Sources

from .deviations import NONE, Deviations
from .events import (
    AudioReceived,
    BufferEmptied,
    Cleared,
    ClipStarted,
    Closed,
    Event,
    HungUp,
    MarkReturned,
    Pressed,
    Violation,
)
from .handset import Handset
from .line import Line
from .pipe import Pipe
from .playout import FRAME, RATE, Playout, Returned
from .wire import Clear, Mark, Play, Rejected, Sender, decode

__all__ = ["Caller", "MediaPeer"]

Caller = Callable[[Handset], Awaitable[None]]
"""A coroutine function that plays the person on a simulated phone. The call is hung up when the function returns."""

_NO_PARAMETERS: Mapping[str, str] = {}


class MediaPeer:
    """Simulates Twilio's end of one media stream over `connection`. The peer computes what the caller hears with its
    own code, independent of the tested application.

    `drawn` has the delays, jitter and clock drift of this call, which were drawn at random from the ranges in `line`.
    `events` has the events in order. `heard` is the audio that was played to the caller.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        stream_sid: str | None = None,
        call_sid: str | None = None,
        account_sid: str | None = None,
        parameters: Mapping[str, str] = _NO_PARAMETERS,
        line: Line | None = None,
        sources: Sources = SYSTEM,
        on_event: Callable[[Event], None] | None = None,
        phone: Handset | None = None,
        deviations: Deviations = NONE,
    ) -> None:
        """Creates the peer. A given `phone` may be used for several streams, and its owner must call `press` and
        `hang_up`. By default the peer creates its own handset.
        """
        self.stream_sid = stream_sid or sources.id("MZ")
        self.call_sid = call_sid or sources.id("CA")
        self.account_sid = account_sid or sources.id("AC")
        self.line = line or Line()
        self.drawn = self.line.draw()
        self.events: list[Event] = []
        self.started_at: float = 0.0
        """The event loop's time at the stream's start."""
        self._deviations = deviations
        self._connection = connection
        self._on_event = on_event
        self._sender = Sender(self.stream_sid, self.call_sid, self.account_sid, parameters)
        self._samples_per_s = RATE * (1 + self.drawn.drift_ppm * 1e-6)
        self._playout = Playout(
            start_delay=round(self.drawn.start_delay_s * RATE), grain=FRAME if self.drawn.ticks else 1
        )
        self._phone = phone or Handset(
            now=lambda: self.now, on_say=self._said, on_press=self.press, on_hang_up=self.hang_up
        )
        self._inbox: list[str | bytes] = []
        self._frames = 0
        self._live = False

    @property
    def heard(self) -> bytes:
        """The audio that was played to the caller since the start of the stream: mu-law, with 0xFF where no audio was
        played.
        """
        return bytes(self._playout.heard)

    @property
    def now(self) -> float:
        """The seconds since the start of the stream, on the phone's clock."""
        return (self._loop.time() - self.started_at) * self._samples_per_s / RATE

    @property
    def violations(self) -> list[Violation]:
        return [event for event in self.events if isinstance(event, Violation)]

    def lose(self) -> None:
        """Breaks the connection, as if the server had died."""
        if isinstance(self._connection, MemoryConnection | WebSocketConnection):
            self._connection.break_()
        else:
            raise TypeError(
                f"{type(self._connection).__name__} cannot break: use a connection over sockets or in memory."
            )

    async def run(self, caller: Caller) -> Close:
        """Starts the stream and runs `caller`. Returns how the connection ended. If `caller` raises an exception,
        breaks the connection and raises the exception. `caller` is cancelled when the server ends the stream.
        """
        self._begin()
        try:
            async with asyncio.TaskGroup() as group:
                call = group.create_task(self._call(caller))
                close = await self._connection.run(self._down.push)
                call.cancel()
        except ExceptionGroup as errors:
            if len(errors.exceptions) == 1:
                raise errors.exceptions[0] from None
            raise
        finally:
            self._stop()
            self._up.close()
            self._down.close()
        self._log(Closed(self.now, close.code, close.reason, close.by))
        return close

    async def _call(self, caller: Caller) -> None:
        await caller(self._phone)
        self.hang_up()

    # --- the phone's clock ---------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.started_at = self._loop.time()
        self._up: Pipe[str | None] = Pipe(self.drawn.up, self._send)
        self._down: Pipe[str | bytes] = Pipe(self.drawn.down, self._arrived)
        self._mark_timer = DeadlineTimer(self._mark_due)
        self._up.push(self._sender.connected())
        self._up.push(self._sender.start())
        self._live = True
        self._frame_timer = DeadlineTimer(self._tick)
        self._frame_timer.set(self._time_of(FRAME))

    def _stop(self) -> None:
        if self._live:
            self._advance(self._position())
            self._live = False
            self._frame_timer.cancel()
            self._mark_timer.cancel()

    def _position(self) -> int:
        """Returns the stream position that plays now. A timer may fire slightly early, so a thousandth of a sample is
        added.
        """
        return math.floor((self._loop.time() - self.started_at) * self._samples_per_s + 1e-3)

    def _time_of(self, position: int) -> float:
        return self.started_at + position / self._samples_per_s

    def _tick(self, now: float) -> None:
        """Sends the frames that are due. After a stall of this process several frames are due."""
        position = self._position()
        while self._live and (end := (self._frames + 1) * FRAME) <= position:
            self._frames += 1
            self._advance(end)
            if self._inbox:
                messages, self._inbox = self._inbox, []
                for message in messages:
                    self._handle_command(message)
            stamp_ms = (end - FRAME) * 1000 // RATE
            stamp_ms += self._deviations.stamps_jump_ms * (stamp_ms // 1000)
            self._up.push(self._sender.media(stamp_ms, self._phone.speak()))
            self._phone.hear(bytes(self._playout.heard[end - FRAME : end]))
        if self._live:
            self._frame_timer.set(self._time_of((self._frames + 1) * FRAME))

    # --- what the server sends -----------------------------------------------------------------------------------

    def _arrived(self, message: str | bytes) -> None:
        if not self._live:
            return
        if self.drawn.ticks:
            self._inbox.append(message)
        else:
            self._advance(self._position())
            self._handle_command(message)
            self._await_mark()

    def _handle_command(self, message: str | bytes) -> None:
        try:
            command = decode(message, self.stream_sid)
        except Rejected as error:
            self._log(Violation(self.now, error.code, error.reason))
            return
        playout = self._playout
        match command:
            case Play(ulaw):
                if playout.media(ulaw):
                    self._log(AudioReceived(self.now, len(ulaw), playout.buffered))
                else:
                    self._log(Violation(self.now, 31931, "more than ten minutes of audio are buffered"))
            case Mark(name) if self._deviations.marks_early:
                self._return([Returned(name, playout.position)])
            case Mark(name):
                self._return(playout.mark(name))
            case Clear() if self._deviations.ignores_clear:
                pass
            case Clear():
                flushed, returned = playout.clear()
                marks = tuple(mark.name for mark in returned)
                self._log(Cleared(self.now, playout.position, playout.received, flushed, marks))
                self._return(returned)

    def _advance(self, position: int) -> None:
        playout = self._playout
        buffered = playout.buffered
        self._return(playout.advance(position))
        if buffered and not playout.buffered:
            self._log(BufferEmptied(self.now, playout.dry_at))

    def _return(self, marks: list[Returned]) -> None:
        late_s = self._deviations.marks_late_s
        for mark in marks:
            if late_s:
                self._loop.call_later(late_s, self._up.push, self._sender.mark(mark.name))
            else:
                self._up.push(self._sender.mark(mark.name))
            self._log(MarkReturned(self.now, mark.name, mark.position, mark.flushed))

    def _await_mark(self) -> None:
        """Sets the timer for the next mark. Without ticks, a mark is returned exactly at its sample."""
        self._mark_timer.cancel()  # a new timer keeps the order of stored journals at equal times
        due = self._playout.next_mark
        self._mark_timer.set(None if due is None else self._time_of(due))

    def _mark_due(self, now: float) -> None:
        self._advance(self._position())
        self._await_mark()

    # --- what the caller does ------------------------------------------------------------------------------------

    def _said(self, what: str, samples: int) -> None:
        self._log(ClipStarted(self.now, what, samples))

    def press(self, digit: str) -> None:
        """Presses a key of the simulated phone."""
        if self._live:
            self._log(Pressed(self.now, digit))
            self._up.push(self._sender.dtmf(digit))

    def hang_up(self) -> None:
        """Hangs up the simulated phone."""
        if self._live:
            self._stop()
            self._log(HungUp(self.now))
            self._say_stop()

    def stop(self) -> None:
        """Ends the stream as Twilio does when the call is over or redirected."""
        if self._live:
            self._stop()
            self._say_stop()

    def _say_stop(self) -> None:
        self._up.push(self._sender.stop())
        self._up.push(None)

    def _send(self, message: str | None) -> None:
        if message is None:
            self._connection.close(1000)
        else:
            self._connection.send(message)

    def _log(self, event: Event) -> None:
        self.events.append(event)
        if self._on_event is not None:
            self._on_event(event)
