"""One end of a WebSocket (RFC 6455) as an `asyncio.Protocol`.

`send` writes to the transport in the same step of the event loop, and `on_message` is called from `data_received`.
There is no queue and no task between the socket and its user. Whole text messages use the fast path of `frames`. The
sans-I/O core of `websockets` handles everything else: handshakes, control frames, fragments and errors.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Callable, Sequence
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from . import Close
from .delivery import DeliveringConnection, check_close
from .frames import FrameSplitter, Masks, masked_text, text_frame

__all__ = ["WebSocketConnection"]

_END_OF_HEAD = b"\r\n\r\n"


class WebSocketConnection(DeliveringConnection, asyncio.Protocol):
    """One end of a WebSocket, created by `connect` and `serve`. The event loop calls the methods of `asyncio.Protocol`.

    If the peer does not read and more than `max_buffered_bytes` bytes wait, the connection is dropped. `run` then
    returns a `Close` with code 1006 and `by="network"`.
    """

    def __init__(
        self,
        protocol: ClientProtocol | ServerProtocol,
        on_handshake: Callable[[WebSocketConnection, Request | Response], None],
        *,
        close_timeout_s: float,
        ping_interval_s: float | None,
        ping_timeout_s: float | None,
        max_message_bytes: int | None,
        max_buffered_bytes: int,
    ) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._on_handshake = on_handshake
        self._close_timeout_s = close_timeout_s
        self._ping_interval_s = ping_interval_s
        self._ping_timeout_s = ping_timeout_s
        self._max_buffered_bytes = max_buffered_bytes
        self._transport: asyncio.Transport
        """Set by `connection_made`. With TLS, this is after the TLS handshake."""
        self._has_transport = False
        is_client = isinstance(protocol, ClientProtocol)
        self._splitter = FrameSplitter(
            masked=not is_client, max_bytes=sys.maxsize if max_message_bytes is None else max_message_bytes
        )
        self._masks = Masks(secrets.token_bytes) if is_client else None
        self._is_open = protocol.state is State.OPEN
        """Whether the handshake is done, so that frames follow."""
        self._may_send = self._is_open
        """Whether the protocol is in the state OPEN. `websockets` computes the state in a function."""
        self._head = b""
        """The last bytes of the peer's handshake so far."""
        self._forced_close: Close | None = None
        self._fragments: list[bytes | bytearray] = []
        self._fragments_opcode = Opcode.TEXT
        self._alive = True
        self._ping_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self.lost: asyncio.Future[None] = self._loop.create_future()
        """A future that is done when the socket is closed."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that both ends have agreed on, or None."""
        return self._protocol.subprotocol

    def send(self, text: str) -> None:
        if self._can_send():
            self._transport.write(self._encode(text))

    def send_all(self, texts: Sequence[str]) -> None:
        if texts and self._can_send():
            self._transport.write(b"".join(map(self._encode, texts)))

    def _can_send(self) -> bool:
        if not self._may_send:
            return False
        if self._transport.get_write_buffer_size() > self._max_buffered_bytes:
            self._break("the peer does not read")
            return False
        return True

    def _encode(self, text: str) -> bytes:
        return text_frame(text.encode()) if self._masks is None else masked_text(text.encode(), self._masks.next())

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def close(self, code: int = 1000, reason: str = "") -> None:
        reason = check_close(code, reason)
        if self._protocol.state is not State.OPEN:
            return
        self._forced_close = Close(code, reason, "us")
        self._stop_delivering()
        self._protocol.send_close(code, reason)
        self._write()
        self._expect_end()
        self._listening_changed()

    def break_(self) -> None:
        """Ends the connection at once and without a CLOSE frame, as when a process dies. For simulations."""
        self._break("the connection was broken here")

    def _drop(self) -> None:
        if self._has_transport:
            self._transport.abort()
        elif not self.lost.done():  # in the TLS handshake, which ends at its own time limit
            self.lost.set_result(None)

    def _break(self, why: str) -> None:
        self._forced_close = self._forced_close or Close(1006, why, "network")
        self._transport.abort()

    def _listening_changed(self) -> None:
        if self._listening:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._has_transport = cast(asyncio.Transport, transport), True
        if self.lost.done():
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._alive = True
        if not self._is_open:
            data = self._receive_handshake(data)
        for is_text, piece in self._splitter.feed(data):
            if not is_text:
                self._receive(piece)
            elif (text := self._decode(piece)) is not None:
                if self._handler is None:
                    self._deliver(text)
                else:
                    try:
                        self._handler(text)
                    except Exception as error:  # noqa: BLE001 - the handler is the user's
                        self._failed(error)
            if self._transport.is_closing():
                break

    def _receive_handshake(self, data: bytes) -> bytes:
        """Handles data of the handshake. Returns the bytes after the handshake, which are frames."""
        known, seen = len(self._head), self._head + data
        self._head = seen[-3:]
        end = seen.find(_END_OF_HEAD)
        size = len(data) if end < 0 else end + len(_END_OF_HEAD) - known
        self._receive(data[:size])
        rest = data[size:]
        self._is_open = self._protocol.state is State.OPEN
        if rest and not self._is_open:  # the body of a refusal
            self._receive(rest)
            return b""
        return rest

    def _receive(self, data: bytes) -> None:
        """Handles all received data that is not a whole text message, with the protocol of `websockets`."""
        protocol = self._protocol
        protocol.receive_data(data)
        self._may_send = protocol.state is State.OPEN
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame_received(event)
            else:
                self._on_handshake(self, event)
        self._write()
        if protocol.parser_exc is not None or protocol.close_rcvd is not None:
            self._splitter.pass_all()
        if protocol.parser_exc is not None:
            self._expect_end()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.receive_eof()
        self._may_send = False
        for timer in (self._ping_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._end(self._how_it_ended(exc))
        if not self.lost.done():
            self.lost.set_result(None)

    def _how_it_ended(self, exc: Exception | None) -> Close:
        protocol = self._protocol
        if self._forced_close is not None:
            return self._forced_close
        if protocol.close_rcvd is not None and protocol.parser_exc is None:
            return Close(int(protocol.close_rcvd.code), protocol.close_rcvd.reason, "peer")
        if protocol.close_sent is not None:  # because of a message of the peer: 1002, 1007, 1009
            return Close(int(protocol.close_sent.code), protocol.close_sent.reason, "us")
        return Close(1006, str(exc or ""), "network")

    # Frames

    def opened(self) -> None:
        """Stops reading from the socket until `run` is called, and starts the pings. Must be called once, when the
        opening handshake is complete.
        """
        self._listening_changed()
        self._schedule_ping()

    def write_handshake(self) -> None:
        """Writes the opening handshake to the socket."""
        self._write()

    def _frame_received(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            if frame.fin:
                self._message_received(opcode, cast(bytes | bytearray, frame.data))
            else:
                self._fragments_opcode = opcode
                self._fragments = [cast(bytes | bytearray, frame.data)]
        elif opcode is Opcode.CONT:
            self._fragments.append(cast(bytes | bytearray, frame.data))
            if frame.fin:
                data, self._fragments = b"".join(self._fragments), []
                self._message_received(self._fragments_opcode, data)
        elif opcode is Opcode.CLOSE:
            # Both CLOSE frames are exchanged. RFC 6455, section 7.1.1, lets the client end the TCP connection, too.
            self._write()
            self._expect_end()
            self._transport.close()

    def _message_received(self, opcode: Opcode, data: bytes | bytearray) -> None:
        if opcode is Opcode.BINARY:
            self._deliver(bytes(data))
        elif (text := self._decode(data)) is not None:
            self._deliver(text)

    def _decode(self, data: bytes | bytearray) -> str | None:
        try:
            return data.decode()
        except UnicodeDecodeError:
            self.close(1007, "text that is not UTF-8")
            return None

    def _write(self) -> None:
        """Writes the bytes of the protocol. Called after each change of its state."""
        self._may_send = self._protocol.state is State.OPEN
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif self._protocol.parser_exc is None or not self._transport.can_write_eof():
                self._transport.close()
            else:
                # The peer may still send. Closing a socket with unread data would reset the connection and lose the
                # CLOSE frame. Therefore only the sending direction ends here, and reading continues to the end.
                self._transport.write_eof()

    def _expect_end(self) -> None:
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(self._close_timeout_s, self._transport.abort)

    # Keepalive

    def _schedule_ping(self) -> None:
        if self._ping_interval_s is not None:
            self._ping_timer = self._loop.call_later(self._ping_interval_s, self._ping)

    def _ping(self) -> None:
        if self._protocol.state is State.OPEN:
            self._alive = False
            self._protocol.send_ping(b"")
            self._write()
            if self._ping_timeout_s is None:
                self._schedule_ping()
            else:
                self._ping_timer = self._loop.call_later(self._ping_timeout_s, self._check_alive)

    def _check_alive(self) -> None:
        # Any message proves that the peer is alive. While reading is paused, messages give no proof.
        if self._alive or not self._listening:
            self._schedule_ping()
        else:
            self._break(f"no answer to a ping within {self._ping_timeout_s:g} s")
