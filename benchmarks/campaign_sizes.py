"""Measures large campaigns: the import of a list, the status of a campaign, and a rehearsal."""

from __future__ import annotations

import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from examples.remind import Outcome, agent
from telephony.campaigns.attempt_call import Speech
from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Contact, ContactState
from telephony.campaigns.contact_list import contacts_from_csv
from telephony.campaigns.database_store import DatabaseStore
from telephony.outbound.dialing_rules import DialingRules
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey
from telephony.rehearsal.rehearsal import rehearse
from telephony.settings import read_settings

__all__ = ["IMPORT_LIMIT_S", "REHEARSAL_LIMIT_S", "STATUS_LIMIT_MS", "import_s", "rehearsal_s", "status_ms"]

IMPORT_LIMIT_S, STATUS_LIMIT_MS, REHEARSAL_LIMIT_S = 10.0, 100.0, 120.0
_NOW = datetime(2026, 6, 1, 16, tzinfo=UTC)
_OWN = "+14155550199"


def import_s(contacts: int) -> float:
    """Returns the seconds in which a CSV file of this many contacts is read and stored in SQLite."""
    lines = ["id,to,name", *(f"p{n},+1415{2000000 + n},Person {n}" for n in range(contacts))]
    with tempfile.TemporaryDirectory() as name, closing(_records(name)) as records:
        began = time.perf_counter()
        found = contacts_from_csv("\n".join(lines), own_number=_OWN, rules=DialingRules.none())
        _store(records).add(Campaign("spring", CampaignConfig(), _NOW), found.contacts)
        return time.perf_counter() - began


def status_ms(contacts: int, *, rounds: int = 5) -> float:
    """Returns the milliseconds in which the status of a campaign of this size is read from SQLite: the median."""
    people = [Contact(f"p{n}", f"+1415{2000000 + n}", state=list(ContactState)[n % 4]) for n in range(contacts)]
    took: list[float] = []
    with tempfile.TemporaryDirectory() as name, closing(_records(name)) as records:
        store = _store(records)
        store.add(Campaign("spring", CampaignConfig(), _NOW, status=CampaignStatus.RUNNING), people)
        for _ in range(rounds):
            began = time.perf_counter()
            assert store.campaign("spring") is not None and store.funnel("spring").contacts == contacts
            store.next_due("spring")
            took.append(1000 * (time.perf_counter() - began))
    return sorted(took)[rounds // 2]


def rehearsal_s(contacts: int, *, seed: int) -> tuple[float, dict[str, int]]:
    """Returns the seconds of a rehearsal with this many contacts, and how many attempts had each outcome."""
    lines = ["id,to,name", *(f"p{n},+1415{2000000 + n},Person {n}" for n in range(contacts))]
    people = contacts_from_csv("\n".join(lines), own_number=_OWN, rules=DialingRules()).contacts
    campaign = Campaign("spring", CampaignConfig.model_validate({"at_once": 10, "per_second": 5}), _NOW)
    began = time.perf_counter()
    store = rehearse(
        campaign, people, Speech(agent, Outcome), settings=read_settings(), rules=DialingRules(), seed=seed
    )
    took = time.perf_counter() - began
    return took, {outcome.value: count for outcome, count in store.funnel("spring").outcomes.items()}


def _records(folder: str) -> DatabaseRecords:
    return DatabaseRecords(f"sqlite:///{Path(folder)}/records.db")


def _store(records: DatabaseRecords) -> DatabaseStore:
    return DatabaseStore(records.transaction, SubjectKey(b"of the measurement").of)
