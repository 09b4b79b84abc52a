"""The limits of calls at one time, of calls from one caller, and of the minutes of a day."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from telephony.web.limits import CallLimits, Limits

NOON = 20_000 * 86_400 + 43_200.0


def test_calls_that_are_being_set_up_count() -> None:
    limits = Limits(CallLimits(2))
    assert limits.admit("CA1", "+1", NOON) is None
    assert limits.admit("CA2", "+1", NOON) is None
    assert limits.admit("CA3", "+1", NOON) == "full"
    assert limits.admit("CA2", "+1", NOON) is None, "Twilio may ask twice"
    assert limits.admit("CA3", "+1", NOON + 61) is None, "the streams of the others never came"


def test_a_live_call_is_not_forgotten() -> None:
    limits = Limits(CallLimits(1))
    limits.admit("CA1", "+1", NOON)
    limits.started("CA1", NOON + 1)
    assert limits.admit("CA2", "+1", NOON + 3000) == "full"
    assert limits.ended("CA1", NOON + 3001) == 3000
    assert limits.admit("CA2", "+1", NOON + 3001) is None


def test_a_caller_has_so_many_calls_within_an_hour() -> None:
    limits = Limits(CallLimits(100, per_caller_hour=2))
    for at, sid in ((0, "CA1"), (1800, "CA2")):
        assert limits.admit(sid, "+1", NOON + at) is None
        assert limits.admit(sid, "+1", NOON + at) is None, "asked twice, counted once"
        limits.ended(sid, NOON + at + 1)
    assert limits.admit("CA3", "+1", NOON + 3599) == "caller"
    assert limits.admit("CA4", "+2", NOON + 3599) is None
    assert limits.admit("CA3", "+1", NOON + 3600) is None
    assert limits.admit("CA5", "+1", NOON + 3601) == "caller"


def test_the_numbers_of_one_phone_share_a_limit() -> None:
    limits = Limits(CallLimits(100, per_caller_hour=1))
    assert limits.admit("CA1", "+5215512345678", NOON) is None
    assert limits.admit("CA2", "+525512345678", NOON) == "caller"
    assert limits.admit("CA3", "+525512345679", NOON) is None


WITHHELD = ["", "anonymous", "Anonymous", "+266696687", "Restricted", "unavailable", "sip:anonymous@anonymous.invalid"]


def test_withheld_numbers_are_not_one_caller_and_share_an_allowance_of_their_own() -> None:
    limits = Limits(CallLimits(0, per_caller_hour=1, withheld_hour=20))
    assert limits.admit("CA", "+1", NOON) is None
    assert [limits.admit(f"CA{n}", WITHHELD[n % len(WITHHELD)], NOON) for n in range(20)] == [None] * 20
    assert limits.admit("CA20", "anonymous", NOON + 1) == "caller"
    assert limits.admit("CA21", "+2", NOON + 1) is None, "other callers have theirs"
    assert limits.admit("CA20", "+86282452253", NOON + 3600) is None
    for caller in ("client:ada", "sip:ada@example.com"):
        assert limits.admit(f"CA a {caller}", caller, NOON) is None
        assert limits.admit(f"CA b {caller}", caller, NOON) == "caller", "this says who is calling"


def test_without_an_allowance_withheld_numbers_have_no_limit() -> None:
    limits = Limits(CallLimits(0, per_caller_hour=1))
    assert all(limits.admit(f"CA{n}", "anonymous", NOON) is None for n in range(500))


def test_the_budget_counts_live_calls_and_begins_anew_at_midnight() -> None:
    limits = Limits(CallLimits(100, minutes_per_day=30))
    limits.admit("CA1", "+1", NOON)
    limits.started("CA1", NOON)
    limits.started("CA1", NOON + 600)  # a second stream of the same call
    assert limits.minutes_used(NOON + 1200) == 20
    assert limits.admit("CA2", "+1", NOON + 1799) is None
    assert limits.admit("CA3", "+1", NOON + 1800) == "budget"
    limits.ended("CA1", NOON + 1800)
    assert limits.admit("CA3", "+1", NOON + 1801) == "budget"
    midnight = NOON + 43_200
    limits.started("CA4", midnight - 600)
    assert limits.minutes_used(midnight + 300) == 5
    limits.ended("CA4", midnight + 300)
    assert limits.minutes_used(midnight + 400) == 5
    assert limits.admit("CA3", "+1", midnight + 400) is None


def test_zero_is_no_limit() -> None:
    limits = Limits(CallLimits(0))
    assert all(limits.admit(f"CA{n}", "+1", NOON) is None for n in range(500))


@given(st.lists(st.tuples(st.sampled_from("asef"), st.integers(0, 5), st.integers(0, 100)), max_size=60))
def test_no_more_calls_than_allowed(steps: list[tuple[str, int, int]]) -> None:
    limits, now, live = Limits(CallLimits(3)), NOON, set()
    for what, number, pause in steps:
        now += pause
        sid = f"CA{number}"
        if what == "a" and limits.admit(sid, "+1", now) is None:
            assert limits.taken <= 3
        elif what == "s" and limits.expects(sid):
            limits.started(sid, now)
            live.add(sid)
        elif what == "e":
            limits.ended(sid, now)
            live.discard(sid)
        assert live <= {sid for sid in map("CA{}".format, range(6)) if limits.taken}
        assert len(live) <= limits.taken <= 3
