"""The policy: what happens to a contact now, by the rules of the campaign."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephony.campaigns.campaign import Campaign, CampaignCounts, CampaignStatus, PauseReason, PersonHistory
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import FINAL, Attempt, Contact, DoneReason, Outcome
from telephony.campaigns.policy import (
    Action,
    Dial,
    Done,
    Hold,
    HoldReason,
    Pause,
    Wait,
    WaitReason,
    calling_hours,
    decide,
    settled,
)
from telephony.outbound import DialingRules

MONDAY = datetime(2026, 11, 30, 18, 0, tzinfo=UTC)
"""10:00 in California."""
ADA = Contact("ada", "+14155550101")


def campaign(**config: Any) -> Campaign:
    return Campaign("c", CampaignConfig(**config), MONDAY, status=CampaignStatus.RUNNING)


def attempt(outcome: Outcome | str, ago: timedelta = timedelta(minutes=1), **more: Any) -> Attempt:
    at = MONDAY - ago
    return Attempt(f"a{ago}", "ada", ADA.number, at, ended_at=at, outcome=Outcome(outcome), **more)


def decided(
    it: Campaign,
    attempts: Sequence[Attempt] = (),
    *,
    contact: Contact = ADA,
    now: datetime = MONDAY,
    counts: CampaignCounts | None = None,
    person: PersonHistory | None = None,
    rules: DialingRules | None = None,
) -> Action:
    hours = calling_hours(contact, it.config, rules or DialingRules.none())
    counts, person = counts or CampaignCounts(), person or PersonHistory()
    return decide(it, contact, attempts, now, counts=counts, person=person, hours=hours)


def test_a_new_contact_is_called_at_once() -> None:
    assert decided(campaign()) == Dial()


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", ["busy", "no-answer", "machine", "screening", "failed"])
def test_an_outcome_is_tried_again_as_often_and_as_late_as_its_rule_says(outcome: str) -> None:
    it = campaign(retry=f"{outcome}=2/3h", max_attempts=9)
    once = [attempt(outcome, timedelta(hours=1))]
    assert decided(it, once) == Wait(MONDAY + timedelta(hours=2), WaitReason.RETRY)
    twice = [attempt(outcome, timedelta(hours=7)), attempt(outcome, timedelta(hours=3))]
    assert decided(it, twice) == Dial()
    thrice = [*twice, attempt(outcome, timedelta(hours=1))]
    assert decided(it, thrice) == Done(DoneReason(outcome))


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome in FINAL])
def test_a_final_outcome_ends_the_contact(outcome: Outcome) -> None:
    assert decided(campaign(), [attempt("busy", timedelta(days=1)), attempt(outcome)]) == Done(
        DoneReason(outcome.value)
    )


def test_an_outcome_without_a_rule_ends_the_contact() -> None:
    assert decided(campaign(retry="busy=0"), [attempt("busy")]) == Done(DoneReason.BUSY)
    assert decided(campaign(), [attempt("incomplete")]) == Done(DoneReason.INCOMPLETE)


def test_all_attempts_together_are_limited() -> None:
    made = [attempt("busy", timedelta(hours=9)), attempt("no-answer", timedelta(hours=6))]
    assert decided(campaign(max_attempts=2), made) == Done(DoneReason.NO_ANSWER)
    assert decided(campaign(max_attempts=3), made) == Dial()


def test_a_callback_is_made_at_the_time_that_the_callee_named() -> None:
    at = MONDAY + timedelta(hours=5)
    assert decided(campaign(), [attempt("callback", callback_at=at)]) == Wait(at, WaitReason.CALLBACK)
    late = campaign(ends_at=MONDAY + timedelta(hours=2))
    assert decided(late, [attempt("callback", callback_at=at)]) == Done(DoneReason.INCOMPLETE)


def test_a_contact_that_was_set_back_by_hand_is_tried_again() -> None:
    made = [attempt("busy", timedelta(hours=5))]
    again = replace(ADA, retried_at=MONDAY - timedelta(hours=1))
    assert decided(campaign(retry="busy=0"), made) == Done(DoneReason.BUSY)
    assert decided(campaign(retry="busy=0"), made, contact=again) == Dial()


# --- persons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "person", "reason"),
    [
        (ADA, PersonHistory(listed=True), DoneReason.DO_NOT_CALL),
        (replace(ADA, consent=False), PersonHistory(), DoneReason.NO_CONSENT),
    ],
)
def test_a_person_who_does_not_want_calls_is_not_called(
    contact: Contact, person: PersonHistory, reason: DoneReason
) -> None:
    assert decided(campaign(), contact=contact, person=person) == Done(reason)
    assert decided(campaign(), [attempt("busy")], contact=contact, person=person) == Done(reason)


def test_consent_may_be_required() -> None:
    assert decided(campaign(needs_consent=True)) == Done(DoneReason.NO_CONSENT)
    assert decided(campaign(needs_consent=True), contact=replace(ADA, consent=True)) == Dial()


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (PersonHistory(called_here=(MONDAY - timedelta(hours=20),)), WaitReason.PER_NUMBER),
        (PersonHistory(called_at=(MONDAY - timedelta(hours=20),)), WaitReason.PER_PERSON),
    ],
)
def test_a_number_is_not_called_more_often_than_allowed(person: PersonHistory, reason: WaitReason) -> None:
    it = campaign(per_number="1/1d", per_person="1/1d")
    assert decided(it, person=person) == Wait(MONDAY + timedelta(hours=4), reason)
    assert decided(campaign(per_number="2/1d", per_person="2/1d"), person=person) == Dial()


def test_a_number_that_is_in_a_call_is_not_called() -> None:
    assert isinstance(decided(campaign(), person=PersonHistory(in_call=True)), Wait)


# --- hours ------------------------------------------------------------------------------------------------------------


def there(action: Action, zone: str = "America/Los_Angeles") -> str:
    assert isinstance(action, Wait), action
    assert action.reason is WaitReason.WINDOW
    return f"{action.until.astimezone(ZoneInfo(zone)):%a %d %H:%M}"


def test_calls_begin_only_within_the_windows() -> None:
    it = campaign(windows="mon-wed 11:00-12:00; fri 9-10")
    assert there(decided(it)) == "Mon 30 11:00"
    assert decided(it, now=MONDAY + timedelta(hours=1)) == Dial()
    assert there(decided(it, now=MONDAY + timedelta(hours=2))) == "Tue 01 11:00"
    assert there(decided(it, now=MONDAY + timedelta(days=3))) == "Fri 04 09:00"


def test_quiet_hours_count_without_a_window() -> None:
    rules = DialingRules(quiet_from=time(21), quiet_until=time(8))
    night = MONDAY + timedelta(hours=11)
    assert there(decided(campaign(), now=night, rules=rules)) == "Tue 01 08:00"
    wide = campaign(windows="00:00-24:00")
    assert there(decided(wide, now=night, rules=rules)) == "Tue 01 08:00"


def test_no_call_begins_on_a_holiday_of_the_country() -> None:
    christmas = datetime(2026, 12, 25, 18, 0, tzinfo=UTC)
    assert there(decided(campaign(), now=christmas)) == "Sat 26 00:00"
    assert decided(campaign(holidays=True), now=christmas) == Dial()
    german = Contact("eva", "+493012345678")
    assert there(decided(campaign(), contact=german, now=christmas), "Europe/Berlin") == "Sun 27 00:00"


def test_the_time_zone_of_a_contact_counts_before_that_of_its_number() -> None:
    abroad = replace(ADA, timezone="Asia/Tokyo")  # it is 03:00 there
    assert there(decided(campaign(windows="9-17"), contact=abroad), "Asia/Tokyo") == "Tue 01 09:00"


def test_a_retry_falls_into_a_window() -> None:
    it = campaign(windows="mon-fri 9-17", retry="no-answer=2/8h")
    assert there(decided(it, [attempt("no-answer", timedelta(minutes=30))])) == "Tue 01 09:00"


def test_a_campaign_that_is_over_ends_its_contacts() -> None:
    assert decided(campaign(ends_at=MONDAY)) == Done(DoneReason.EXPIRED)
    closed = campaign(windows="tue 9-10", ends_at=MONDAY + timedelta(hours=3))
    assert decided(closed) == Done(DoneReason.EXPIRED)
    assert decided(campaign(ends_at=MONDAY), [attempt("busy")]) == Done(DoneReason.BUSY)


# --- the campaign as a whole ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [CampaignStatus.CREATED, CampaignStatus.PAUSED, CampaignStatus.FINISHED])
def test_a_campaign_that_does_not_run_calls_nobody(status: CampaignStatus) -> None:
    assert decided(replace(campaign(), status=status)) == Hold(HoldReason.NOT_RUNNING)


def test_a_stopped_campaign_ends_its_contacts() -> None:
    assert decided(replace(campaign(), status=CampaignStatus.STOPPED)) == Done(DoneReason.STOPPED)


@pytest.mark.parametrize(
    ("config", "counts", "action"),
    [
        ({"at_once": 3}, CampaignCounts(live=3), Hold(HoldReason.AT_ONCE)),
        ({"at_once": 3}, CampaignCounts(live=2), Dial()),
        (
            {"per_second": 0.5},
            CampaignCounts(last_started_at=MONDAY - timedelta(seconds=1)),
            Hold(HoldReason.PER_SECOND, MONDAY + timedelta(seconds=1)),
        ),
        ({"per_second": 0.5}, CampaignCounts(last_started_at=MONDAY - timedelta(seconds=2)), Dial()),
        (
            {"max_per_day": 5},
            CampaignCounts(calls_in_day=5, oldest_in_day=MONDAY - timedelta(hours=20)),
            Hold(HoldReason.PER_DAY, MONDAY + timedelta(hours=4)),
        ),
        ({"max_calls": 5}, CampaignCounts(calls=5), Pause(PauseReason.CALLS)),
        ({"max_minutes": 10, "max_s": 60}, CampaignCounts(minutes=10), Pause(PauseReason.MINUTES)),
        ({"max_minutes": 10, "max_s": 60}, CampaignCounts(minutes=9.5), Pause(PauseReason.MINUTES)),
        ({"max_minutes": 10, "max_s": 60, "at_once": 9}, CampaignCounts(minutes=8, live=2), Hold(HoldReason.BUDGET)),
        ({"max_minutes": 10, "max_s": 60}, CampaignCounts(minutes=8, live=1), Dial()),
        ({"max_cost": 1}, CampaignCounts(cost=1.0, priced=9), Pause(PauseReason.COST)),
        ({"max_cost": 1}, CampaignCounts(cost=0.5, priced=5, unpriced=5), Pause(PauseReason.COST)),
        ({"max_cost": 1, "at_once": 9}, CampaignCounts(cost=0.8, priced=8, live=2), Hold(HoldReason.BUDGET)),
        (
            {"max_abandoned_per_day": 4},
            CampaignCounts(abandoned_in_day=4, oldest_abandoned=MONDAY - timedelta(hours=23)),
            Hold(HoldReason.ABANDONED, MONDAY + timedelta(hours=1)),
        ),
    ],
)
def test_the_caps_of_a_campaign(config: dict[str, Any], counts: CampaignCounts, action: Action) -> None:
    assert decided(campaign(**config), counts=counts) == action


def test_abandoned_calls_slow_the_campaign_down() -> None:
    it = campaign(at_once=8, max_abandoned_per_day=4)
    one = CampaignCounts(abandoned_in_day=1, oldest_abandoned=MONDAY)
    assert decided(it, counts=replace(one, live=6)) == Hold(HoldReason.AT_ONCE)
    assert decided(it, counts=replace(one, live=5)) == Dial()
    assert decided(campaign(at_once=1, max_abandoned_per_day=4), counts=one) == Dial()


def test_a_campaign_pauses_when_failures_pile_up() -> None:
    it = campaign(failures=3, failures_of=5)
    few = (Outcome.FAILED, Outcome.REACHED, Outcome.FAILED, Outcome.BUSY)
    assert decided(it, counts=CampaignCounts(recent=few)) == Dial()
    assert decided(it, counts=CampaignCounts(recent=(*few, Outcome.FAILED))) == Pause(PauseReason.FAILURES)


# --- any history ------------------------------------------------------------------------------------------------------

_minutes = st.integers(1, 60 * 24 * 8)
_attempts = st.lists(st.tuples(_minutes, st.sampled_from(list(Outcome))), max_size=6, unique_by=lambda it: it[0])


@given(
    made=_attempts,
    windows=st.sampled_from(["", "mon-fri 9-17", "sat,sun 10:30-11", "22:00-24:00"]),
    minutes=st.integers(0, 60 * 24 * 9),
    rules=st.sampled_from([DialingRules.none(), DialingRules()]),
    zone=st.sampled_from(["", "Europe/Berlin", "Australia/Lord_Howe"]),
)
def test_no_history_leads_to_a_call_that_a_rule_forbids(
    made: list[tuple[int, Outcome]], windows: str, minutes: int, rules: DialingRules, zone: str
) -> None:
    it = campaign(windows=windows)
    now = MONDAY + timedelta(minutes=minutes)
    attempts = [attempt(outcome, timedelta(minutes=ago)) for ago, outcome in made]
    contact = replace(ADA, timezone=zone)
    calls = tuple(each.started_at for each in attempts)
    person = PersonHistory(called_at=calls, called_here=calls)
    action = decided(it, attempts, contact=contact, now=now, person=person, rules=rules)
    hours = calling_hours(contact, it.config, rules)
    last = max(attempts, key=lambda each: each.started_at, default=None)
    match action:
        case Dial():
            assert hours.is_open(now)
            assert last is None or last.outcome not in FINAL
            assert len(attempts) < it.config.max_attempts
            assert sum(at > now - timedelta(days=1) for at in calls) < it.config.per_number.times
        case Wait(until):
            assert until > now
            assert hours.is_open(until)
            after = settled(it, contact, attempts, now, person=person, hours=hours)
            assert after.next_at == until
            assert decided(it, attempts, contact=contact, now=until, person=person, rules=rules) == Dial()
        case Done():
            assert settled(it, contact, attempts, now, person=person, hours=hours).is_final
        case _:
            raise AssertionError(action)
