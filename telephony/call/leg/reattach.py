"""A stream is lost, and its caller is not: brings them back to another one, or sends them where they hear something.

Twilio asks the `action` of `<Connect>` what comes next when it finds a stream broken. It need not find out: of a socket
that is dead and not closed nobody tells it. So what it does not ask for, it is told by its API; and where there is no
way back any more, it is told an apology and who takes over, for the line must not be silent.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ...twilio import twiml
from ..options import Followed
from .caller_leg import GONE
from .next_twiml import MAX_REATTACHED

if TYPE_CHECKING:
    from ..line.stream import MediaStream
    from ..session import CallSession

__all__ = ["Reattach"]

log = logging.getLogger(__name__)

_ASK_S = 1.0
"""How long Twilio gets to ask what comes after a stream that broke."""
_REST_S = 2.0
"""How long its API gets, when a caller hears nothing meanwhile."""


class Reattach:
    """One call's. `expect`: a stream has to come; `lost` and `stalled`: it was there; `asked` and `attached`: help is
    on its way, and has come."""

    def __init__(self, bridge: CallSession) -> None:
        self._bridge = bridge
        self._asked = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, within_s: float, reason: str) -> None:
        """The call is over, for this reason, if no stream comes in time."""
        self.close()
        self._timer = asyncio.get_running_loop().call_later(within_s, self._bridge.end, reason)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def attached(self) -> None:
        self.close()
        self._asked.set()

    def asked(self) -> None:
        """Twilio wants to know what comes next."""
        self._asked.set()

    def lost(self) -> None:
        """The stream broke, and is detached already."""
        bridge = self._bridge
        log.warning("Call %s lost its stream; it waits for another.", bridge.call.sid)
        bridge.leg.leave("lost")
        bridge.start(self._bring_back(None))

    async def stalled(self) -> None:
        """The stream is there, and dead: let go of it."""
        bridge = self._bridge
        stream = bridge.leg.stream
        if stream is None or bridge.over:
            return
        bridge.leg.leave("stalled")
        bridge.on_stream_end(stream, stopped=False)
        await self._bring_back(stream)

    async def _bring_back(self, dead: MediaStream | None) -> None:
        bridge, options = self._bridge, self._bridge.options
        leg, way_back = bridge.leg, options.way_back
        apology = twiml.apologise(options.apology, bridge.fallback())
        returns = options.reattach_s > 0 and leg.reattached < MAX_REATTACHED
        sid = bridge.call.sid
        asked = dead is None and (await self._is_asked() or await options.followed(sid) is not Followed.NO)
        if not asked and returns and way_back is not None:
            await self._tell(twiml.connect_stream(way_back.stream(bridge.call.info)))
        elif not asked and not returns:
            await self._tell(apology)
        if dead is not None:
            dead.connection.close(1000, "stalled")
        if returns:
            if await leg.back(options.reattach_s):
                return
            if await options.followed(sid) is Followed.TAKEN:
                bridge.end("another process has its stream", let_go="close")
                return
            await self._tell(apology)
        bridge.end("stream lost", let_go="close")

    async def _is_asked(self) -> bool:
        self._asked.clear()
        try:
            async with asyncio.timeout(_ASK_S):
                await self._asked.wait()
        except TimeoutError:
            return False
        return True

    async def _tell(self, document: str) -> None:
        """Have Twilio go on with this."""
        bridge = self._bridge
        try:
            async with asyncio.timeout(_REST_S):
                failure = await bridge.leg.redirect(document)
        except TimeoutError:
            log.warning("Call %s: Twilio does not answer; the caller hears nothing.", bridge.call.sid)
            return
        if failure == GONE:
            bridge.end("hung up", let_go="close")
