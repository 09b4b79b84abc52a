"""Reads from the call records whether another process has continued a call.

The process that has the media stream of a call owns the call. Before the owner closes the stream, it writes why the
stream ended. Another process that gets the next webhook of the call reads this reason (`stream_end`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from realtime_core.sources import Sources

from ..call.call_info import OUTBOUND
from ..call.ending import Ending
from ..call.leg.fallback import fallback_for
from ..call.leg.next_twiml import StreamEnd, Why, end_of_call
from ..call.leg.reattach import ContinuedElsewhere
from ..records.call_record import INTERRUPTED, OPEN, REFUSED, CallRecord
from ..records.client import RecordsClient
from ..settings import Settings
from ..twilio import twiml
from ..twilio.callbacks import ENDED
from ..twilio.caller_id import Parties

__all__ = ["SILENT_S", "CallsElsewhere"]

_WRITING_S = (0.05, 0.1, 0.15, 0.2, 0.25, 0.25, 0.0)
"""The pauses between two reads, in seconds. The other process may write the end of a stream shortly after Twilio's
webhook. Twilio waits 15 s for the response, and the caller hears nothing during this time.
"""
SILENT_S = 60.0
"""The time in seconds after which a call without a change counts as ended. Used only if the process of the call runs an
older release, which does not report to the database that the process is alive.
"""
_ENDS: Mapping[str, Why] = {"goodbye": "goodbye", "failed": "failed", REFUSED: "refused"}
"""The reasons of a stream's end after which the call does not return to its process."""
_WAITING: Mapping[str, Why] = {
    "lost": "lost",
    "stalled": "stalled",
    "transfer": "transfer",
    "digits": "digits",
    "conference": "conference",
}
"""The reasons of a stream's end after which the process waits for a new stream of the call."""


class CallsElsewhere:
    """Reads the states of the calls of other processes from the database. `instance` is the name of this process in
    URLs.
    """

    def __init__(self, client: RecordsClient, settings: Settings, instance: str, sources: Sources) -> None:
        self._client = client
        self._instance = instance
        self._sources = sources
        self._fallback = settings.telephony_fallback_number
        self._own_number = settings.twilio_phone_number

    async def stream_end(self, call_sid: str) -> StreamEnd | None:
        """Returns a description of why the media stream of a call in another process ended. Returns None if the reason
        is unknown or if that process has ended.

        Waits up to a second until the other process has written the reason. Does not wait if there is no database or if
        the database cannot be reached.
        """
        row = None
        for pause_s in _WRITING_S:
            row = await self._client.call(call_sid)
            if self._client.state != "ok" or (row is not None and _has_end(row)):
                break
            await asyncio.sleep(pause_s)
        return None if row is None else await self._end_of(row)

    async def _end_of(self, row: CallRecord) -> StreamEnd | None:
        if row.stream in _ENDS:
            return StreamEnd(_ENDS[row.stream], row.reattached, row.document or None, row.offered)
        if row.reason and not row.process:  # a record of an older release
            parties = Parties.of(row.caller, row.called, inbound=row.direction != OUTBOUND, own=self._own_number)
            fallback = fallback_for(parties, self._fallback)
            document = None if fallback is None else twiml.dial(fallback)
            return end_of_call(Ending.parse(row.reason), document=document)
        # While a stream is open, Twilio does not send this webhook.
        why = "lost" if row.stream == OPEN else _WAITING.get(row.stream)
        if why is None or row.over or row.process == self._client.process:
            return None
        if not await self._client.is_alive(row.process):
            return None
        return StreamEnd(why, row.reattached, row.document or None, row.offered, row.instance)

    async def followed(self, call_sid: str) -> ContinuedElsewhere:
        """Returns whether another process has continued a call that lost its media stream in this process."""
        row = await self._client.call(call_sid)
        if row is None or self._client.state != "ok":
            return ContinuedElsewhere.NO
        if row.process != self._client.process:
            return ContinuedElsewhere.TAKEN
        return ContinuedElsewhere.OFFERED if row.offered else ContinuedElsewhere.NO

    async def is_taken(self, sid: str, call_id: str) -> bool:
        """Returns whether the database contains a call with the `CallSid` `sid` that is not the call with the id
        `call_id`.
        """
        row = await self._client.call(sid)
        return row is not None and row.id != call_id

    async def is_orphan(self, row: CallRecord) -> bool:
        """Returns whether the process of the call with this record has ended, so no process handles the call. Must be
        used only for calls that this process does not have.
        """
        if row.over:
            return row.status == INTERRUPTED
        if row.instance == self._instance:
            return True  # a predecessor of this process had the same name
        if not row.process:
            return (self._sources.now() - (row.updated_at or self._sources.now())).total_seconds() > SILENT_S
        return not await self._client.is_alive(row.process)


def _has_end(row: CallRecord) -> bool:
    return row.status in ENDED or row.stream not in ("", OPEN) or bool(row.reason and not row.process)
