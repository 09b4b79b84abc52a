"""Places calls and follows them: asks Twilio once, looks where it is not known what became of it, listens to callbacks,
and asks when none come. A shell around `outcome.CallState`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from realtime_core.sources import SYSTEM, Sources

from ..errors import CallRefused, TwilioError, TwilioNotFound, TwilioRateLimited, TwilioServerError, TwilioTimeout
from ..errors import TwilioUnreachable as Unreachable
from ..twilio.callbacks import CallStatus, MachineDetection
from ..twilio.rest import TwilioRest
from .dialing_rules import DialingRules
from .placed import PlacedCall
from .plan import CallPlan

__all__ = ["Dialler"]

log = logging.getLogger(__name__)

_MAX_ASKED_AGAIN = 6
_MAX_REMEMBERED = 10_000


class Dialler:
    """An async context manager; left, it hangs up what is still going on.

    `address(what, token)` gives the addresses that Twilio asks: `answer`, `status` and `machine`. Twilio is asked after
    `fetch_s` without news of a call.
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
        self.rest = rest
        self.from_ = from_
        self.rules = rules or DialingRules()
        self.calls: dict[str, PlacedCall] = {}
        """By our token: those that go on, and the last that are over."""
        self.on_news: Callable[[PlacedCall], None] = lambda call: None
        """Told where there may be news of a call, and from time to time that it is still followed."""
        self.is_taken: Callable[[str, str], Awaitable[bool]] = _is_free
        """Is (`CallSid`, our token) that of another call, of another process?"""
        self.simulated = False
        """Is nobody really called? Then no list of real people is changed."""
        self._address = address
        self.fetch_s = fetch_s
        self._sources = sources
        self._group = asyncio.TaskGroup()
        self._closing = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        for call in self.live:
            self._group.create_task(call.hang_up())
        # What was raised in the block is no reason to drop calls without hanging up.
        await self._group.__aexit__(None, None, None)

    @property
    def live(self) -> list[PlacedCall]:
        return [call for call in self.calls.values() if not call.is_over]

    def place(self, plan: CallPlan, token: str | None = None) -> PlacedCall:
        """Call somebody. Returns at once. `token`: the call's, if it has one already.

        Raises:
            CallRefused: see `DialingRules.check`; or they are being called already.
        """
        to = self.rules.check(plan.to, from_=self.from_, now=self._sources.now(), timezone=plan.timezone)
        if self._closing or any(call.to == to for call in self.live):
            raise CallRefused(f"{to} is being called already." if not self._closing else "The phone is closing.")
        call = PlacedCall(self, token or self._sources.token(12), to, plan, self.fetch_s)
        self._begin(call, self._place(call))
        return call

    def adopt(self, plan: CallPlan, token: str, *, to: str, sid: str | None, asked_at: datetime) -> PlacedCall:
        """Follow a call that a process which has ended was to place. It is looked for, and never placed again."""
        call = PlacedCall(self, token, to, plan, self.fetch_s)
        call.asked_at = asked_at
        if sid is None:
            call.state.uncertain("The process that was to place this call has ended.", call.now)
        else:
            call.state.created(sid, call.now)
            call.state.stream_ended(call.now)  # it is asked for soon
        self._begin(call, self._follow(call))
        return call

    def _begin(self, call: PlacedCall, life: Coroutine[Any, Any, None]) -> None:
        self._forget()
        self.calls[call.token] = call
        self._group.create_task(life, name=f"call to {call.to}")

    def start(self, work: Any) -> asyncio.Task[Any]:
        """For calls: a task that ends with the dialler."""
        return self._group.create_task(work)

    # --- the life of one call ----------------------------------------------------------------------------------------

    async def _place(self, call: PlacedCall) -> None:
        self.on_news(call)
        await self._create(call)
        await self._follow(call)

    async def _follow(self, call: PlacedCall) -> None:
        while not call.state.over:
            self.on_news(call)
            match call.state.todo(call.now):
                case "look":
                    await self._look(call)
                case "fetch":
                    await self._fetch(call)
                case "nothing":
                    await call.news()
        await call.conclude()
        self.on_news(call)

    async def _create(self, call: PlacedCall) -> None:
        """Ask once, and again only where nothing was done for certain."""
        state, plan = call.state, call.plan
        for attempt in range(_MAX_ASKED_AGAIN):
            try:
                sid = await self.rest.create_call(
                    to=call.to,
                    from_=self.from_,
                    url=self._address("answer", call.token),
                    status_callback=self._address("status", call.token),
                    machine_detection="DetectMessageEnd" if plan.detect else None,
                    amd_callback=self._address("machine", call.token) if plan.detect else None,
                    ring_s=plan.ring_s,
                    max_s=None if plan.max_s is None else round(plan.max_s) + 30,
                )
            except (TwilioRateLimited, Unreachable) as error:
                if state.sid is not None:  # a webhook knows better
                    return
                if attempt + 1 == _MAX_ASKED_AGAIN or call.cancelled:
                    state.refused(str(error))
                    return
                pause = self._sources.random.uniform(0.5, 1.0) * 2**attempt
                self.on_news(call)
                log.info("The call to %s is asked for again in %.1f s: %s", call.to, pause, error)
                await asyncio.sleep(pause)
            except (TwilioTimeout, TwilioServerError) as error:
                log.warning("It is not known whether the call to %s was made; it is looked for: %s", call.to, error)
                state.uncertain(str(error), call.now)
                return
            except TwilioError as error:
                state.refused(str(error))
                return
            else:
                state.created(sid, call.now)
                return

    async def _look(self, call: PlacedCall) -> None:
        """Nobody else of ours calls this number now, so a call of ours to it that no one claims is this one."""
        try:
            found = await self.rest.calls_between(self.from_, call.to)
        except TwilioError as error:
            log.warning("The calls to %s could not be listed: %s", call.to, error)
            call.state.not_looked(call.now)
            return
        claimed = {other.state.sid for other in self.calls.values() if other is not call}
        ours = [
            it.sid
            for it in found
            if it.direction == "outbound-api"
            and it.sid not in claimed
            and (it.created is None or it.created.timestamp() >= call.asked_at.timestamp() - 2)
        ]
        for sid in ours:
            if not await self.is_taken(sid, call.token):
                call.state.looked(sid, call.now)
                return
        call.state.looked(None, call.now)

    async def _fetch(self, call: PlacedCall) -> None:
        assert call.state.sid is not None
        try:
            record = await self.rest.call(call.state.sid)
        except TwilioNotFound:
            call.state.not_fetched(call.now, gone=True)
        except TwilioError:
            call.state.not_fetched(call.now)
        else:
            call.record = record
            call.state.fetched(record.status, call.now)

    # --- what Twilio tells -------------------------------------------------------------------------------------------

    def answered(self, token: str, call_sid: str) -> PlacedCall | None:
        """Somebody picked up, and Twilio asks what to do. None: nothing, that call is not wanted (any more)."""
        call = self.calls.get(token)
        if call is None or call.cancelled or not call.heard_of(call_sid):
            return None
        return call

    def status(self, token: str, status: CallStatus) -> None:
        call = self.calls.get(token)
        if call is None:
            return
        if call.heard_of(status.call_sid):
            call.told(status)
        elif not status.ended:
            log.warning("A call to %s turned up after it was given up: it is hung up.", call.to)
            self.start(self._hang_up(status.call_sid))

    def machine(self, token: str, found: MachineDetection) -> None:
        call = self.calls.get(token)
        if call is not None and call.heard_of(found.call_sid):
            call.detected(found.answered_by)

    async def _hang_up(self, sid: str) -> None:
        try:
            await self.rest.hang_up(sid)
        except TwilioError as error:
            log.error("Call %s could not be hung up: %s", sid, error)

    def _forget(self) -> None:
        for token in [token for token, call in self.calls.items() if call.is_over][: len(self.calls) - _MAX_REMEMBERED]:
            del self.calls[token]


async def _is_free(sid: str, token: str) -> bool:
    return False
