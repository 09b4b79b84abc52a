"""Replaces a lost media stream of a live call. If no new stream is possible, continues the caller's leg with other
TwiML, such as a call to the fallback number.

When Twilio finds that a stream is broken, Twilio requests the `action` URL of `<Connect>`. Twilio does not detect a
dead connection that stays open. If Twilio sends no request, this module redirects the caller to a new stream with
Twilio's REST API. If no new stream is possible, the caller hears an apology and then the other TwiML.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum

from realtime_core.deadline_timer import DeadlineTimer

from ...twilio import twiml
from ..ending import EndReason, Release
from ..lifetime import Lifetime
from ..line.player import LinePlayer
from ..line.stream import MediaStream
from ..pacing.scheduler import Scheduler
from ..ports import CallAddresses
from .caller_leg import GONE, CallerLeg
from .next_twiml import MAX_REATTACHED

__all__ = ["ContinuedElsewhere", "Reattach"]

log = logging.getLogger(__name__)

_ASK_S = 1.0
"""The time in seconds in which Twilio should request the next TwiML after a broken stream."""
_REDIRECT_S = 2.0
"""The maximum time in seconds of a redirect with the REST API. The caller hears silence during the redirect."""


class ContinuedElsewhere(Enum):
    """The state of a call that lost its media stream in this process. Another process may have continued the call."""

    NO = "no"
    OFFERED = "offered"
    """Another process sent Twilio TwiML for a new media stream."""
    TAKEN = "taken"
    """Another process has the new media stream of the call."""


class Reattach:
    """Waits for the next media stream of one call, and replaces a lost media stream."""

    def __init__(
        self,
        *,
        lifetime: Lifetime,
        leg: CallerLeg,
        player: LinePlayer,
        pacing: Scheduler,
        within_s: float,
        addresses: CallAddresses | None,
        apology: str,
        followed: Callable[[str], Awaitable[ContinuedElsewhere]],
    ) -> None:
        self._leg = leg
        self._player = player
        self._pacing = pacing
        self._lifetime = lifetime
        self._within_s = within_s
        self._addresses = addresses
        self._apology = apology
        self._followed = followed
        self._requested = asyncio.Event()
        self._timer = DeadlineTimer(self._on_time)
        self._reason = EndReason.STREAM_LOST

    def expect(self, within_s: float, reason: EndReason) -> None:
        """Ends the call with this reason if no media stream starts within `within_s` seconds."""
        self._reason = reason
        self._timer.set(asyncio.get_running_loop().time() + within_s)

    def close(self) -> None:
        """Stops the time limit for the next media stream, which `expect` has set, because the call has ended."""
        self._timer.cancel()

    def _on_time(self, now: float) -> None:
        self._lifetime.end(self._reason)

    def attached(self) -> None:
        """Stops the wait for a media stream, because a media stream was attached."""
        self.close()
        self._requested.set()

    def twiml_requested(self) -> None:
        """Prevents a redirect of the call to a new media stream with the REST API after a lost stream. Called when
        Twilio has requested the next TwiML of the call, because the response to this request opens a new stream.
        """
        self._requested.set()

    def detach(self) -> None:
        """Detaches the media stream, whose connection has ended. Audio that the caller has not heard is kept for the
        next media stream.
        """
        self._leg.detach()
        self._player.detach()
        self._pacing.away()

    def lost(self) -> None:
        """Starts the wait for a new media stream after the last stream broke. The broken stream must already be
        detached from the call.
        """
        log.warning("Call %s lost its media stream and waits for a new one.", self._leg.info.sid)
        self._leg.leave("lost")
        self._lifetime.start(self._replace(None))

    async def stalled(self) -> None:
        """Replaces a media stream whose connection is open but transfers no data."""
        stream = self._leg.stream
        if stream is None or self._lifetime.over:
            return
        self._leg.leave("stalled")
        self.detach()
        await self._replace(stream)

    async def _replace(self, dead: MediaStream | None) -> None:
        leg, addresses, sid = self._leg, self._addresses, self._leg.info.sid
        apology = leg.fallback_twiml(apologises=True) or twiml.apologise(self._apology)
        returns = self._within_s > 0 and leg.reattached < MAX_REATTACHED
        requested = dead is None and (
            await self._has_requested_twiml() or await self._followed(sid) is not ContinuedElsewhere.NO
        )
        if not requested and returns and addresses is not None:
            await self._redirect(twiml.connect_stream(addresses.stream(leg.info)))
        elif not requested and not returns:
            await self._redirect(apology)
        if dead is not None:
            dead.connection.close(1000, "stalled")
        if returns:
            if await leg.back(self._within_s):
                return
            if await self._followed(sid) is ContinuedElsewhere.TAKEN:
                self._lifetime.end(EndReason.STREAM_TAKEN, release=Release.CLOSE)
                return
            await self._redirect(apology)
        self._lifetime.end(EndReason.STREAM_LOST, release=Release.CLOSE)

    async def _has_requested_twiml(self) -> bool:
        self._requested.clear()
        try:
            async with asyncio.timeout(_ASK_S):
                await self._requested.wait()
        except TimeoutError:
            return False
        return True

    async def _redirect(self, document: str) -> None:
        try:
            async with asyncio.timeout(_REDIRECT_S):
                failure = await self._leg.redirect(document)
        except TimeoutError:
            log.warning("Call %s: Twilio does not answer; the caller hears nothing.", self._leg.info.sid)
            return
        if failure == GONE:
            self._lifetime.end(EndReason.HUNG_UP, release=Release.CLOSE)
