"""Reads the `start` message of one media stream, checks whether the stream may be used (is admitted), and attaches the
stream to its call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from realtime_core.connection import Close, Connection

from ..errors import StreamRefused
from ..logs import Repeats
from ..twilio import media_stream
from ..twilio.callbacks import is_sid
from .call_info import Admit, CallInfo
from .ending import Ending, EndReason
from .line.stream import MediaStream
from .options import CallOutcome

__all__ = ["Outcome", "accept_stream"]

_MAX_KIND_CHARS = 80

Outcome = Callable[[Close, int], CallOutcome]
"""A function that returns the outcome of a call. The arguments are how the connection of the media stream ended, and
the number of unreadable messages.
"""


async def accept_stream(
    connection: Connection,
    admit: Admit,
    take: Callable[[MediaStream, media_stream.Start, CallInfo], Awaitable[Outcome]],
    on_refused: Callable[[str, str], None],
    refusals: Repeats,
) -> CallOutcome:
    """Reads one media stream to its end, and returns how its call ended.

    If `admit` admits the stream, `take` attaches the stream to its call. If `admit` refuses the stream, `on_refused`
    gets the `CallSid` and the reason before the stream is closed, and `refusals` logs the refusal.
    """
    stream = MediaStream(connection)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(stream.run())
        try:
            start, info = await stream.admitted(admit)
            outcome = await take(stream, start, info)
        except StreamRefused as error:
            refusals.warning(str(error)[:_MAX_KIND_CHARS], f"Refused a media stream: {error}")
            reason = str(Ending(EndReason.REFUSED, str(error)))
            if (sid := stream.call_sid) is not None and is_sid(sid):
                on_refused(sid, reason)
            connection.close(1008, "refused")
            return CallOutcome(None, reason, await reader, stream.skipped)
        return outcome(await reader, stream.skipped)
