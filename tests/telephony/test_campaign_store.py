"""The stores of campaigns: in memory, on SQLite and on PostgreSQL. All of them decide alike."""

from __future__ import annotations

import json
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import select

from benchmarks.extent import extent
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig, Rate
from telephony.campaigns.contact import Attempt, Contact, ContactState, DoneReason, Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.campaigns.memory_store import MemoryStore
from telephony.campaigns.policy import Done, Hold, HoldReason, Wait, WaitReason
from telephony.campaigns.purging import purge_campaigns
from telephony.campaigns.store import CampaignStore
from telephony.errors import CampaignError
from telephony.outbound.dialing_rules import DialingRules
from telephony.records import Records
from telephony.records.call_query import Party
from telephony.records.database import DatabaseRecords
from telephony.records.opt_outs import OptOut, OptOutSource
from telephony.records.outbox import MessageState
from telephony.records.schema import contacts
from telephony.records.subjects import SubjectKey

NOON = datetime(2026, 6, 1, 16, tzinfo=UTC)
RULES = DialingRules.none()
KEY = SubjectKey(b"of the tests")
ADA, BEN, CLEO = (f"+1415555012{n}" for n in (3, 4, 5))


def store_of(records: DatabaseRecords, **options: Any) -> DatabaseStore:
    return DatabaseStore(records.transaction, KEY.of, **options)


@pytest.fixture
def store(records: Records) -> CampaignStore:
    return store_of(records) if isinstance(records, DatabaseRecords) else MemoryStore()


def campaign(store: CampaignStore, *numbers: str, name: str = "spring", timezone: str = "", **config: Any) -> None:
    options = {"at_once": 10, "per_second": 100, **config}
    people = [
        Contact(f"c{n}", number, timezone=timezone, data={"name": f"N{n}"}, lines=(n + 2,))
        for n, number in enumerate(numbers)
    ]
    store.add(Campaign(name, CampaignConfig(**options), NOON, name), people)
    store.set_status(name, CampaignStatus.RUNNING, NOON)


def at(s: float) -> datetime:
    return NOON + timedelta(seconds=s)


def begin(store: CampaignStore, contact: str, s: float = 0, name: str = "spring", attempt: str = "") -> Any:
    return store.begin(name, contact, at(s), attempt_id=attempt or f"{name}-{contact}-{s}", owner="me", rules=RULES)


def end(store: CampaignStore, attempt: Attempt, s: float, outcome: Outcome, **fields: Any) -> Contact | None:
    return store.end(replace(attempt, outcome=outcome, ended_at=at(s), **fields), at(s), rules=RULES)


PHONES = [("+525512345678", "+5215512345678"), ("+5491123456789", "+541123456789"), ("+2290197123456", "+22997123456")]


@pytest.mark.parametrize(("one", "other"), [*PHONES, *(phone[::-1] for phone in PHONES)])
def test_all_numbers_of_a_phone_count_as_one_person(store: CampaignStore, one: str, other: str) -> None:
    campaign(
        store, one, other, f"{other[:-1]}0", other, timezone="UTC", per_person=Rate(times=1, per=timedelta(days=1))
    )
    attempt = begin(store, "c0")
    assert isinstance(attempt, Attempt) and attempt.number == one, "the number is dialed as given"
    assert isinstance(begin(store, "c1", 1), Hold | Wait), "the phone is in a call"
    assert isinstance(begin(store, "c2", 2), Attempt), "another phone"
    assert {each.id for _, each in store.contacts_of(other)} == {"c0", "c1", "c3"}
    end(store, attempt, 60, Outcome.REACHED)
    action = begin(store, "c3", 4000)
    assert isinstance(action, Wait) and action.reason is WaitReason.PER_PERSON, "the person was called today"


@pytest.mark.parametrize(("one", "other"), [*PHONES, *(phone[::-1] for phone in PHONES)])
def test_an_opt_out_in_a_campaign_counts_for_all_numbers_of_the_phone(
    store: CampaignStore, one: str, other: str
) -> None:
    campaign(store, one, other, timezone="UTC")
    attempt = begin(store, "c0")
    end(store, attempt, 60, Outcome.OPTED_OUT)
    assert begin(store, "c1", 4000) == Done(DoneReason.DO_NOT_CALL)


