"""Sends the inputs of a session to its model, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from .bounded_queue import BoundedQueue
from .done import DONE, is_done, withdraw
from .errors import RealtimeCoreError, UserError
from .model import RealtimeModel
from .model_inputs import RealtimeModelSendAudio, RealtimeModelSendEvent

__all__ = ["Outbox", "PostAudio"]

_OTHER_BYTES = 1000
_LATER = object()
"""The marker for an input for which `send_event` has not been called."""
_Entry = tuple[RealtimeModelSendEvent, Any, "asyncio.Future[None] | None"]
"""An entry: the input, the result of `send_event` or `_LATER`, and a future for the waiting sender."""


class PostAudio(Protocol):
    """A function that sends a piece of the caller's audio without waiting. See `Outbox.post_audio`."""

    def __call__(self, audio: bytes, ulaw: bytes | None = None) -> None: ...


class Outbox:
    """Sends the inputs of a session (audio, messages and commands) to the model. If the model can, an input is sent in
    the same step of the event loop (`send_event` of the model does not wait). Otherwise a task sends the inputs in
    order.

    At most `max_bytes` bytes wait. An input other than audio counts as 1000 bytes. The oldest audio is dropped and
    counted, because late audio is useless. Another input for which there is no room raises `RealtimeCoreError`.
    """

    def __init__(
        self,
        model: RealtimeModel,
        start: Callable[[Coroutine[Any, Any, None], str], object],
        on_error: Callable[[Exception], None],
        max_bytes: int = 480_000,
    ) -> None:
        self._model = model
        self._start = start
        self._on_error = on_error
        self._waiting = BoundedQueue[_Entry](max_bytes, _size_of, may_drop=_is_audio, on_drop=_drop)
        self._pumping = False
        self._closed = False

    def post(self, event: RealtimeModelSendEvent) -> None:
        """Sends an input to the model without waiting. If this fails, the session emits an `error` event. Does nothing
        if the outbox is closed.
        """
        if self._closed:
            return
        try:
            sending = _LATER if self._waiting or self._pumping else self._model.send_event(event)
            if sending is not DONE:
                self._queue(event, sending, None)
        except Exception as error:  # noqa: BLE001  the model may be a user's
            self._on_error(error)

    def post_audio(self, audio: bytes, ulaw: bytes | None = None) -> None:
        """Sends a piece of the caller's audio to the model without waiting. If this fails, the session emits an `error`
        event. Does nothing if the outbox is closed. Called 50 times a second in a call. `ulaw` is explained in
        `RealtimeModelSendAudio`.
        """
        event = RealtimeModelSendAudio(audio, ulaw=ulaw)
        if self._closed or self._pumping:  # inputs wait only while the task sends them
            self.post(event)
            return
        try:
            sending = self._model.send_event(event)
            if sending is not DONE:
                self._queue(event, sending, None)
        except Exception as error:  # noqa: BLE001  the model may be a user's
            self._on_error(error)

    async def deliver(self, event: RealtimeModelSendEvent) -> None:
        """Sends an input, and returns when the input was sent. Raises the exceptions of the model, and `UserError` if
        the outbox is closed.
        """
        if self._closed:
            raise UserError("The session is closed.")
        sending = _LATER if self._waiting or self._pumping else self._model.send_event(event)
        if sending is not DONE:
            sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._queue(event, sending, sent)
            await sent

    def close(self) -> None:
        """Stops sending. Idempotent."""
        self._closed = True

    def _queue(self, event: RealtimeModelSendEvent, sending: Any, sent: asyncio.Future[None] | None) -> None:
        if sending is not _LATER and is_done(sending):
            if sent is not None:
                sent.set_result(None)
            return
        if not self._waiting.put((event, sending, sent)):
            withdraw(sending)
            raise RealtimeCoreError(
                f"The model accepts no more input: {len(self._waiting)} inputs wait for it already."
            )
        if not self._pumping:
            self._pumping = self._start(self._pump(), "outbox") is not None
            if not self._pumping:
                self._drop_all()

    @property
    def dropped_audio_bytes(self) -> int:
        return self._waiting.dropped

    async def _pump(self) -> None:
        try:
            while self._waiting:
                event, sending, sent = self._waiting.popleft()
                await self._send(event, sending, sent)
        finally:
            self._pumping = False
            self._drop_all()

    def _drop_all(self) -> None:
        """Drops all waiting inputs, because the session is no longer open."""
        for _, sending, sent in self._waiting.take():
            withdraw(sending)
            if sent is not None and not sent.done():
                sent.set_exception(UserError("The session is closed."))

    async def _send(self, event: RealtimeModelSendEvent, sending: Any, sent: asyncio.Future[None] | None) -> None:
        try:
            if sending is _LATER:
                sending = self._model.send_event(event)
            if not is_done(sending):
                await sending
        except Exception as error:  # noqa: BLE001  the model may be a user's
            if sent is None or sent.done():
                self._on_error(error)
            else:
                sent.set_exception(error)
        except asyncio.CancelledError:
            if sent is not None:
                sent.cancel()
            raise
        else:
            if sent is not None and not sent.done():
                sent.set_result(None)


def _is_audio(entry: _Entry) -> bool:
    event = entry[0]
    return isinstance(event, RealtimeModelSendAudio) and not event.commit and bool(event.audio)


def _size_of(entry: _Entry) -> int:
    event = entry[0]
    return len(event.audio) if isinstance(event, RealtimeModelSendAudio) and event.audio else _OTHER_BYTES


def _drop(entry: _Entry) -> None:
    _, sending, sent = entry
    withdraw(sending)
    if sent is not None and not sent.done():
        sent.set_result(None)
