"""Plays the model's side of a recording. Each message is sent after the events that caused it in the recording (its
triggers) have happened.

There is one timer. Due messages are sent in order of time and then in the order of the recording. Each message takes
one turn of the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from realtime_core import errors
from realtime_core.connection import Close, Connection
from realtime_core.connection.delivery import DeliveringConnection, check_close
from realtime_core.deadline_timer import DeadlineTimer
from realtime_core.errors import ConnectFailed

from .model_schedule import ModelSchedule
from .perturbation import Perturbation
from .recording import Incoming, Recording
from .triggers import AUDIO

__all__ = ["ModelPlayer", "ReplayedConnection", "close_in"]

_DUE_LATER = 1e-9
_SAME_STEP_S = 2e-6


class ReplayedConnection(DeliveringConnection):
    """Takes the place of a network connection in a replay. The replay passes recorded messages to the replayed code
    with `say`. `on_send` is called with each message that the replayed code sends. `on_close` is called when the
    replayed code closes the connection.
    """

    def __init__(self, on_send: Callable[[str], None], on_close: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._on_send = on_send
        self._on_close = on_close

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    def say(self, text: str) -> None:
        """Passes a recorded message to the replayed code immediately, as if the other end of the connection had sent
        the message.
        """
        if self._ended is None:
            self._deliver(text)

    def end(self, close: Close) -> None:
        """Ends the connection as in the recording. `close` says how the other end or the network ended the
        connection.
        """
        self._end(close)

    def send(self, text: str) -> None:
        if self._ended is None:
            self._on_send(text)

    @property
    def buffered_bytes(self) -> int:
        return 0

    def close(self, code: int = 1000, reason: str = "") -> None:
        reason = check_close(code, reason)
        if self._ended is None:
            self._stop_delivering()
            self._on_close()
            self._end(Close(code, reason, "us"))

    def _drop(self) -> None:
        if self._ended is None:
            self._end(Close(1006, "", "network"))

    def _listening_changed(self) -> None:
        pass


class ModelPlayer:
    """Plays the model's side of a recording. `transport` opens the connections. The object must be created in the
    running event loop when the call starts.
    """

    def __init__(self, recording: Recording, perturbation: Perturbation | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self.perturbation = perturbation or Perturbation()
        self.schedule = ModelSchedule(recording)
        self._reached = bool(recording.model)
        self._sessions: list[ReplayedConnection] = []
        self._start = self._loop.time()
        self._model_next: tuple[float, float] | None = None
        self._playing = False
        self._timer = DeadlineTimer(self._on_time)
        if self.perturbation.disconnect_at_s is not None:
            self._loop.call_later(self.perturbation.disconnect_at_s, self._disconnect)

    @property
    def now(self) -> float:
        return self._loop.time() - self._start

    async def transport(self, url: str, headers: Mapping[str, str]) -> Connection:
        """Opens the next recorded connection to the model, at its recorded time. `url` and `headers` are ignored.
        Raises the recorded error if this connection failed, and `ConnectFailed` if the recording contains no
        connection.
        """
        attempt = self.schedule.attempt()
        if attempt is None and not self._reached:
            raise ConnectFailed("The model was not reached in the recording.")
        if attempt is not None:
            await asyncio.sleep(max(0.0, attempt.t - self.now))
            if "error" in attempt.data:
                raise _refusal(attempt.data)
        connection = ReplayedConnection(self._on_command)
        self.schedule.opened(self.now)
        self._sessions.append(connection)
        self._model_changed()
        return connection

    def close(self) -> None:
        self._timer.cancel()

    def _on_command(self, text: str) -> None:
        now = self.now
        if AUDIO in text[:120] or text.endswith(f'"{AUDIO}"}}'):
            start = text.find('"audio":"') + 9
            end = text.find('"', start)
            if not self.schedule.appended((end - start) * 3 // 4 - text.count("=", end - 2, end), now):
                return
        else:
            message = orjson.loads(text)
            self.schedule.sent(str(message.get("type", "")), message, now)
        self._model_changed()

    def _say(self, incoming: Incoming) -> None:
        connection = self._sessions[min(incoming.session, len(self._sessions) - 1)]
        if incoming.event == "close":
            connection.end(close_in(incoming.text))
        else:
            connection.say(self.schedule.renamed(incoming.text))

    def _disconnect(self) -> None:
        if self._sessions:
            self._sessions[-1].end(Close(1006, "perturbation", "network"))

    # --- one timer -----------------------------------------------------------------------------------------------

    def _model_changed(self) -> None:
        """Computes the next message of the model again, because the message or its time may have changed."""
        due, head = self.schedule.due(), self.schedule.head
        self._model_next = None if due is None or head is None else (due, head.index)
        self._set_timer()

    def _next(self) -> tuple[float, float] | None:
        """Returns the time and the order in the recording of the next message, or None."""
        return self._model_next

    def _play(self, coming: tuple[float, float]) -> None:
        """Plays the messages that are due at that time."""
        if (incoming := self.schedule.take(max(self.now, coming[0]))) is not None:
            self._say(incoming)
        self._model_changed()

    def _set_timer(self) -> None:
        if self._playing:
            return
        coming = self._next()
        self._timer.set(None if coming is None else self._start + coming[0])

    def _on_time(self, now: float) -> None:
        self._play_due()

    def _play_due(self) -> None:
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
        """Returns whether a message is due now, or belongs to the same step as the last message: at the same time,
        without a record in between.
        """
        if last is None:
            return coming[0] <= self.now + _DUE_LATER
        return coming[1] == last[1] + 1 and coming[0] - last[0] < _SAME_STEP_S


def _refusal(data: Mapping[str, Any]) -> Exception:
    """Returns the exception for a connection that could not be opened.

    An exception from outside of `realtime_core` came from a user's own transport. The model does not retry after such
    an exception.
    """
    kind = getattr(errors, str(data.get("type", "ConnectFailed")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.RealtimeCoreError)):
        return OSError(str(data["error"]))
    try:
        error = kind(str(data["error"]))
    except TypeError:  # the journal does not have all of its arguments
        error = ConnectFailed(str(data["error"]))
    if isinstance(error, ConnectFailed):
        error.status = data.get("status")
    return error


def close_in(text: str) -> Close:
    """Parses `text`, the JSON text of a `close` record. Returns the end of the connection. If the code is missing, the
    code is 1006. If the application or no side closed the connection in the recording, the result says that the network
    ended the connection.
    """
    data: dict[str, Any] = orjson.loads(text)
    by = data.get("by")
    return Close(int(data.get("code", 1006)), str(data.get("reason", "")), "peer" if by == "peer" else "network")