def test_an_attempt_begins_once_and_ends_once(store: CampaignStore) -> None:
    campaign(store, ADA, BEN)
    assert [each.id for each in store.due("spring", at(0), 10)] == ["c0", "c1"]
    attempt = begin(store, "c0")
    assert isinstance(attempt, Attempt) and attempt.number == ADA
    assert begin(store, "c0", 1) == Hold(HoldReason.NOT_RUNNING), "another process has it"
    store.placed(attempt.id, sid="CA1")
    assert [(each.id, each.sid) for each in store.open_attempts("spring")] == [(attempt.id, "CA1")]
    result = {"comes": True}
    done = end(store, attempt, 60, Outcome.REACHED, duration_s=30, cost=0.02, currency="USD", result=result)
    assert done is not None and (done.state, done.reason) == (ContactState.DONE, DoneReason.REACHED)
    assert end(store, attempt, 61, Outcome.BUSY) is None
    funnel = store.funnel("spring")
    assert (funnel.contacts, funnel.attempts, funnel.answered, funnel.minutes) == (2, 1, 1, 0.5)
    assert (funnel.cost, funnel.outcomes, funnel.currency) == (0.02, {Outcome.REACHED: 1}, "USD")
    (kept,) = store.attempts("spring", "c0")
    assert kept.result == result and kept.owner == "me"


def test_a_busy_number_is_tried_again_after_its_pause(store: CampaignStore) -> None:
    campaign(store, ADA)
    attempt = begin(store, "c0")
    contact = end(store, attempt, 10, Outcome.BUSY)
    assert contact is not None and contact.next_at == at(10 + 1800)
    assert store.due("spring", at(60), 10) == [] and store.next_due("spring") == at(1810)
    assert begin(store, "c0", 60) == Hold(HoldReason.NOT_RUNNING)
    assert isinstance(begin(store, "c0", 1810), Attempt)


def test_two_contacts_with_one_number_are_not_called_at_the_same_time(store: CampaignStore) -> None:
    campaign(store, ADA, ADA)
    campaign(store, ADA, name="autumn")
    attempt = begin(store, "c0")
    for name, contact in (("spring", "c1"), ("autumn", "c0")):
        waiting = begin(store, contact, 1, name)
        assert isinstance(waiting, Wait) and waiting.reason is WaitReason.IN_CALL
    end(store, attempt, 20, Outcome.REACHED)
    assert isinstance(begin(store, "c1", 40), Attempt)


def test_who_opted_out_is_called_by_no_campaign(store: CampaignStore) -> None:
    campaign(store, ADA)
    campaign(store, ADA, name="autumn")
    end(store, begin(store, "c0"), 20, Outcome.OPTED_OUT)
    assert begin(store, "c0", 90, "autumn") == Done(DoneReason.DO_NOT_CALL)
    assert store.retry("spring", [DoneReason.OPTED_OUT, DoneReason.DO_NOT_CALL], at(99)) == 0


def test_the_caps_hold(store: CampaignStore) -> None:
    campaign(store, ADA, BEN, CLEO, "+14155550126", at_once=2, per_second=1, max_per_day=3)
    first, hold = begin(store, "c0"), begin(store, "c1", 0.5)
    assert hold == Hold(HoldReason.PER_SECOND, at(1))
    second = begin(store, "c1", 2.6)
    assert begin(store, "c2", 5) == Hold(HoldReason.AT_ONCE)
    for attempt, s in ((first, 6), (second, 6)):
        end(store, attempt, s, Outcome.NO_ANSWER)
    third = begin(store, "c2", 9)
    end(store, third, 10, Outcome.NO_ANSWER)
    assert begin(store, "c3", 13) == Hold(HoldReason.PER_DAY, at(86_400))


