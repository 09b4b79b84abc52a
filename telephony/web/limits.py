"""How many calls are taken: at once, of one caller within an hour, and minutes within a day. Pure.

Withheld numbers are not one caller: they have no limit each, because nobody can tell them apart, and an allowance for
all of them together.

A call counts from the webhook's answer on, so that calls which are just being set up cannot overrun the limit; if its
stream does not come, it is forgotten.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Literal

from ..twilio.caller_id import is_withheld

__all__ = ["Caps", "Limits", "OverLimit"]

OverLimit = Literal["full", "caller", "budget"]

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_MAX_CALLERS = 10_000
"""So many callers are remembered; then the one who called longest ago is forgotten."""


@dataclass(frozen=True, slots=True)
class Caps:
    """0: no limit."""

    calls: int
    per_caller_hour: int = 0
    withheld_hour: int = 0
    """Of all callers together who withhold their number."""
    minutes_per_day: float = 0.0
    setup_s: float = 60.0
    """How long a call may take from the webhook to its stream."""


class Limits:
    """`now` is Unix time: days begin at midnight UTC."""

    def __init__(self, caps: Caps) -> None:
        self.caps = caps
        self._expected: dict[str, float] = {}
        self._live: dict[str, float] = {}
        self._callers: OrderedDict[str, deque[float]] = OrderedDict()
        self._day = 0
        self._used_s = 0.0

    def admit(self, call_sid: str, caller: str, now: float) -> OverLimit | None:
        """May this call come? If so it is expected from now on. It may be asked for again."""
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
        """Was it admitted, and has no stream yet?"""
        return call_sid in self._expected

    def expected(self, since: float) -> int:
        """How many calls, admitted after `since`, have no stream yet."""
        return sum(admitted > since for admitted in self._expected.values())

    def started(self, call_sid: str, now: float) -> None:
        """The call has its stream. Told of each stream of a call, the first counts."""
        self._expected.pop(call_sid, None)
        self._live.setdefault(call_sid, now)

    def ended(self, call_sid: str, now: float) -> float:
        """The call is over, or did not come about. Returns how many seconds it took."""
        self._expected.pop(call_sid, None)
        started = self._live.pop(call_sid, None)
        if started is None:
            return 0.0
        self._begin_day(now)
        self._used_s += now - max(started, self._day * _DAY_S)
        return now - started

    def minutes_used(self, now: float) -> float:
        """Minutes of all calls of this day so far, those that go on included."""
        self._begin_day(now)
        midnight = self._day * _DAY_S
        return (self._used_s + sum(now - max(started, midnight) for started in self._live.values())) / 60

    def is_spent(self, now: float) -> bool:
        """Is the day's budget used up?"""
        return bool(self.caps.minutes_per_day) and self.minutes_used(now) >= self.caps.minutes_per_day

    @property
    def taken(self) -> int:
        """How many calls are live or expected."""
        return len(self._live) + len(self._expected)

    def _begin_day(self, now: float) -> None:
        if (day := int(now // _DAY_S)) != self._day:
            self._day, self._used_s = day, 0.0

    def _count_caller(self, caller: str, now: float) -> bool:
        withheld = is_withheld(caller)
        if not (cap := self.caps.withheld_hour if withheld else self.caps.per_caller_hour):
            return True
        key = "" if withheld else caller
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
