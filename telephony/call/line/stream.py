"""Reads the messages of one media stream of Twilio, and passes the messages to the call of the stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from realtime_core.audio import g711
from realtime_core.connection import Close, Connection

from ...allowance import Allowance
from ...errors import MediaStreamError, StreamRefused
from ...twilio import media_stream
from ..call_info import Admit, CallInfo
from ..recording.recorder import CallRecorder

__all__ = ["MediaStream", "StreamListener"]

log = logging.getLogger(__name__)

START_TIMEOUT_S = 5.0
MAX_GAP_S = 10.0
GAP_PER_S = 1.5
"""The limit of the silence that replaces lost frames of the caller. One gap in the media timestamps gets at most
`MAX_GAP_S` seconds of silence. On average, at most `GAP_PER_S` seconds of silence are inserted per second. A real gap
cannot exceed this limit, because its timestamps advance only as fast as the time in which no frame arrives. Larger gaps
are errors of the sender, and are not filled.
"""
_MAX_EARLY = 100
"""The maximum number of keys that wait until `listen` is called. Such keys arrive together with the `start` message, or
during the admission.
"""
_MAX_LOGGED = 100
_MAX_KIND_CHARS = 80


class StreamListener(Protocol):
    """Receives the events of a media stream. The methods are called in the step of the event loop in which the message
    arrived.
    """

    def on_frame(self, timestamp_ms: int, ulaw: bytes) -> None:
        """Called for each piece of the caller's audio that arrives in a media message. `ulaw` is the audio (mu-law, 8
        kHz). If earlier messages were lost, `ulaw` begins with silence in place of the lost audio. `timestamp_ms` is
        the media timestamp of the message in milliseconds.
        """

    def on_mark(self, name: str) -> None: ...

    def on_digit(self, digit: str) -> None: ...

    def on_stream_end(self, stream: MediaStream, *, stopped: bool) -> None:
        """Called once, when the media stream has ended. `stopped` is True if Twilio sent `stop`. If `stopped` is False,
        the caller may still be on the phone.
        """


class MediaStream:
    """One media stream. `run` reads messages until the connection ends. Before `listen` is called, only the `start`
    message is handled. Audio that arrives before `listen` is dropped. Keys and `stop` wait until `listen`.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.close: Close | None = None
        self.opened_at = asyncio.get_running_loop().time()
        self.skipped = 0
        """How many messages could not be used."""
        self._started: asyncio.Future[media_stream.Start] = asyncio.get_running_loop().create_future()
        self._listener: StreamListener | None = None
        self._record: CallRecorder | None = None
        self._expected_ms: int | None = None
        self._silence = Allowance(per_s=GAP_PER_S, burst=MAX_GAP_S)
        self._ended = False
        self._early: list[tuple[str | bytes, media_stream.Message]] = []
        self._sid = ""
        self._logged_reasons: set[str] = set()

    @property
    def call_sid(self) -> str | None:
        """The `CallSid` in the `start` message of the stream, or None before this message has arrived."""
        started = self._started
        if not started.done() or started.cancelled() or started.exception() is not None:
            return None
        return started.result().call_sid

    async def start(self) -> media_stream.Start:
        """Waits for the `start` message of the stream, and returns the message.

        Raises:
            StreamRefused: no `start` arrived in time, or the audio format is not supported.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                start = await self._started
        except TimeoutError:
            raise StreamRefused(f"no `start` came within {START_TIMEOUT_S:g} s") from None
        got = (start.encoding, start.sample_rate, start.channels)
        if got != ("audio/x-mulaw", 8000, 1):
            raise StreamRefused(f"its format is {got}, and only audio/x-mulaw at 8000 Hz, 1 channel, is served")
        return start

    async def admitted(self, admit: Admit) -> tuple[media_stream.Start, CallInfo]:
        """Waits for the `start` message of the stream, and passes the message to `admit`, which returns the data of the
        call or refuses the stream. If `admit` is slow, later messages wait. Returns the `start` message and the data of
        the call.

        Raises:
            StreamRefused: the `start` is missing or invalid, or `admit` refused the stream.
        """
        start = await self.start()
        info = admit(start)
        if isinstance(info, Awaitable):
            self.connection.pause()
            try:
                info = await info
            finally:
                self.connection.resume()
        return start, info

    def listen(self, listener: StreamListener, record: CallRecorder) -> None:
        """Sends all later events to `listener`, and writes all later messages to the journal with `record`. If the
        stream has already ended, `on_stream_end` is called immediately.
        """
        self._listener = listener
        self._record = record
        record.seal.stream_started()
        early, self._early = self._early, []
        ended, self._ended = self._ended, False
        for text, event in early:
            self._on_other(text, event)
        if ended:
            self._end(stopped=False)

    async def run(self) -> Close:
        """Reads messages until the connection has ended. Returns how the connection ended."""
        try:
            self.close = close = await self.connection.run(self._on_message)
        except BaseException:
            self._end(stopped=False)
            raise
        if self._record is not None:
            self._record.write(
                "close", peer="twilio", stream_sid=self._sid, code=close.code, reason=close.reason, by=close.by
            )
        if not self._started.done():
            self._started.set_exception(StreamRefused("the connection ended before its `start`"))
            self._started.exception()  # so that no warning appears when no task waits for it
        # Only the `stop` message of Twilio means that the caller hung up. For a broken connection, servers report
        # different codes: 1006, 1005, 1000 or none.
        self._end(stopped=False)
        return close

    def _on_message(self, text: str | bytes) -> None:
        try:
            event = media_stream.decode(text)
        except MediaStreamError as error:
            self._skip(text, str(error))
            return
        if type(event) is not media_stream.Media or event.stream_sid != self._sid or event.track != "inbound":
            self._on_other(text, event)
            return
        # The caller's audio, 50 times a second.
        if self._record is not None and isinstance(text, str):
            self._record.caller_frame(text, event.timestamp_ms)
        if self._listener is None:
            return
        audio, stamp_ms, expected_ms = event.payload, event.timestamp_ms, self._expected_ms
        self._expected_ms = stamp_ms + len(audio) // 8
        if expected_ms is not None and expected_ms < stamp_ms:
            # A gap in the media timestamps. The voice activity detection of the server counts samples, so silence must
            # fill the time of the gap.
            now, gap_s = asyncio.get_running_loop().time(), (stamp_ms - expected_ms) / 1000
            audio = g711.SILENCE * round(8000 * self._silence.grant(now, gap_s)) + audio
        self._listener.on_frame(stamp_ms, audio)

    def _on_other(self, text: str | bytes, event: media_stream.Message) -> None:
        if type(event) is media_stream.Mark and event.stream_sid == self._sid and isinstance(text, str):
            # About ten times a second while the agent speaks.
            if self._record is not None and self._listener is not None:
                self._record.verbatim("twilio.in", text)
                self._listener.on_mark(event.name)
            return
        if isinstance(event, media_stream.Start):
            self._on_start(text, event)
            return
        if (mismatch := self._mismatch(event)) is not None:
            self._skip_mismatch(text, mismatch)
            return
        if self._listener is None and isinstance(event, media_stream.Dtmf | media_stream.Stop):
            if len(self._early) < _MAX_EARLY:
                self._early.append((text, event))
            return
        if self._record is not None:
            self._record.message("twilio.in", text, decoded=True)
        if isinstance(event, media_stream.Unknown):
            self._skip(text, "an event that is not known")
        elif self._listener is not None:
            if isinstance(event, media_stream.Dtmf):
                self._listener.on_digit(event.digit)
            elif isinstance(event, media_stream.Stop):
                self._end(stopped=True)
                self.connection.close(1000)  # no more messages follow, and some peers do not close

    def _on_start(self, text: str | bytes, start: media_stream.Start) -> None:
        if self._started.done():
            self._skip(text, "a second `start`")
        else:
            self._sid = start.stream_sid
            self._started.set_result(start)

    def _mismatch(self, event: media_stream.Message) -> str | None:
        """Returns the reason if a message belongs to another stream or another track, or None if the message belongs to
        this stream.
        """
        if not self._started.done() or isinstance(event, media_stream.Connected | media_stream.Unknown):
            return None
        says_nothing = isinstance(event, media_stream.Stop) and not event.stream_sid
        if event.stream_sid != self._sid and not says_nothing:
            return "a message of another stream"
        if isinstance(event, media_stream.Media) and event.track != "inbound":
            return "audio of another track than the caller's"
        if isinstance(event, media_stream.Dtmf) and event.track not in ("inbound_track", "inbound"):
            return "a key of another track than the caller's"
        return None

    def _skip_mismatch(self, text: str | bytes, why: str) -> None:
        """Ignores a message of another stream or track. Each kind of message is logged once, because such messages may
        arrive 50 times a second.
        """
        self.skipped += 1
        if why not in self._logged_reasons:
            self._logged_reasons.add(why)
            self.skipped -= 1
            self._skip(text, why)

    def _skip(self, text: str | bytes, why: str) -> None:
        """Counts and logs a message that cannot be used, with a limit for the log. The call continues."""
        self.skipped += 1
        if self.skipped <= _MAX_LOGGED:
            log.warning("Skipped a message of the media stream: %s", why)
        if self._record is not None:
            self._record.write("skipped", error=why, chars=len(text))

    def _end(self, *, stopped: bool) -> None:
        if not self._ended:
            self._ended = True
            if self._listener is not None:
                self._listener.on_stream_end(self, stopped=stopped)