def test_the_frequency_cap_counts_over_campaigns(store: CampaignStore) -> None:
    campaign(store, ADA, per_person=Rate(times=1, per=timedelta(days=7)))
    campaign(store, ADA, name="autumn", per_person=Rate(times=1, per=timedelta(days=7)))
    end(store, begin(store, "c0"), 20, Outcome.REACHED)
    waiting = begin(store, "c0", 90, "autumn")
    assert waiting == Wait(at(7 * 86_400), WaitReason.PER_PERSON)


def test_failures_pause_the_campaign_and_a_resumed_one_counts_anew(store: CampaignStore) -> None:
    campaign(store, ADA, BEN, CLEO, failures=2, failures_of=2)
    for n in (0, 1):
        end(store, begin(store, f"c{n}", n), n + 0.5, Outcome.FAILED)
    begin(store, "c2", 10)
    found = store.campaign("spring")
    assert found is not None and (found.status, found.pause_reason and found.pause_reason.value) == (
        CampaignStatus.PAUSED, "failures")  # fmt: skip
    assert begin(store, "c2", 20) == Hold(HoldReason.NOT_RUNNING)
    store.set_status("spring", CampaignStatus.RUNNING, at(30))
    assert isinstance(begin(store, "c2", 40), Attempt)


def test_stop_ends_what_waits_and_a_stopped_campaign_stays_stopped(store: CampaignStore) -> None:
    campaign(store, ADA, BEN)
    attempt = begin(store, "c0")
    store.set_status("spring", CampaignStatus.STOPPED, at(5))
    contact = end(store, attempt, 9, Outcome.BUSY)
    assert contact is not None and contact.is_final
    assert {each.state for each in store.contacts("spring", limit=9)} == {ContactState.DONE}
    with pytest.raises(CampaignError, match="was stopped"):
        store.set_status("spring", CampaignStatus.RUNNING, at(10))


def test_an_attempt_without_a_call_is_withdrawn(store: CampaignStore) -> None:
    campaign(store, ADA)
    attempt = begin(store, "c0")
    contact = store.withdraw(attempt.id, until=at(300))
    assert contact is not None and (contact.state, contact.next_at) == (ContactState.PENDING, at(300))
    assert store.attempts("spring", "c0") == [] and store.counts("spring", at(1)).live == 0
    again = begin(store, "c0", 300)
    assert isinstance(again, Attempt), "its number is free again"
    contact = store.withdraw(again.id, done=DoneReason.UNWANTED)
    assert contact is not None and contact.reason is DoneReason.UNWANTED


def test_who_rings_back_is_known_and_not_called_again(store: CampaignStore) -> None:
    campaign(store, ADA, BEN)
    ((found, contact),) = store.contacts_of(ADA)
    assert (found.id, contact.data) == ("spring", {"name": "N0"})
    call = Attempt("CA9", "c0", ADA, at(3), at(60), Outcome.RANG_BACK, inbound=True)
    done = store.rang_back(call, "spring")
    assert done is not None and done.reason is DoneReason.RANG_BACK
    assert store.rang_back(call, "spring") is None and store.contacts_of(ADA) == []


def test_contacts_are_listed_in_the_order_of_the_file(store: CampaignStore) -> None:
    campaign(store, *(f"+141555501{n:02}" for n in range(30)))
    first = store.contacts("spring", limit=20)
    rest = store.contacts("spring", limit=20, after=first[-1].id)
    assert [each.id for each in first + rest] == [f"c{n}" for n in range(30)]
    assert [each.id for each in store.contacts("spring", limit=9, search="5550107")] == ["c7"]
    assert store.contacts("spring", limit=9, state=ContactState.DONE) == []


