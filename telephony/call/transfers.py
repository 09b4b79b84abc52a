"""Transfers of the caller. In a cold transfer the caller is connected with the target immediately. In a warm transfer
the called person first hears a summary and accepts.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from realtime_core.sources import Sources

from ..errors import CallError, NoCallerId, TwilioError
from ..masking import BULLET
from ..twilio import twiml
from ..twilio.callbacks import CallStatus, DialResult
from ..twilio.twiml import briefing, can_be_read_aloud, say_and_hang_up
from .controls import Controls
from .conversation import Conversation
from .ending import EndReason, Release
from .leg.caller_leg import CallerLeg
from .leg.reattach import Reattach
from .leg.warm_transfer import ACCEPT, LegState, WarmTransfer
from .lifetime import Lifetime
from .line.player import Heard
from .pacing.reasons import PauseReason
from .pacing.scheduler import Scheduler
from .ports import CallAddresses, PhoneControl
from .recording.recorder import CallRecorder
from .wording import Wording

__all__ = ["TransferAttempt", "Transfers"]

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
class TransferAttempt:
    """An attempt to transfer the caller. `result` is the text for the model. The text is empty if the call ended during
    the attempt.
    """

    target: str
    warm: bool
    succeeded: bool = False
    result: str = ""


@dataclass(slots=True)
class _SecondLeg:
    """The second leg of a warm transfer."""

    leg_id: str
    conference: str
    transfer: WarmTransfer
    call_sid: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Transfers:
    """Transfers the caller of one call to another number: directly (cold), or after the called person has heard a
    summary and accepted (warm). Only one transfer can be in progress.
    """

    def __init__(
        self,
        *,
        lifetime: Lifetime,
        recorder: CallRecorder,
        leg: CallerLeg,
        reattach: Reattach,
        conversation: Conversation,
        pacing: Scheduler,
        controls: Controls,
        wording: Wording,
        control: PhoneControl | None,
        addresses: CallAddresses | None,
        sources: Sources,
    ) -> None:
        self.attempts: list[TransferAttempt] = []
        self._lifetime = lifetime
        self._recorder = recorder
        self._leg = leg
        self._reattach = reattach
        self._conversation = conversation
        self._pacing = pacing
        self._controls = controls
        self._wording = wording
        self._control = control
        self._addresses = addresses
        self._sources = sources
        self._result: DialResult | None = None
        self._target = ""
        """The target of the cold transfer that is going on."""
        self._ended_legs: set[str] = set()
        """The legs of cold transfers that failed."""
        self._second: _SecondLeg | None = None
        self._busy = False

    @property
    def is_busy(self) -> bool:
        """Whether a transfer is in progress."""
        return self._busy

    async def transfer(self, name: str, number: str, *, warm: bool, summary: str = "") -> str:
        """Transfers the caller to `number`, which has the name `name`. Returns the result as text for the model.

        If `warm` is True, the called person first hears `summary`, and accepts or declines. If `warm` is False, the
        caller is connected immediately. After a successful transfer the call is over.

        Raises:
            CallError: another transfer is in progress.
        """
        if self._busy:
            raise CallError("The caller is being transferred already.")
        self._busy = True
        self._pacing.pause(PauseReason.TRANSFER, fill=True)
        try:
            if await self._controls.heard(_SPOKEN_S) is Heard.INTERRUPTED:
                return "The caller has begun to speak, so nobody was called. Listen, then decide anew."
            attempt = TransferAttempt(name, warm)
            self.attempts.append(attempt)
            attempt.result = await (self._warm(name, number, summary) if warm else self._cold(name, number))
            return attempt.result
        finally:
            self._busy = False
            self._pacing.resume(PauseReason.TRANSFER)

    # --- cold ----------------------------------------------------------------------------------------------------

    async def _cold(self, name: str, number: str) -> str:
        leg, addresses = self._leg, self._addresses
        try:
            destination = leg.parties.reach(number)
        except NoCallerId as error:
            log.error("Call %s: %s was not called: %s.", leg.info.sid, name, error)
            return f"{name} was not called: {error}. {_IS_HERE}"
        self._result, self._target = None, name
        try:
            if addresses is None:
                document = twiml.dial(destination, ring_s=_RING_S)
            else:
                document = twiml.dial(
                    destination, action=addresses.after_dial, status_callback=addresses.call_status, ring_s=_RING_S
                )
            if (failure := await leg.send_away("transfer", document)) is not None:
                return f"{name} was not called: {failure}."
            if addresses is None or not await leg.back(_RING_S + _MARGIN_S):
                # Twilio reported no answer. But the phone does not ring any more, and the caller is not back. Therefore
                # the two people talk.
                return self._transferred()
        finally:
            self._target = ""
        status = self._result.status if self._result is not None else "failed"
        return f"{name} did not take the call: {_DIAL_FAILURES.get(status, status)}. {_IS_BACK}"

    def dialled(self, status: CallStatus) -> None:
        """Handles the status that Twilio reports for the call to the target of a cold transfer. If the target has
        answered, the transfer has succeeded, and the call session ends. If the target has not answered, Twilio must
        open a new media stream for the caller within ten seconds. Without a new stream, the caller counts as hung up.
        Twilio may send a status late and twice.
        """
        if not self._target or status.call_sid in self._ended_legs:
            return
        if status.status in ("in-progress", "completed"):
            self._transferred()
        elif status.ended and self._leg.stream is None:
            # If the caller is still connected, Twilio requests the next TwiML immediately.
            self._reattach.expect(_MARGIN_S, EndReason.HUNG_UP)

    def dial_ended(self, result: DialResult) -> None:
        """Ends the call as transferred if `result`, the result of the `<Dial>` verb of a cold transfer, says that the
        two parties were connected. Twilio sends the result when the conversation of the two parties has ended, or when
        the target did not answer.
        """
        self._result = result
        self._ended_legs.add(result.dial_call_sid)
        if result.connected and self._target:
            self._transferred()

    def _transferred(self) -> str:
        self.attempts[-1].succeeded = True
        self._lifetime.end(EndReason.TRANSFERRED, self._target, release=Release.CLOSE)
        return f"The caller was transferred to {self._target}."

    # --- warm ----------------------------------------------------------------------------------------------------

    async def _warm(self, name: str, number: str, summary: str) -> str:
        control, addresses = self._control, self._addresses
        if control is None or addresses is None:
            raise CallError("A warm transfer needs Twilio's REST API (TWILIO_ACCOUNT_SID) and PUBLIC_URL.")
        now = asyncio.get_running_loop().time()
        leg_id = self._sources.token(8)
        transfer = WarmTransfer(now, ring_s=_RING_S + _MARGIN_S)
        second = self._second = _SecondLeg(leg_id, f"transfer-{leg_id}", transfer)
        try:
            with self._controls.hold():
                await self._call_second_leg(second, number, summary, control, addresses)
                await self._decision(second)
                if transfer.state is LegState.ACCEPTED:
                    await self._join(second)
        finally:
            if not self._lifetime.over:  # after the end, the call session closes the transfer
                await self.close()
        if transfer.state is LegState.JOINED:
            self.attempts[-1].succeeded = True
            self._lifetime.end(EndReason.TRANSFERRED, name, release=Release.CLOSE)
            return f"The caller is speaking with {name}."
        return f"{name} did not take the call: {transfer.failure}. {_IS_BACK}"

    async def _call_second_leg(
        self, second: _SecondLeg, number: str, summary: str, control: PhoneControl, addresses: CallAddresses
    ) -> None:
        sid, parties = self._leg.info.sid, self._leg.parties
        agent = self._conversation.session.current_agent.name
        words = self._wording
        document = briefing(
            summary.strip()
            or words.introduction(parties.other_party if can_be_read_aloud(parties.other_party) else "", agent),
            addresses.leg_key(second.leg_id),
            intros=(words.text("call_for_you"), words.text("once_more")),
            ask=words.text("take_the_call"),
            voice=words.voice,
        )
        if (from_ := parties.number) is None:
            log.error("Call %s cannot be transferred: the application has no number. Set TWILIO_PHONE_NUMBER.", sid)
            second.transfer.fail("there is no phone number to call from")
            return
        try:
            second.call_sid = await control.create_call(
                to=number, from_=from_, twiml=document, status_callback=addresses.call_status, ring_s=_RING_S
            )
        except TwilioError as error:
            log.warning("Call %s: a second leg could not be called: %s", sid, error)
            second.transfer.fail("the call could not be made")

    async def _decision(self, second: _SecondLeg) -> None:
        while not second.transfer.decided:
            try:
                async with asyncio.timeout_at(second.transfer.deadline):
                    await second.changed.wait()
            except TimeoutError:
                second.transfer.on_time(asyncio.get_running_loop().time())
            second.changed.clear()

    async def _join(self, second: _SecondLeg) -> None:
        """Moves the caller into the conference in which the called person waits."""
        document = twiml.conference(second.conference, end_on_exit=True)
        failure = await self._leg.send_away("conference", document)
        if failure is None:
            second.transfer.joined()
        else:
            second.transfer.fail(failure)

    def leg_key(self, leg_id: str, key: str) -> str | None:
        """Called when the called person of a warm transfer has pressed a key. The key `1` accepts the transfer. Any
        other key, or an empty text (no key in time), declines the transfer. Returns the next TwiML for the called
        person: the conference with the caller, or a goodbye. Returns None if this call has no transfer with the id
        `leg_id`.
        """
        second = self._second
        if second is None or second.leg_id != leg_id:
            return None
        self._recorder.callback("leg key", key=key if key in ("", ACCEPT) else BULLET)
        joins = second.transfer.key(key)
        second.changed.set()
        return twiml.conference(second.conference, end_on_exit=True) if joins else self._goodbye()

    def _goodbye(self) -> str:
        return say_and_hang_up(self._wording.text("goodbye"), self._wording.voice)

    def leg_status(self, call_sid: str, status: str) -> bool:
        """Handles the status that Twilio reports for the call to the target of a warm transfer. After `in-progress` the
        target hears the summary. After a failure, such as `busy`, the transfer has failed. `call_sid` is the SID of the
        call to the target. Returns False if this call session has not made that call.
        """
        second = self._second
        if second is None or second.call_sid != call_sid:
            return False
        self._recorder.callback("leg status", status=status)
        second.transfer.status(status, asyncio.get_running_loop().time())
        second.changed.set()
        return True

    async def close(self) -> None:
        """Hangs up the call to the person in a warm transfer, if this person was not joined with the caller.
        Idempotent.
        """
        second, self._second = self._second, None
        control = self._control
        if second is None or not second.call_sid or second.transfer.state is LegState.JOINED or control is None:
            return
        second.transfer.fail("the caller has hung up")
        try:
            await control.hang_up(second.call_sid)
        except TwilioError as error:
            log.warning("A second leg could not be ended; it will end by itself: %s", error)
