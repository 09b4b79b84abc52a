"""The caller's leg (the connection between Twilio and the caller): its media stream, redirects to other TwiML, the wait
for the next media stream, and hanging up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from ...errors import TwilioError, TwilioInvalidState, TwilioNotFound, TwilioTimeout
from ...twilio.caller_id import Parties
from ..call_info import CallInfo
from ..ending import Ending
from ..line.stream import MediaStream
from ..ports import PhoneControl
from .next_twiml import StreamEnd, Why, end_of_call

__all__ = ["GONE", "CallerLeg", "FallbackTwiml"]

log = logging.getLogger(__name__)

GONE = "the caller has hung up"
"""The error text of a redirect that failed because the caller hung up."""
_STOP_S = 5.0
"""The maximum time in seconds between a redirect and the `stop` message of the media stream."""
_HANG_UP_S = 5.0


FallbackTwiml = Callable[[CallInfo, bool], str | None]
"""A function that returns the TwiML for a call that the agent cannot continue, or None. The second argument is True if
the caller has heard no apology yet.
"""


def _no_fallback(info: CallInfo, apologises: bool) -> str | None:
    return None


class CallerLeg:
    """The connection between Twilio and the caller (the caller's leg): the media stream that carries its audio, or the
    reason why there is no media stream.

    `away` is set while a redirect has moved the caller to other TwiML. A `stop` message then does not end the call.
    `report` is called at each change: with None for a new media stream, and with a `StreamEnd` for the end of a media
    stream.
    """

    def __init__(
        self,
        info: CallInfo,
        report: Callable[[StreamEnd | None], None],
        *,
        control: PhoneControl | None = None,
        own_number: str | None = None,
        fallback_twiml: FallbackTwiml = _no_fallback,
    ) -> None:
        self.info = info
        self.stream: MediaStream | None = None
        self.had_stream = False
        self.away: StreamEnd | None = None
        self.reattached = 0
        """The number of lost media streams that were replaced."""
        self.offered = 0
        """The number of times that Twilio got TwiML for a new media stream since the last media stream started."""
        self._offered_at: float | None = None
        self._report = report
        self.attached = asyncio.Event()
        self._detached = asyncio.Event()
        self._control = control
        self._own_number = own_number
        self._fallback_twiml = fallback_twiml

    @property
    def parties(self) -> Parties:
        """The number of the caller and the number of this application."""
        return self.info.parties(self._own_number)

    def fallback_twiml(self, *, apologises: bool = False) -> str | None:
        """Returns the TwiML that continues a call which the agent cannot continue, or None if there is no such TwiML.
        `apologises` is True if the TwiML must contain an apology, because the caller has not heard one yet.
        """
        return self._fallback_twiml(self.info, apologises)

    def offer(self) -> None:
        """Stores the present time as the time at which Twilio gets TwiML for a new media stream. From now on,
        `is_stale` returns True for each stream that was opened before this time.
        """
        self.offered += 1
        self._offered_at = asyncio.get_running_loop().time()

    def is_stale(self, stream: MediaStream) -> bool:
        """Returns whether this media stream started before the last time that Twilio got TwiML for a new stream. Twilio
        requests TwiML only after a stream has ended, so such a stream has already ended at Twilio.
        """
        return self._offered_at is not None and stream.opened_at < self._offered_at

    @property
    def is_lost(self) -> bool:
        """Whether a new media stream would replace a lost stream: the earlier stream has broken, or is still attached.
        Twilio opens a new stream only after the end of the earlier stream.
        """
        return self.stream is not None or (self.away is not None and self.away.why in ("lost", "stalled"))

    def attach(self, stream: MediaStream) -> MediaStream | None:
        """Sets the media stream that connects Twilio with this call. Returns the previous media stream if its
        connection is still open, otherwise None.
        """
        self.reattached += self.is_lost
        before, self.stream = self.stream, stream
        self.had_stream = True
        self.away = None
        self.offered = 0
        self.attached.set()
        self._detached.clear()
        self._report(None)
        return before

    def stream_end(self, ending: Ending | None) -> StreamEnd:
        """Returns a description of why the last media stream ended. `ending` is the end of the call, or None if the
        call has not ended.
        """
        if self.away is not None:
            return replace(self.away, offered=self.offered)
        if ending is None:
            return StreamEnd("lost", self.reattached, offered=self.offered)
        return self.end_of_call(ending)

    def end_of_call(self, ending: Ending) -> StreamEnd:
        """Returns the `StreamEnd` of a media stream that ended because the call ended, from which the next TwiML for
        Twilio is decided. `ending` says how the call ended.
        """
        return end_of_call(ending, reattached=self.reattached, document=self.fallback_twiml())

    def detach(self) -> None:
        self.stream = None
        self.attached.clear()
        self._detached.set()

    def leave(self, why: Why, twiml: str | None = None) -> None:
        """Stores the reason `why` for which the caller leaves the media stream. Twilio's next webhook then gets
        `twiml`. If `twiml` is None, the next TwiML follows from `why`. This method does not end the stream.
        """
        self.away = StreamEnd(why, self.reattached, twiml)
        self._report(self.away)

    async def send_away(self, why: Why, twiml: str) -> str | None:
        """Ends the media stream for the reason `why`, and continues the call with `twiml`. Returns None when the media
        stream has ended, or the reason why the redirect failed.
        """
        self.leave(why, twiml)
        failure = await self._leave(twiml)
        if failure is None or self.stream is None:
            if self._control is not None:
                self.leave(why)  # Twilio has the document, and must not get it twice
            return None
        self.away = None
        self._report(None)
        return failure

    async def _leave(self, twiml: str) -> str | None:
        if self.stream is None:
            return "the caller is not on the line"
        if self._control is None:
            # Twilio requests the `action` URL of `<Connect>` after the media stream, and gets the document.
            self.stream.connection.close(1000)
        elif (failure := await self.redirect(twiml)) is not None:
            return failure
        try:
            async with asyncio.timeout(_STOP_S):
                await self._detached.wait()
        except TimeoutError:
            return "the line did not let go of the caller"
        return None

    async def redirect(self, twiml: str) -> str | None:
        """Continues the call with `twiml` by a request to Twilio's REST API. Returns the reason of a failure, or
        None.
        """
        if self._control is None:
            return "there is no way to ask Twilio for it"
        try:
            await self._control.redirect(self.info.sid, twiml)
        except (TwilioNotFound, TwilioInvalidState):
            return GONE
        except TwilioTimeout as error:
            log.warning("Call %s: a redirect was not answered; it may have worked: %s", self.info.sid, error)
        except TwilioError as error:
            log.warning("Call %s could not be redirected: %s", self.info.sid, error)
            return str(error)
        return None

    async def back(self, within_s: float) -> bool:
        """Waits at most `within_s` seconds for the caller's next media stream. Returns whether the stream started in
        this time.
        """
        try:
            async with asyncio.timeout(within_s):
                await self.attached.wait()
        except TimeoutError:
            return False
        return True

    async def hang_up(self) -> None:
        """Ends the call by a request to Twilio's REST API. If the REST API is not configured, closes the media
        stream.
        """
        if self._control is not None:
            try:
                async with asyncio.timeout(_HANG_UP_S):
                    await self._control.hang_up(self.info.sid)
            except (TwilioError, TimeoutError) as error:
                log.warning("Call %s could not be ended by the API; its stream is closed: %s", self.info.sid, error)
        self.let_go()

    def let_go(self) -> None:
        """Closes the media stream and does not hang up. Twilio then requests the next TwiML."""
        if self.stream is not None:
            self.stream.connection.close(1000)
