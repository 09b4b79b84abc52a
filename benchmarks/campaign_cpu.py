"""Measures the CPU time of the dialer for each call, beside the call itself: the queue and the records."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from telephony.campaigns.campaign import Campaign, CampaignStatus
from telephony.campaigns.config import CampaignConfig
from telephony.campaigns.contact import Attempt, Contact, Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.campaigns.durable_queue import DurableQueue
from telephony.outbound.dialing_rules import DialingRules
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey

__all__ = ["LIMIT_MS", "cpu_ms_per_call"]

LIMIT_MS = 20.0
_NOW = datetime(2026, 6, 1, 16, tzinfo=UTC)
_RULES = DialingRules.none()


def cpu_ms_per_call(calls: int) -> float:
    """Enqueues, begin and end `calls` attempts on SQLite, with the real queue and the real store."""
    with tempfile.TemporaryDirectory() as name, closing(DatabaseRecords(f"sqlite:///{name}/records.db")) as records:
        store = DatabaseStore(records.transaction, SubjectKey(b"of the measurement").of)
        people = [Contact(f"p{n}", f"+1415{2000000 + n}") for n in range(calls)]
        config = CampaignConfig.model_validate({"at_once": calls, "per_second": 100})
        store.add(Campaign("spring", config, _NOW), people)
        store.set_status("spring", CampaignStatus.RUNNING, _NOW)
        return asyncio.run(_measured(store, Path(name), calls))


async def _measured(store: DatabaseStore, folder: Path, calls: int) -> float:
    ended, over = 0, asyncio.Event()

    def one(attempt_id: str, position: int) -> None:
        at = _NOW + timedelta(seconds=ended)  # the queue gives the attempts in any order
        found = store.to_call(attempt_id, "spring", position)
        assert found is not None
        begun = store.begin("spring", found[1].id, at, attempt_id=attempt_id, owner="me", rules=_RULES)
        assert isinstance(begun, Attempt), begun
        assert store.requested(attempt_id, "me", at_most=2)
        store.placed(attempt_id, "CA1")
        store.end(replace(begun, outcome=Outcome.REACHED, duration_s=30, transcript="Hello."), at, rules=_RULES)

    async def work(attempt_id: str, campaign_id: str, position: int) -> None:
        nonlocal ended
        one(attempt_id, position)
        ended += 1
        if ended == calls:
            over.set()

    async with DurableQueue(f"sqlite:///{folder}/campaigns.db", "one", work, at_once=50) as queue:
        await queue.open()
        began = time.process_time()
        for position in store.queue("spring", _NOW, calls, for_s=600):
            await queue.put(f"a{position}", "spring", position)
        await over.wait()
        return 1000 * (time.process_time() - began) / calls
