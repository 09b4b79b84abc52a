"""Puts faults into the media stream of a replayed call: messages are delayed, dropped, doubled or changed. A
`Perturbation` describes the faults.
"""

from __future__ import annotations

import asyncio
from collections import deque

import orjson
import pybase64

from realtime_core.connection import Close, Connection, MessageHandler
from realtime_core.connection.wrapper import ConnectionWrapper

from .perturbation import ClearRace, Perturbation

__all__ = ["PerturbedStream", "perturbed"]


def perturbed(phone: Connection, perturbation: Perturbation) -> Connection:
    """Returns the connection `phone` with the faults of `perturbation`. If there are no faults, returns `phone`
    unchanged.
    """
    return PerturbedStream(phone, perturbation) if perturbation.touches_phone else phone


class PerturbedStream(ConnectionWrapper):
    """A connection that delays, drops, doubles and changes messages between the call and the phone. The order in each
    direction is kept, except for marks (the phone's reports that audio was played), which may be delayed.
    """

    def __init__(self, phone: Connection, perturbation: Perturbation) -> None:
        super().__init__(phone)
        self._perturbation = perturbation
        self._loop = asyncio.get_running_loop()
        self._sent: deque[str] = deque()
        self._clear: tuple[str, ClearRace] | None = None
        """A delayed `clear` message, with its fault. Messages that are sent later wait until the `clear` was sent."""
        self._release_timer: asyncio.TimerHandle | None = None
        self._marks: set[str] = set()
        """The names of the marks that have not come back."""
        self._flushed: set[str] = set()
        """The names of the marks that come back out of order."""
        self._on_message: MessageHandler | None = None
        self._failure: Exception | None = None
        self._latest = 0.0

    # --- to the phone --------------------------------------------------------------------------------------------

    def send(self, text: str) -> None:
        self._sent.append(text)
        self._forward()

    def _forward(self) -> None:
        while self._sent and self._clear is None:
            text = self._sent.popleft()
            race = self._perturbation.clear() if text.startswith('{"event":"clear"') else None
            if race is None or not (race.late_s or race.scattered):
                self._pass(text)
            else:
                self._clear = (text, race)
                self._release_timer = self._loop.call_later(race.late_s, self._release)
                if race.scattered or (race.when_dry and not self._marks):
                    self._release()

    def _pass(self, text: str) -> None:
        if text.startswith('{"event":"mark"'):
            self._marks.add(orjson.loads(text)["mark"]["name"])
        self.inner.send(text)

    def _release(self) -> None:
        """Sends the delayed clear, and the messages that wait after the clear."""
        if self._clear is None:
            return
        (text, race), self._clear = self._clear, None
        if self._release_timer is not None:
            self._release_timer.cancel()
        if race.scattered:
            self._flushed |= self._marks
        self._pass(text)
        self._forward()

    # --- from the phone ------------------------------------------------------------------------------------------

    async def run(self, on_message: MessageHandler) -> Close:
        self._on_message = on_message
        try:
            close = await self.inner.run(self._take)
            if close.by != "us":
                await asyncio.sleep(max(0.0, self._latest - self._loop.time()))
            if self._failure is not None:
                raise self._failure
            return close
        finally:
            self._on_message = None
            if self._release_timer is not None:
                self._release_timer.cancel()

    def _take(self, message: str | bytes) -> None:
        now = self._perturbation.arrival(self._loop.time())
        fields = orjson.loads(message)
        if fields.get("event") == "media":
            voice = self._perturbation.voice(pybase64.b64decode(fields["media"]["payload"]))
            if voice is None:
                return
            fields["media"]["payload"] = pybase64.b64encode_as_string(voice)
            message = orjson.dumps(fields).decode()
        elif fields.get("event") == "mark":
            self._mark(fields["mark"]["name"], message, now)
            return
        self._latest = max(self._latest, now)
        self._deliver(self._latest, message)

    def _mark(self, name: str, message: str | bytes, now: float) -> None:
        self._marks.discard(name)
        for at in self._perturbation.mark(max(self._latest, now), scattered=name in self._flushed):
            self._deliver(at, message)
        self._flushed.discard(name)
        if self._clear is not None and self._clear[1].when_dry and not self._marks:
            self._release()

    def _deliver(self, at: float, message: str | bytes) -> None:
        if at <= self._loop.time():
            self._hand_over(message)
        else:
            self._loop.call_at(at, self._hand_over, message)

    def _hand_over(self, message: str | bytes) -> None:
        if self._on_message is None:
            return  # the call is over
        try:
            self._on_message(message)
        except Exception as error:  # noqa: BLE001 - the handler is the user's: `run` raises it
            self._failure = self._failure or error
            self.inner.close(1011, "internal error")

    # --- both ------------------------------------------------------------------------------------------------------

    @property
    def buffered_bytes(self) -> int:
        return super().buffered_bytes + sum(map(len, self._sent))

    def close(self, code: int = 1000, reason: str = "") -> None:
        self._on_message = None
        super().close(code, reason)
