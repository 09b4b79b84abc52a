"""Handing the caller to somebody else: at once (cold), or once they have agreed to take the call (warm)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import CallError, NoCallerId, TwilioError
from ..masking import BULLET
from ..twilio import twiml
from ..twilio.callbacks import CallStatus, DialResult
from ..twilio.twiml import briefing, declined, introduction
from .leg.warm_transfer import ACCEPT, LegState, WarmTransfer
from .ports import PhoneControl, WayBack

if TYPE_CHECKING:
    from .session import CallSession

__all__ = ["Transfers"]

log = logging.getLogger(__name__)

_SPOKEN_S = 20.0
_RING_S = 25
_MARGIN_S = 10.0
_DIAL_FAILURES = {
    "busy": "the line is busy",
    "no-answer": "nobody answered",
    "canceled": "nobody answered",
    "failed": "the call could not be made",
}
_IS_HERE = "The caller is still with you: say that it cannot be done, and offer something else."
_IS_BACK = "The caller is back with you and knows nothing of this: say so, and offer something else."


@dataclass(slots=True)
class _Leg:
    """The second leg of a warm transfer."""

    leg_id: str
    conference: str
    transfer: WarmTransfer
    call_sid: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Transfers:
    """One call's transfers; one at a time."""

    def __init__(self, bridge: CallSession) -> None:
        self._bridge = bridge
        self._result: DialResult | None = None
        self._dialling = ""
        """The name of whom a cold transfer calls just now."""
        self._dialled: set[str] = set()
        """The legs of cold transfers that failed."""
        self._leg: _Leg | None = None
        self._busy = False

    async def transfer(self, name: str, number: str, *, warm: bool, summary: str = "") -> str:
        """Hand the caller to `number`, known as `name`; `warm`: whoever answers hears `summary`, and decides. Returns,
        in words for the model, what came of it; when the caller has gone, the call is over.

        Raises:
            CallError: another transfer is going on.
        """
        if self._busy:
            raise CallError("The caller is being transferred already.")
        self._busy = True
        conduct = self._bridge.conduct
        conduct.rest("transfer", fill=True)
        try:
            if await self._bridge.controls.heard(_SPOKEN_S) == "interrupted":
                return "The caller has begun to speak, so nobody was called. Listen, then decide anew."
            return await (self._warm(name, number, summary) if warm else self._cold(name, number))
        finally:
            self._busy = False
            conduct.resume("transfer")

    # --- cold ----------------------------------------------------------------------------------------------------

    async def _cold(self, name: str, number: str) -> str:
        bridge = self._bridge
        way_back = bridge.options.way_back
        try:
            whom = bridge.parties.reach(number)
        except NoCallerId as error:
            log.error("Call %s: %s was not called: %s.", bridge.call.sid, name, error)
            return f"{name} was not called: {error}. {_IS_HERE}"
        self._result, self._dialling = None, name
        try:
            if way_back is None:
                document = twiml.dial(whom, ring_s=_RING_S)
            else:
                told = way_back.call_status
                document = twiml.dial(whom, action=way_back.after_dial, status_callback=told, ring_s=_RING_S)
            if (failure := await bridge.leg.send_away("transfer", document)) is not None:
                return f"{name} was not called: {failure}."
            if way_back is None or not await bridge.leg.back(_RING_S + _MARGIN_S):
                # Nobody has told that they answered. But nobody rings so long, and the caller has not come back.
                return self._transferred()
        finally:
            self._dialling = ""
        status = self._result.status if self._result is not None else "failed"
        return f"{name} did not take the call: {_DIAL_FAILURES.get(status, status)}. {_IS_BACK}"

    def dialled(self, status: CallStatus) -> None:
        """Twilio tells of the leg that a cold transfer calls: it was answered, or is over. May come late, and twice."""
        if not self._dialling or status.call_sid in self._dialled:
            return
        if status.status in ("in-progress", "completed"):
            self._transferred()
        elif status.ended and self._bridge.leg.stream is None:
            self._bridge.recovery.expect(_MARGIN_S, "hung up")  # else Twilio asks what comes next, at once

    def dial_ended(self, result: DialResult) -> None:
        """Twilio tells how the `<Dial>` ended."""
        self._result = result
        self._dialled.add(result.dial_call_sid)
        if result.connected and self._dialling:
            self._transferred()

    def _transferred(self) -> str:
        self._bridge.end(f"transferred to {self._dialling}", let_go="close")
        return f"The caller was transferred to {self._dialling}."

    # --- warm ----------------------------------------------------------------------------------------------------

    async def _warm(self, name: str, number: str, summary: str) -> str:
        bridge = self._bridge
        control, way_back = bridge.options.control, bridge.options.way_back
        if control is None or way_back is None:
            raise CallError("A warm transfer needs Twilio's REST API (TWILIO_ACCOUNT_SID) and PUBLIC_URL.")
        now = asyncio.get_running_loop().time()
        leg_id = bridge.options.sources.token(8)
        leg = self._leg = _Leg(leg_id, f"transfer-{leg_id}", WarmTransfer(now, ring_s=_RING_S + _MARGIN_S))
        try:
            with bridge.controls.hold():
                await self._call_second_leg(leg, number, summary, control, way_back)
                await self._decision(leg)
                if leg.transfer.state is LegState.ACCEPTED:
                    await self._join(leg)
        finally:
            if not bridge.over:  # else the call itself does it, when it ends
                await self.close()
        if leg.transfer.state is LegState.JOINED:
            bridge.end(f"transferred to {name}", let_go="close")
            return f"The caller is speaking with {name}."
        return f"{name} did not take the call: {leg.transfer.failure}. {_IS_BACK}"

    async def _call_second_leg(
        self, leg: _Leg, number: str, summary: str, control: PhoneControl, way_back: WayBack
    ) -> None:
        agent = self._bridge.conversation.session.current_agent.name
        about = summary.strip() or introduction(self._bridge.parties.theirs, agent)
        document = briefing(about, way_back.leg_key(leg.leg_id))
        if (from_ := self._bridge.parties.number) is None:
            sid = self._bridge.call.sid
            log.error("Call %s: nobody was called: no number of ours is known. Set TWILIO_PHONE_NUMBER.", sid)
            leg.transfer.fail("there is no number of ours to call from")
            return
        try:
            leg.call_sid = await control.create_call(
                to=number, from_=from_, twiml=document, status_callback=way_back.call_status, ring_s=_RING_S
            )
        except TwilioError as error:
            log.warning("Call %s: a second leg could not be called: %s", self._bridge.call.sid, error)
            leg.transfer.fail("the call could not be made")

    async def _decision(self, leg: _Leg) -> None:
        while not leg.transfer.decided:
            try:
                async with asyncio.timeout_at(leg.transfer.deadline):
                    await leg.changed.wait()
            except TimeoutError:
                leg.transfer.on_time(asyncio.get_running_loop().time())
            leg.changed.clear()

    async def _join(self, leg: _Leg) -> None:
        """They have agreed, and wait in the conference: bring the caller."""
        document = twiml.conference(leg.conference, end_on_exit=True)
        failure = await self._bridge.leg.send_away("conference", document)
        if failure is None:
            leg.transfer.joined()
        else:
            leg.transfer.fail(failure)

    def leg_key(self, leg_id: str, key: str) -> str | None:
        """A key on a second leg: the TwiML for that leg; None: it is none of ours."""
        leg = self._leg
        if leg is None or leg.leg_id != leg_id:
            return None
        self._bridge.told("leg key", key=key if key in ("", ACCEPT) else BULLET)
        joins = leg.transfer.key(key)
        leg.changed.set()
        return twiml.conference(leg.conference, end_on_exit=True) if joins else declined()

    def leg_status(self, call_sid: str, status: str) -> bool:
        """A state of a second leg. Returns whether it is one of ours."""
        leg = self._leg
        if leg is None or leg.call_sid != call_sid:
            return False
        self._bridge.told("leg status", status=status)
        leg.transfer.status(status, asyncio.get_running_loop().time())
        leg.changed.set()
        return True

    async def close(self) -> None:
        """End a second leg that has not been joined. Idempotent."""
        leg, self._leg = self._leg, None
        control = self._bridge.options.control
        if leg is None or not leg.call_sid or leg.transfer.state is LegState.JOINED or control is None:
            return
        leg.transfer.fail("the caller has hung up")
        try:
            await control.hang_up(leg.call_sid)
        except TwilioError as error:
            log.warning("A second leg could not be ended; it will end by itself: %s", error)