def test_the_stores_decide_alike(tmp_path: Path) -> None:
    """The same random events give the same decisions, step by step."""
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as database:
        stores: list[CampaignStore] = [MemoryStore(), store_of(database)]
        said: list[list[str]] = [[], []]
        for store, log in zip(stores, said, strict=True):
            random = Random(7)
            numbers = [f"+141555501{n:02}" for n in range(20)] + [f"+141555501{n:02}" for n in range(5)]
            campaign(store, *numbers, at_once=3, per_second=0.5, max_per_day=40, failures=6, failures_of=8,
                     retry="busy=2/30s,no-answer=1/2m,failed=1/10s", max_minutes=200, max_s=60)  # fmt: skip
            s, live = 0.0, dict[str, Attempt]()
            for step in range(extent(120, 400)):
                s += random.uniform(0.2, 4.0)
                if live and random.random() < 0.5:
                    attempt = live.pop(random.choice(sorted(live)))
                    outcome = random.choice([it for it in Outcome if it is not Outcome.RANG_BACK])
                    callback = {"callback_at": at(s + 30)} if outcome is Outcome.CALLBACK else {}
                    length = random.randrange(50)
                    log.append(str(end(store, attempt, s, outcome, duration_s=length, cost=length / 100, **callback)))
                if random.random() < 0.02:
                    status = random.choice([CampaignStatus.PAUSED, CampaignStatus.RUNNING])
                    log.append(str(store.set_status("spring", status, at(s))))
                contact = f"c{random.randrange(25)}"
                got = begin(store, contact, s, attempt=f"a{step:03}")
                log.append(str(got))
                if isinstance(got, Attempt):
                    live[got.id] = got
                counts = store.counts("spring", at(s))
                recent = tuple(sorted(counts.recent, key=lambda it: it.value))
                log.append(str(replace(counts, recent=recent, cost=round(float(counts.cost), 6))))
            log.append(str(sorted((each.value, count) for each, count in store.funnel("spring").reasons.items())))
        assert said[0] == said[1]
        assert sum("Attempt(" in line for line in said[0]) > extent(10, 20) and any("Wait(" in line for line in said[0])


# --- the database alone --------------------------------------------------------------------------------------------


def test_a_contact_is_queued_by_one_process(database: DatabaseRecords) -> None:
    store = store_of(database)
    campaign(store, ADA, BEN, CLEO)
    assert [store.queue("spring", at(0), 2, for_s=60), store.queue("spring", at(1), 2, for_s=60)] == [
        [0, 1],
        [2],
    ]
    assert store.queue("spring", at(59), 9, for_s=60) == []
    assert store.queue("spring", at(60), 9, for_s=60) == [0, 1], "their attempts were lost on the way"
    store.set_status("spring", CampaignStatus.PAUSED, at(61))
    store.set_status("spring", CampaignStatus.RUNNING, at(62))
    assert len(store.queue("spring", at(63), 9, for_s=60)) == 3, "what was held back by the pause is due at once"


def test_survivors_take_over_the_attempts_of_a_dead_process(database: DatabaseRecords) -> None:
    store = store_of(database)
    campaign(store, ADA)
    database.renew("me", ttl_s=20, now=at(0))
    attempt = begin(store, "c0")
    assert store.orphans(at(19), "another") == []
    assert store.orphans(at(19), attempt.owner) == [("spring", attempt)], "its own"
    assert store.orphans(at(21), "another") == [("spring", attempt)]
    assert [store.take_over(attempt, "b"), store.take_over(attempt, "c")] == [True, False]
    assert not store.requested(attempt.id, "me", at_most=2), "the woken process may not call any more"
    assert [store.requested(attempt.id, "b", at_most=2) for _ in range(3)] == [True, True, False]


def test_a_campaign_is_finished_when_nothing_waits(database: DatabaseRecords) -> None:
    store = store_of(database, announces=True)
    campaign(store, ADA)
    attempt = begin(store, "c0")
    assert not store.finish("spring", at(1))
    end(store, attempt, 2, Outcome.REACHED, transcript="Agent: Hello.")
    assert store.finish("spring", at(3)) and not store.finish("spring", at(4))
    messages = {it.kind: json.loads(it.payload)["data"] for it in database.outbox.messages(state=MessageState.PENDING)}
    assert messages["campaign.finished"]["funnel"]["reasons"] == {"reached": 1}
    about = messages["campaign.contact.done"]
    assert (about["outcome"], about["transcript"], ADA in str(about)) == (
        "reached",
        "Agent: Hello.",
        False,
    )


