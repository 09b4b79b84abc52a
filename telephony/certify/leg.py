"""One end of a call. The media stream of this end sends audio, marks and clears, receives audio, and writes all
messages into a trace.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from .call_checks import Trace

__all__ = ["Leg"]

_FRAME = 160
_PIECE = 20 * _FRAME


class Leg:
    """One end (leg) of a call. The end has one media stream at a time, and can have several streams in succession."""

    def __init__(self) -> None:
        self.trace = Trace()
        self.call_sid = ""
        self.attached = asyncio.Event()
        self.stopped = asyncio.Event()
        self._socket: WebSocket | None = None
        self._sid = ""
        self._samples = 0
        self._news = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    async def serve(self, socket: WebSocket) -> None:
        """Reads the messages of a media stream of this end of the call until the connection ends, and stores their
        content in `trace` for the checks.
        """
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                self._take(socket, json.loads(await socket.receive_text()))
        if self._socket is socket:
            self._socket = None
            self.attached.clear()
            self.trace.stopped_at = self._clock()
            self.stopped.set()
            self._news.set()

    def _take(self, socket: WebSocket, message: dict[str, Any]) -> None:
        now, trace = self._clock(), self.trace
        match message.get("event"):
            case "start":
                self._socket, self._sid, self._samples = socket, message["streamSid"], 0
                self.call_sid = message["start"]["callSid"]
                trace.media_format, trace.started_at = message["start"].get("mediaFormat"), now
                trace.streams += 1
                self.stopped.clear()
                self.attached.set()
            case "media":
                media = message["media"]
                trace.frames.append((now, int(media["timestamp"]), base64.b64decode(media["payload"])))
            case "mark":
                trace.returned.setdefault(message["mark"]["name"], now)
            case "dtmf":
                trace.keys.append((now, message["dtmf"]["digit"]))
            case "stop":
                trace.stopped_at = now
                self.stopped.set()
        self._news.set()

    async def play(self, ulaw: bytes, *, mark_every: int = 1600) -> None:
        """Sends the whole audio (mu-law, 8 kHz) immediately, with a mark after each `mark_every` samples."""
        for at in range(0, len(ulaw), mark_every):
            piece = ulaw[at : at + mark_every]
            self.trace.sent.append((self._clock(), len(piece)))
            for start in range(0, len(piece), _PIECE):
                payload = base64.b64encode(piece[start : start + _PIECE]).decode()
                await self._send({"event": "media", "media": {"payload": payload}})
            self._samples += len(piece)
            await self.mark(f"at {self._samples}")

    async def mark(self, name: str) -> None:
        self.trace.marks[name] = (self._clock(), self._samples)
        await self._send({"event": "mark", "mark": {"name": name}})

    async def clear(self) -> None:
        self.trace.clears.append(self._clock())
        await self._send({"event": "clear"})

    async def close(self) -> None:
        """Closes the media stream of this end. Twilio then continues with the next TwiML."""
        if (socket := self._socket) is not None:
            with contextlib.suppress(RuntimeError):
                await socket.close(1000)

    async def until_loud(self, seconds: float, within_s: float) -> bool:
        """Waits until at least `seconds` seconds have passed since the sound of the other end was first heard. Returns
        False if this does not happen within `within_s` seconds.
        """
        from .call_checks import heard_times

        async def wait() -> None:
            while True:
                heard = heard_times(self.trace)
                if heard is not None and self._clock() - heard[0] >= seconds:
                    return
                self._news.clear()
                await self._news.wait()

        return await _within(wait(), within_s)

    async def until_keys(self, n: int, within_s: float) -> bool:
        async def wait() -> None:
            while len(self.trace.keys) < n:
                self._news.clear()
                await self._news.wait()

        return await _within(wait(), within_s)

    async def _send(self, message: dict[str, Any]) -> None:
        if (socket := self._socket) is not None:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.send_text(json.dumps({**message, "streamSid": self._sid}))


async def _within(work: Any, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await work
    except TimeoutError:
        return False
    return True
