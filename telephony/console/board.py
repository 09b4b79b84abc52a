"""The rows in the console's list of live calls, for the calls of one process."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from realtime_core.sources import Sources

from ..call.call import Call
from ..journal.encoding import dump
from .live_call import LiveCall

__all__ = ["Board", "CallDisplay", "LiveRow", "last_part"]

_FRESH_S = 0.4
"""The minimum time in seconds between two computations of the rows. All pages get the same rows."""
_ENDED_S = 8.0
"""The time in seconds for which a call stays in the list after its end."""
_MAX_LINE = 160
"""The maximum number of characters of the last words in the list of live calls."""
_MAX_FEEDS = 50


@dataclass(slots=True)
class LiveRow:
    """The row of one live call in the console's list of calls. `text` is the row as JSON. `serial` increases with each
    change of the text.
    """

    call: Call
    state: LiveCall
    since: str
    """The time at which the call began (ISO 8601)."""
    text: str = ""
    serial: int = 0
    ended_at: float | None = None


class CallDisplay:
    """Shows one call in the console's list of live calls. The call informs this object of its events, and the object
    passes them to the `LiveCall` that the list shows.
    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._state = state = LiveCall()
        self.on_event, self.on_record = state.on_event, state.on_record
        self.on_key, self.on_latency = state.on_key, state.on_latency

    def start(self, call: Call, now: float) -> None:
        self._state.begin(now)
        self._state.hides, self._state.is_sealed = call.hides, lambda: call.is_sealed
        self._state.is_taken_over = lambda: call.supervision.is_active
        self._board.start(call, self._state)

    def end(self, call: Call) -> None:
        self._board.end(call)


class Board:
    """The list of live calls of this process, by CallSid, with the calls that ended within the last 8 s."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._clock = asyncio.get_running_loop().time
        self._rows: OrderedDict[str, LiveRow] = OrderedDict()
        self._serial = 0
        self._updated = 0.0
        self._feeds = 0

    def display(self) -> CallDisplay:
        """Returns a new object that shows one call in the list of live calls. The call appears in the list when it
        starts, and informs this object of its events.
        """
        return CallDisplay(self)

    def start(self, call: Call, state: LiveCall) -> None:
        self._rows[call.sid] = LiveRow(call, state, self._sources.now().isoformat())

    def end(self, call: Call) -> None:
        """Removes the row of a call 8 s after its end. The row is removed by a timer, even if no page requests the
        list, because a row keeps the whole call in memory.
        """
        if (row := self._rows.get(call.sid)) is not None and row.call is call:
            row.ended_at = self._clock()
            asyncio.get_running_loop().call_later(_ENDED_S, self._forget, row)

    def get(self, call_sid: str) -> LiveRow | None:
        """Returns the row of a call that is live in this process or that ended in the last 8 s, or None if there is no
        such call.
        """
        return self._rows.get(call_sid)

    def rows(self) -> dict[str, LiveRow]:
        """Returns the rows of the list of live calls, by CallSid. The data of the rows are at most 0.4 s old."""
        now = self._clock()
        is_due = now >= self._updated + _FRESH_S or not self._updated
        if is_due:
            self._updated = now
        for row in self._rows.values():
            if is_due or not row.text:
                self._update(row, now)
        return self._rows

    def _update(self, row: LiveRow, now: float) -> None:
        text = dump(self.describe(row, now))
        if text != row.text:
            self._serial += 1
            row.text, row.serial = text, self._serial

    def describe(self, row: LiveRow, now: float) -> dict[str, Any]:
        """Returns the data of the row as JSON values, as the list of live calls shows them: the numbers, the agent, the
        last words, the latency, and warnings. `now` is the time of the event loop in seconds. Bullets replace the
        secrets of the call in texts.
        """
        call, state = row.call, row.state
        if row.ended_at is None:
            state.observe(call.heard(), now)
        who, words = state.last_words
        described = {
            "sid": call.sid,
            "caller": call.caller,
            "called": call.called,
            "direction": call.info.direction,
            "agent": state.agent,
            "since": row.since,
            "speaking": "" if row.ended_at is not None else state.speaking or "",
            "last": {"who": who, "text": last_part(words)},
            "latency_ms": state.latency_ms,
            "warnings": [] if row.ended_at is not None else state.warnings(now),
            "taken_over": row.ended_at is None and call.supervision.is_active,
            "transcribes": row.ended_at is None and call.supervision.transcribes,
            "transferring": "" if row.ended_at is not None else state.transferring,
            "over": row.ended_at is not None,
        }
        masked: dict[str, Any] = call.masked(described)
        return {**masked, "sid": call.sid, "caller": call.caller, "called": call.called}

    def _forget(self, row: LiveRow) -> None:
        if self._rows.get(row.call.sid) is row:
            del self._rows[row.call.sid]

    # --- pages that follow -------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the console's maximum number of open browser pages that show live calls is reached. If True, a
        further page is refused.
        """
        return self._feeds >= _MAX_FEEDS

    @contextmanager
    def following(self) -> Iterator[None]:
        """Counts one more page that shows live calls and gets their changes, during this block. When there are too many
        such pages, `full` is True.
        """
        self._feeds += 1
        try:
            yield
        finally:
            self._feeds -= 1


def last_part(words: str) -> str:
    """Returns the end of a text, so that it fits into one line of a list. If the text was cut, the result begins with
    `…` and a whole word.
    """
    if len(words) <= _MAX_LINE:
        return words
    _, blank, rest = words[-_MAX_LINE:].partition(" ")
    return f"… {rest}" if blank else words[-_MAX_LINE:]
