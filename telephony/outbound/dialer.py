"""Places calls, and follows each call until the end of the call.

A request that Twilio may have executed is never repeated. If Twilio does not answer the request, the dialer searches
for the call in the list of the account's calls. The dialer handles the status callbacks of the call. If no callback
arrives, the dialer requests the status from Twilio. `CallState` decides the next step, and this module executes the
step.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import Any, Protocol

from realtime_core.sources import SYSTEM, Sources

from ..errors import CallRefused, TwilioError, TwilioNotFound, TwilioRateLimited, TwilioServerError, TwilioTimeout
from ..errors import TwilioUnreachable as Unreachable
from ..outcomes.text_model import TextModel
from ..task_owner import TaskOwner
from ..twilio.callbacks import CallStatus, MachineDetection
from ..twilio.rest import TwilioRest
from .call_state import NextStep
from .dialing_rules import DialingRules
from .do_not_call import DoNotCall
from .placed_call import PlacedCall
from .plan import CallPlan

__all__ = ["Clearance", "Dialer"]

log = logging.getLogger(__name__)

_MAX_REQUESTS = 6
_PAUSE_BEFORE_EXTENSION = "ww"
"""The pause before an extension. Each `w` is half a second. Source:
https://www.twilio.com/docs/voice/api/call-resource
"""
_MAX_ENDED = 20
"""The maximum number of ended calls in memory. Each of these calls contains its whole conversation. The database has
all calls.
"""


class Clearance(Protocol):
    """Decides whether a call may be requested from Twilio now. The decision uses data that all processes share."""

    async def problem(self, call: PlacedCall) -> str:
        """Returns the reason why Twilio must not be asked for this call now, or an empty text if the call may be made.
        After an empty text, no other process calls the number until `over` is called.
        """

    async def over(self, call: PlacedCall) -> None:
        """Lets other processes call the number again, because the call has ended."""


class Dialer(TaskOwner):
    """Places calls and follows these calls. The object is an async context manager. At the end of the context, calls in
    progress are hung up.

    The application gives the function `address(what, token)`, which returns one webhook URL of one call: `what` is
    `answer`, `status` or `machine`, and `token` is the id of the call, which the dialer has made up. If Twilio reports
    nothing about a call for `fetch_s` seconds, the dialer requests the status of the call.
    """

    def __init__(
        self,
        rest: TwilioRest,
        *,
        from_: str,
        address: Callable[[str, str], str],
        rules: DialingRules | None = None,
        fetch_s: float = 10.0,
        sources: Sources = SYSTEM,
    ) -> None:
        super().__init__()
        self.rest = rest
        self.from_ = from_
        self.rules = rules or DialingRules()
        self.calls: dict[str, PlacedCall] = {}
        """The placed calls by their tokens: all calls in progress, and the newest calls that are over."""
        self.on_news: Callable[[PlacedCall], None] = lambda call: None
        """A function that is called when a placed call may have changed. Several calls without a change are possible.
        """
        self.is_taken: Callable[[str, str], Awaitable[bool]] = _is_free
        """A function that returns whether the `CallSid` (first argument) belongs to another placed call of any process.
        The second argument is the token of the call that is searched for.
        """
        self.clearance: Clearance | None = None
        """Decides immediately before each request to Twilio whether the call may be made. None permits every call."""
        self.fetch_s = fetch_s
        self._address = address
        self._sources = sources
        self._closing = False
        self.completes_results = True
        """Whether the realtime model fills in missing fields of a result from the transcript after the call. False in a
        rehearsal, in which a script replaces the model.
        """
        self.text_model: TextModel | None = None
        """The text model that reads the transcripts of ended calls, or None."""

    def closing(self) -> None:
        self._closing = True
        for call in self.live:
            self.start_task(call.hang_up())

    @property
    def live(self) -> list[PlacedCall]:
        """The calls in progress."""
        return [call for call in self.calls.values() if not call.is_over]

    def place(self, plan: CallPlan, token: str | None = None) -> PlacedCall:
        """Places the call of `plan`. Returns immediately. `token` is the random text that identifies the call in the
        URLs of its webhooks. With None, a new token is created.

        Raises:
            CallRefused: the dialing rules refuse the call (see `DialingRules.check`), or another call to this number is
                in progress.
        """
        to = self.rules.check(plan.to, from_=self.from_, now=self._sources.now(), timezone=plan.timezone)
        if self._closing or any(call.to == to for call in self.live):
            why = f"{to} is being called already." if not self._closing else "The phone is closing."
            raise CallRefused(why, temporary=True)
        call = self._call(plan, token or self._sources.token(12), to, self._sources.now())
        self._begin(call, self._place(call))
        return call

    def adopt(self, plan: CallPlan, token: str, *, to: str, sid: str | None, requested_at: datetime) -> PlacedCall:
        """Follows a call that another process placed. The other process has ended, and the call may go on. The call is
        never placed again. Returns the placed call. `plan` and the number `to` are those of the call. `token` is the
        random text that identifies the call in the URLs of its webhooks. `requested_at` is the wall-clock time at which
        the other process began to place the call. `sid` is the CallSid. With None, it is unknown whether the call was
        placed, so the call is searched for at Twilio.
        """
        call = self._call(plan, token, to, requested_at)
        if sid is None:
            call.state.uncertain("The process that was to place this call has ended.", call.now)
        else:
            call.state.created(sid, call.now)
            call.state.stream_ended(call.now)  # so the status of the call is requested soon
        self._begin(call, self._follow(call))
        return call

    def _call(self, plan: CallPlan, token: str, to: str, requested_at: datetime) -> PlacedCall:
        listed = self.rules.do_not_call
        call = PlacedCall(
            plan,
            self.rest,
            token=token,
            to=to,
            from_=self.from_,
            requested_at=requested_at,
            do_not_call=listed if isinstance(listed, DoNotCall) else None,
            can_opt_out=self.clearance is not None,
            fetch_s=self.fetch_s,
        )
        call.text_model, call.completes_result = self.text_model, self.completes_results
        return call

    def _begin(self, call: PlacedCall, life: Coroutine[Any, Any, None]) -> None:
        self._forget()
        self.calls[call.token] = call
        self.start_task(self._run(call, life), name=f"call to {call.masked_to}")

    # --- the life of one call ----------------------------------------------------------------------------------------

    async def _run(self, call: PlacedCall, life: Coroutine[Any, Any, None]) -> None:
        """Runs the life of one call. If it raises an unexpected exception, the log has the traceback, and only this
        call ends. The calls of this process share a task group, which would otherwise cancel all of them.
        """
        try:
            await life
        except Exception as error:
            log.exception("The call to %s failed.", call.masked_to)
            call.fail(f"The dialer failed ({type(error).__name__}); the log has the traceback.")

    async def _place(self, call: PlacedCall) -> None:
        self.on_news(call)
        if self.clearance is not None and (problem := await self.clearance.problem(call)):
            call.not_cleared = problem
            call.state.refused(f"{problem[0].upper()}{problem[1:]}.")
        else:
            await self._create(call)
        await self._follow(call)

    async def _follow(self, call: PlacedCall) -> None:
        while not call.state.over:
            self.on_news(call)
            match call.state.next_step(call.now):
                case NextStep.LIST:
                    await self._list(call)
                case NextStep.FETCH:
                    await self._fetch(call)
                case NextStep.WAIT:
                    await call.wait_for_news()
        if self.clearance is not None:
            await self.clearance.over(call)
        await call.finish()
        self.on_news(call)

    async def _create(self, call: PlacedCall) -> None:
        """Requests the call from Twilio once. The request is repeated only if Twilio certainly created no call."""
        state, plan = call.state, call.plan
        for attempt in range(_MAX_REQUESTS):
            if not call.may_request():
                call.withheld = True
                state.refused("This process stops, or another process has taken the call over.")
                return
            try:
                sid = await self.rest.create_call(
                    to=call.to,
                    from_=self.from_,
                    url=self._address("answer", call.token),
                    status_callback=self._address("status", call.token),
                    machine_detection="DetectMessageEnd" if plan.detect else None,
                    amd_callback=self._address("machine", call.token) if plan.detect else None,
                    ring_s=plan.ring_s,
                    send_digits=f"{_PAUSE_BEFORE_EXTENSION}{plan.extension}" if plan.extension else None,
                    max_s=None if plan.max_s is None else round(plan.max_s) + 30,
                )
            except (TwilioRateLimited, Unreachable) as error:
                if state.sid is not None:  # a webhook has named the call
                    return
                if attempt + 1 == _MAX_REQUESTS or call.cancelled:
                    state.refused(str(error))
                    return
                pause = self._sources.random.uniform(0.5, 1.0) * 2**attempt
                self.on_news(call)
                log.info("The call to %s is requested again in %.1f s: %s", call.masked_to, pause, error)
                await asyncio.sleep(pause)
            except (TwilioTimeout, TwilioServerError) as error:
                log.warning(
                    "It is not known whether the call to %s was made. Searching for it: %s", call.masked_to, error
                )
                state.uncertain(str(error), call.now)
                return
            except TwilioError as error:
                state.refused(str(error))
                return
            else:
                state.created(sid, call.now)
                return

    async def _list(self, call: PlacedCall) -> None:
        """Searches for the call in the account's calls. No process makes another call to the number at the same time
        (`Clearance`). Therefore a call to the number that belongs to no other placed call is this call.
        """
        try:
            found = await self.rest.calls_between(self.from_, call.to)
        except TwilioError as error:
            log.warning("The calls to %s could not be listed: %s", call.masked_to, error)
            call.state.listing_failed(call.now)
            return
        claimed = {other.state.sid for other in self.calls.values() if other is not call}
        candidates = [
            it.sid
            for it in found
            if it.direction == "outbound-api"
            and it.sid not in claimed
            and (it.created is None or it.created.timestamp() >= call.requested_at.timestamp() - 2)
        ]
        for sid in candidates:
            if not await self.is_taken(sid, call.token):
                call.state.listed(sid, call.now)
                return
        call.state.listed(None, call.now)

    async def _fetch(self, call: PlacedCall) -> None:
        assert call.state.sid is not None
        try:
            record = await self.rest.call(call.state.sid)
        except TwilioNotFound:
            call.state.fetch_failed(call.now, gone=True)
        except TwilioError:
            call.state.fetch_failed(call.now)
        else:
            call.record = record
            call.state.fetched(record.status, call.now)

    # --- Twilio's webhooks -------------------------------------------------------------------------------------------

    def answered(self, token: str, call_sid: str) -> PlacedCall | None:
        """Handles Twilio's request for the TwiML of a call that was answered. Returns the placed call with this token.
        Returns None if there is no such call, if the call was cancelled, if the dialer has already reported the call as
        failed, or if the `CallSid` belongs to another call.
        """
        call = self.calls.get(token)
        if call is None or call.cancelled or not call.identified(call_sid):
            return None
        return call

    def status(self, token: str, status: CallStatus) -> None:
        call = self.calls.get(token)
        if call is None:
            return
        if call.identified(status.call_sid):
            call.on_status(status)
        elif not status.ended:
            log.warning("A call to %s exists although the search for it was given up. It is hung up.", call.masked_to)
            self.start_task(self._hang_up(status.call_sid))

    def machine(self, token: str, found: MachineDetection) -> None:
        call = self.calls.get(token)
        if call is not None and call.identified(found.call_sid):
            call.on_machine_detection(found.answered_by)

    async def _hang_up(self, sid: str) -> None:
        try:
            await self.rest.hang_up(sid)
        except TwilioError as error:
            log.error("Call %s could not be hung up: %s", sid, error)

    def _forget(self) -> None:
        over = [token for token, call in self.calls.items() if call.is_over]
        for token in over[: max(0, len(over) - _MAX_ENDED)]:
            del self.calls[token]


async def _is_free(sid: str, token: str) -> bool:
    return False
