"""Whole campaigns in virtual time: the dialer, the webhooks, the streams and the agent run, and the callees are
simulated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from time import process_time
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from benchmarks.extent import extent
from examples.remind import Outcome as Answer
from examples.remind import agent
from telephony.campaigns.attempt_call import Speech
from telephony.campaigns.campaign import Campaign, CampaignStatus, PauseReason
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Contact, ContactState, DoneReason, Outcome
from telephony.campaigns.contact_list import contacts_from_rows
from telephony.campaigns.memory_store import MemoryStore
from telephony.outbound import DialingRules, LeaveMessage
from telephony.outbound.do_not_call import DoNotCall
from telephony.rehearsal.rehearsal import START, rehearse
from telephony.settings import read_settings

RULES = DialingRules()
SPEECH = Speech(agent, Answer, LeaveMessage("Blu Dental: please call us back."))
OWN = "+14155550199"
COUNT = extent(8, 500)


def people(count: int) -> tuple[Contact, ...]:
    rows = [{"to": f"+1415555{1000 + n}", "name": f"Person {n}"} for n in range(count)]
    return contacts_from_rows(rows, own_number=OWN, rules=RULES).contacts


def rehearsed(
    contacts: Sequence[Contact], *, rules: DialingRules = RULES, seed: int = 7, check: Any = None, **config: Any
) -> MemoryStore:
    campaign = Campaign("c", CampaignConfig(**{"at_once": 10, "per_second": 5, **config}), START)
    return rehearse(campaign, contacts, SPEECH, settings=read_settings(), rules=rules, seed=seed, check=check)


def rows(store: MemoryStore) -> list[tuple[Any, ...]]:
    return [(each, *store.attempts("c", each.id)) for each in store.contacts("c", limit=10_000)]


def test_every_contact_has_an_end_and_every_attempt_keeps_to_the_rules() -> None:
    began = process_time()
    store = rehearsed(people(COUNT), at_once=4, windows="mon-fri 09:00-12:00")
    assert process_time() - began < 120.0, "500 contacts in under two minutes of one core"
    campaign = store.campaign("c")
    assert campaign is not None
    assert campaign.status is CampaignStatus.FINISHED
    assert {contact.state for contact, *_ in rows(store)} == {ContactState.DONE}
    assert len(store.funnel("c").outcomes) >= 4, "the callees are of several kinds"
    attempts = sorted((each for _, *made in rows(store) for each in made), key=lambda each: each.started_at)
    for before, after in itertools.pairwise(attempts):
        assert after.started_at - before.started_at >= timedelta(seconds=0.2)
    for attempt in attempts:
        local = attempt.started_at.astimezone(ZoneInfo("America/Los_Angeles"))
        assert time(9) <= local.time() < time(12)
        at_once = [it for it in attempts if it.started_at <= attempt.started_at < (it.ended_at or it.started_at)]
        assert len(at_once) <= 4
    for contact, *made in rows(store):
        assert made[-1].outcome is not None
        assert contact.reason is DoneReason(made[-1].outcome.value)
        assert not [it for it in made[:-1] if it.outcome in (Outcome.REACHED, Outcome.OPTED_OUT)]


def test_a_person_who_hangs_up_in_mid_sentence_gives_no_result() -> None:
    """The model of a rehearsal makes up no result."""
    found = rows(rehearsed(people(extent(5, 12)), seed=4, retry="busy=0,no-answer=0,machine=0"))
    attempts = [each for _, *made in found for each in made]
    assert {Outcome.REACHED, Outcome.INCOMPLETE} <= {each.outcome for each in attempts}
    for attempt in attempts:
        assert (attempt.result is not None) == (attempt.outcome is Outcome.REACHED)


def test_the_same_seed_gives_the_same_result() -> None:
    first, second, other = (rows(rehearsed(people(extent(2, 4)), seed=seed)) for seed in (3, 3, 4))
    assert first == second
    assert first != other


def test_a_rehearsal_keeps_to_the_do_not_call_list_and_writes_nothing_to_it(tmp_path: Path) -> None:
    listed, *others = people(3)
    path = tmp_path / "do-not-call.txt"
    path.write_text(f"{listed.number}\n")
    store = rehearsed([listed, *others], rules=replace(RULES, do_not_call=DoNotCall(path)))
    contact, *attempts = rows(store)[0]
    assert (contact.reason, attempts) == (DoneReason.DO_NOT_CALL, [])
    assert all(len(row) > 1 for row in rows(store)[1:])
    assert path.read_text() == f"{listed.number}\n"


def test_a_rehearsal_keeps_to_quiet_hours() -> None:
    assert START.astimezone(ZoneInfo("America/Los_Angeles")).time() == time(0)
    store = rehearsed(people(2))
    first = min(each.started_at for _, *made in rows(store) for each in made)
    assert first.astimezone(ZoneInfo("America/Los_Angeles")) == datetime(
        2026, 1, 5, 8, 0, tzinfo=ZoneInfo("America/Los_Angeles")
    )


def test_a_contact_that_fails_the_check_is_not_called() -> None:
    async def check(contact: Contact) -> bool:
        return contact.id != "+14155551001"

    _, unwanted, third = rows(rehearsed(people(3), check=check))
    assert (unwanted[0].reason, unwanted[1:]) == (DoneReason.UNWANTED, ())
    assert len(third) > 1


def test_a_failed_check_is_repeated_and_no_call_is_made_before() -> None:
    asked: list[str] = []

    async def check(contact: Contact) -> bool:
        asked.append(contact.id)
        if len(asked) < 3:
            raise OSError("the database is away")
        return False

    store = rehearsed(people(1), check=check)
    assert len(asked) == 3
    assert rows(store)[0][0].reason is DoneReason.UNWANTED


def test_a_campaign_whose_budget_is_used_up_pauses() -> None:
    store = rehearsed(people(4), max_calls=2, at_once=1)
    campaign = store.campaign("c")
    assert campaign is not None
    assert (campaign.status, campaign.pause_reason) == (CampaignStatus.PAUSED, PauseReason.CALLS)
    assert sum(len(row) - 1 for row in rows(store)) == 2


@pytest.mark.parametrize("extension", ["x42", ";ext=42", ",,42"])
def test_an_extension_is_dialled_after_the_answer(extension: str) -> None:
    (contact,) = contacts_from_rows([{"to": f"+14155551000{extension}"}], own_number=OWN, rules=RULES).contacts
    assert (contact.number, contact.extension) == ("+14155551000", "42")
