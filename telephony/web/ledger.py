"""What happens to calls, told to the records: those of this process, and what Twilio says of any other."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from realtime_core.sources import Sources

from ..call.after_stream import StreamEnd, end_of_call
from ..call.call import Call
from ..call.fallback import fallback_for
from ..logs import Masker
from ..records.recorder import Recorder
from ..records.rows import CallNews, CallRow, added, masked
from ..settings import Settings
from ..twilio.callbacks import ENDED, CallStatus
from ..twilio.caller_id import Parties

if TYPE_CHECKING:
    from ..outbound.placed import PlacedCall
    from ..twilio.rest import CallRecord

__all__ = ["Ledger"]

OUTBOUND = "outbound-api"
_MAX_PLACED = 10_000
_HEARTBEAT_S = 10.0
_WRITING_S = (0.2, 0.4, 0.0)
"""What another process writes of a call's end may come a moment after Twilio asks."""
SILENT_S = 60.0
"""A call that we place is noted every `_HEARTBEAT_S`: after so long without news its process has ended."""


class Ledger:
    """One application's. Its methods return at once, but for the questions."""

    def __init__(self, recorder: Recorder, settings: Settings, instance: str, sources: Sources) -> None:
        self.recorder = recorder
        self._instance = instance
        self._sources = sources
        self._mask = Masker.of(settings)
        self._keeps_numbers = settings.telephony_record_numbers
        self._fallback = settings.telephony_fallback_number
        self._own_number = settings.twilio_phone_number
        self._placed: OrderedDict[str, str] = OrderedDict()
        self._told: dict[str, tuple[float, Any]] = {}

    # --- calls of this process -------------------------------------------------------------------------------------

    def started(self, call: Call) -> None:
        info = call.info
        if info.direction == OUTBOUND:
            return  # `placed` tells of it
        self.recorder.note(
            info.sid,
            sid=info.sid,
            direction=info.direction,
            caller=info.caller,
            called=info.called,
            instance=self._instance,
            status="in-progress",
            started_at=self._now(),
        )

    def ended(self, call: Call, duration_s: float) -> None:
        info = call.info
        how: dict[str, Any] = {"agent": _agent(call), "reason": self._mask(call.ended) or "ended"}
        if info.direction == OUTBOUND:
            self.recorder.note(self._placed.get(info.sid, info.sid), begins=False, **how)
            return
        self.recorder.note(
            info.sid,
            status="completed",
            ended_at=self._now(),
            duration_s=round(duration_s),
            caller=self._kept(info.caller),
            **how,
        )

    def placing(self, call_id: str, to: str, from_: str) -> CallNews:
        """What is noted of a call before Twilio is asked for it."""
        begun: dict[str, Any] = {"direction": OUTBOUND, "caller": from_, "called": to, "instance": self._instance}
        return CallNews(call_id, self._now(), True, {**begun, "status": "queued", "started_at": self._now()})

    def placed(self, call: PlacedCall) -> None:
        """There may be news of a call that we place; and while there are none, that it is still ours."""
        news = self._news(call)
        now, (at, before) = asyncio.get_running_loop().time(), self._told.get(call.token, (0.0, None))
        if news == before and now < at + _HEARTBEAT_S:
            return
        self._told[call.token] = now, news
        if call.sid is not None:
            self._placed[call.sid] = call.token
            if len(self._placed) > _MAX_PLACED:
                self._placed.popitem(last=False)
        changes = dict(news)
        if call.is_over:
            del self._told[call.token]
            changes |= {"ended_at": self._now(), "called": self._kept(call.to)}
        elif before is None:
            begun = self.placing(call.token, call.to, call.from_).changes
            changes = {**begun, **changes, "started_at": call.asked_at}
        self.recorder.note(call.token, **changes)

    def _news(self, call: PlacedCall) -> dict[str, Any]:
        news: dict[str, Any] = {"sid": call.sid, "status": call.status, "error": self._mask(call.state.error)}
        if (result := call.result) is not None:
            news |= {
                "status": result.status,
                "answered_by": result.answered_by,
                "message_left": result.message_left,
                "duration_s": result.duration_s,
                "cost": result.cost,
                "currency": result.currency,
                "error": self._mask(result.error),
            }
        return news

    # --- calls of any process ----------------------------------------------------------------------------------------

    def status(self, key: str, status: CallStatus) -> None:
        """Twilio tells of a call's state; other legs than those of calls we know are left out."""
        changes: dict[str, Any] = {"status": status.status}
        if status.ended:
            changes["ended_at"] = self._now()
            if status.duration_s is not None:
                changes["duration_s"] = status.duration_s
        self.recorder.note(key, begins=False, **changes)

    def found(self, row: CallRow, record: CallRecord) -> CallRow:
        """The call, with what Twilio has on it: its process has ended."""
        changes: dict[str, Any] = {"status": record.status}
        if record.status in ENDED:
            changes |= {"ended_at": self._now(), "duration_s": record.duration_s, "cost": record.cost}
            changes |= {"currency": record.currency, "caller": self._kept(row.caller)}
        self.recorder.note(row.id, begins=False, **changes)
        return added(row, CallNews(row.id, self._now(), False, changes)) or row

    async def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Why another process's call ended; None: it has lost it, or nobody knows it."""
        for pause_s in _WRITING_S:
            row = await self.recorder.call(call_sid)
            if row is None:
                return None
            if row.reason:
                parties = Parties.of(row.caller, row.called, inbound=row.direction != OUTBOUND, own=self._own_number)
                return end_of_call(row.reason, fallback=fallback_for(parties, self._fallback))
            await asyncio.sleep(pause_s)
        return None

    async def is_taken(self, sid: str, call_id: str) -> bool:
        """Is it another call of ours that has this `CallSid`?"""
        row = await self.recorder.call(sid)
        return row is not None and row.id != call_id

    def is_orphan(self, row: CallRow) -> bool:
        """Is it a call whose process has ended? Asked for calls that this process does not have."""
        if row.over:
            return False
        silent_s = (self._now() - (row.updated_at or self._now())).total_seconds()
        return row.instance == self._instance or silent_s > SILENT_S

    def _kept(self, number: str) -> str:
        return number if self._keeps_numbers else masked(number)

    def _now(self) -> datetime:
        return self._sources.now()


def _agent(call: Call) -> str:
    try:
        return call.session.current_agent.name
    except AttributeError:  # the call ended before its session was made
        return ""
