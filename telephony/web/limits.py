"""Limits the calls of this process: calls at the same time, calls from one caller in an hour, and minutes per day.
Pure.

Callers with a withheld number cannot be distinguished. These callers share one limit per hour and have no limit for
each caller.

A call counts from the response to its webhook on, even if its media stream has not started. A call whose media stream
does not start within `CallLimits.setup_s` seconds is no longer counted.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from ..twilio.caller_id import is_withheld
from ..twilio.phone_forms import main_form

__all__ = ["CallLimits", "Limits", "OverLimit"]

OverLimit = Literal["full", "caller", "budget"]

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_MAX_CALLERS = 10_000
"""The maximum number of callers that are stored. The caller whose last call is the oldest is removed first."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """The limits for the calls of this process. 0 means no limit."""

    calls: int
    """The maximum number of calls at the same time. 0 means no limit."""
    per_caller_hour: int = 0
    """The maximum number of calls from one caller within an hour. 0 means no limit."""
    withheld_hour: int = 0
    """The maximum number of calls from all withheld numbers together within an hour. 0 means no limit."""
    minutes_per_day: float = 0.0
    """The maximum number of minutes of all calls together in a day (UTC). 0 means no limit."""
    setup_s: float = 60.0
    """The maximum time in seconds from the webhook of a call to its media stream."""


class Limits:
    """Counts the calls of this process. `now` is Unix time in seconds. A day begins at midnight UTC."""

    def __init__(self, caps: CallLimits) -> None:
        self.caps = caps
        self._expected: dict[str, float] = {}
        self._live: dict[str, float] = {}
        self._callers: OrderedDict[str, deque[float]] = OrderedDict()
        self._day = 0
        self._used_s = 0.0

    def admit(self, call_sid: str, caller: str, now: float) -> OverLimit | None:
        """Admits a call at its webhook. Returns None, or the limit that the call exceeds.

        An admitted call is counted from now on. A repeated admission has no effect.
        """
        self._forget(now)
        if call_sid in self._expected or call_sid in self._live:
            return None
        if self.caps.calls and len(self._expected) + len(self._live) >= self.caps.calls:
            return "full"
        if self.is_spent(now):
            return "budget"
        if not self._count_caller(caller, now):
            return "caller"
        self._expected[call_sid] = now
        return None

    def expects(self, call_sid: str) -> bool:
        """Returns whether the call was admitted (counted at its webhook) and its media stream has not started."""
        return call_sid in self._expected

    def expected(self, since: float) -> int:
        """Returns the number of calls that were admitted after `since` and whose media streams have not started."""
        return sum(admitted > since for admitted in self._expected.values())

    def started(self, call_sid: str, now: float) -> None:
        """Counts the call as live, because a media stream of the call has started. Later streams of the call have no
        effect.
        """
        self._expected.pop(call_sid, None)
        self._live.setdefault(call_sid, now)

    def ended(self, call_sid: str, now: float) -> float:
        """Stops counting the call, because the call is over or never started. Returns the duration of the call in
        seconds.
        """
        self._expected.pop(call_sid, None)
        started = self._live.pop(call_sid, None)
        if started is None:
            return 0.0
        self._begin_day(now)
        self._used_s += now - max(started, self._day * _DAY_S)
        return now - started

    def minutes_used(self, now: float) -> float:
        """Returns the minutes of all calls of this day so far, including live calls."""
        self._begin_day(now)
        midnight = self._day * _DAY_S
        return (self._used_s + sum(now - max(started, midnight) for started in self._live.values())) / 60

    def is_spent(self, now: float) -> bool:
        """Returns whether the minutes of this day are used up."""
        return bool(self.caps.minutes_per_day) and self.minutes_used(now) >= self.caps.minutes_per_day

    @property
    def taken(self) -> int:
        """The number of calls that count towards the limit now: live calls, and admitted calls without a media
        stream.
        """
        return len(self._live) + len(self._expected)

    def _begin_day(self, now: float) -> None:
        if (day := int(now // _DAY_S)) != self._day:
            self._day, self._used_s = day, 0.0

    def _count_caller(self, caller: str, now: float) -> bool:
        withheld = is_withheld(caller)
        if not (cap := self.caps.withheld_hour if withheld else self.caps.per_caller_hour):
            return True
        key = "" if withheld else main_form(caller)
        calls = self._callers.setdefault(key, deque())
        self._callers.move_to_end(key)
        while calls and calls[0] <= now - _HOUR_S:
            calls.popleft()
        if len(calls) >= cap:
            return False
        calls.append(now)
        if len(self._callers) > _MAX_CALLERS:
            self._callers.popitem(last=False)
        return True

    def _forget(self, now: float) -> None:
        oldest = now - self.caps.setup_s
        self._expected = {sid: since for sid, since in self._expected.items() if since > oldest}