def test_an_erased_person_is_in_no_campaign_and_stays_on_the_list(database: DatabaseRecords) -> None:
    store = store_of(database, announces=True, shows_numbers=True)
    campaign(store, ADA, BEN)
    person = Party.of(ADA, KEY.of)
    attempt = begin(store, "c0")
    assert database.erasure.erase_contact(person) is None and store.contact("spring", "c0") is not None
    end(store, attempt, 2, Outcome.OPTED_OUT, transcript="Never again.")
    assert database.erasure.erase_contact(person) == 1
    assert store.contact("spring", "c0") is None and store.contact("spring", "c1") is not None
    assert database.erasure.is_opted_out(person)
    assert [entry.number for entry in database.opt_outs.listed()] == [""] and database.outbox.messages() == []


def test_campaigns_that_ended_long_ago_are_purged_with_their_people(database: DatabaseRecords) -> None:
    store = store_of(database, announces=True, shows_numbers=True)
    for name, people in (("old", [ADA]), ("new", [ADA]), ("runs", [BEN, CLEO])):
        campaign(store, *people, name=name, per_person="9/1d")
    said: dict[str, Any] = {"transcript": "Agent: Hello.", "result": {"comes": True}}
    for name, began in (("old", 1), ("runs", 1), ("new", 101)):
        end(store, begin(store, "c0", began, name, f"attempt of {name}"), began + 1, Outcome.REACHED, **said)
    assert store.finish("old", at(3)) and store.finish("new", at(103))
    for dry_run, old in ((True, ["old"]), (False, ["old"]), (False, [])):
        assert purge_campaigns(database.transaction, at(50), dry_run=dry_run) == old
    assert store.campaign("old") is None and store.attempt("attempt of old") is None
    with database.transaction(reads=True) as connection:
        left = connection.execute(select(contacts.c.campaign, contacts.c.id)).all()
    assert sorted(map(tuple, left)) == [("new", "c0"), ("runs", "c0"), ("runs", "c1")]
    kept = {name: store.attempts(name, "c0")[0] for name in ("new", "runs")}
    assert (kept["new"].transcript, kept["new"].result) == ("Agent: Hello.", {"comes": True})
    assert (kept["runs"].transcript, kept["runs"].result, kept["runs"].outcome) == ("", None, Outcome.REACHED)
    about = [it for it in database.outbox.messages() if it.kind == "campaign.contact.done"]
    assert {json.loads(it.payload)["data"]["campaign"] for it in about} == {"new", "runs"}


def test_a_number_in_another_call_of_the_application_is_not_called(database: DatabaseRecords) -> None:
    store = store_of(database)
    campaign(store, ADA, BEN)
    assert database.number_claims.hold(KEY.of(ADA), "a call", process="", ttl_s=60, now=at(0))
    waiting = begin(store, "c0", 1)
    assert isinstance(waiting, Wait) and waiting.reason is WaitReason.IN_CALL
    database.opt_outs.add([OptOut(KEY.of(BEN), BEN, OptOutSource.API, at(0))])
    assert begin(store, "c1", 1) == Done(DoneReason.DO_NOT_CALL), "an opt-out from any channel"


def test_the_status_of_a_large_campaign_answers_quickly(tmp_path: Path) -> None:
    """100,000 contacts: less than 100 ms, also for the search for due contacts."""
    with closing(DatabaseRecords(f"sqlite:///{tmp_path}/records.db")) as database:
        store = store_of(database)
        people = [Contact(f"c{n}", "+14155550123", state=list(ContactState)[n % 4]) for n in range(20_000)]
        store.add(Campaign("spring", CampaignConfig.model_validate({}), NOON, "spring"), people)
        took = []
        for ask in (lambda: store.funnel("spring"), lambda: store.due("spring", at(1), 10)):
            ask()
            began = time.process_time()
            ask()
            took.append(time.process_time() - began)
        assert max(took) < 0.020, took
