"""The do-not-call list of the records and the claims of numbers: in memory, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from realtime_core.sources import Sources
from telephony.call.simulation import Simulation
from telephony.errors import RecordsUnavailable
from telephony.outbound.do_not_call import DoNotCall
from telephony.outbound.opt_out_list import OptOutList
from telephony.records import Records
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.records.memory import MemoryRecords
from telephony.records.opt_outs import OptOut, OptOutSource
from telephony.records.subjects import SubjectKey

pytestmark = pytest.mark.real_time

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA, BEN = "+14155550123", "+14155550124"
KEY = SubjectKey(b"of the tests")


def entry(number: str, s: float = 0, source: OptOutSource = OptOutSource.API) -> OptOut:
    return OptOut(KEY.of(number), number, source, NOON + timedelta(seconds=s), "asked\0for it")


def test_an_entry_is_added_once_and_removed_once(records: Records) -> None:
    listed = records.opt_outs
    assert listed.add([entry(ADA), entry(ADA, 1), entry(BEN, 2)]) == 2
    version = listed.version()
    assert listed.add([entry(ADA, 3, OptOutSource.PHONE)]) == 0 and listed.version() == version
    assert listed.among([KEY.of(ADA), KEY.of("+14155550199")]) == {KEY.of(ADA)}
    assert [each.number for each in listed.listed()] == [BEN, ADA]
    assert [each.number for each in listed.listed(before=NOON + timedelta(seconds=2))] == [ADA]
    assert (listed.remove(KEY.of(ADA)), listed.remove(KEY.of(ADA))) == (True, False)
    assert listed.version() != version and listed.subjects() == {KEY.of(BEN)}


def test_a_number_is_held_by_one_call(records: Records) -> None:
    claims, subject = records.number_claims, KEY.of(ADA)

    def hold(holder: str, s: float = 0, process: str = "") -> bool:
        return claims.hold(subject, holder, process=process, ttl_s=60, now=NOON + timedelta(seconds=s))

    assert [hold("a"), hold("a", 1), hold("b", 59)] == [True, True, False]
    assert claims.hold(KEY.of(BEN), "b", process="", ttl_s=60, now=NOON)
    claims.let_go(subject, "b")
    assert not hold("b", 59), "another call cannot release it"
    assert hold("b", 60), "it has run out"
    claims.let_go(subject, "b")
    assert hold("c", 60)


def test_a_claim_ends_with_the_lease_of_its_process(database: DatabaseRecords) -> None:
    claims, subject = database.number_claims, KEY.of(ADA)
    database.renew("one", ttl_s=60, now=NOON)

    def hold(holder: str, s: float, process: str) -> bool:
        return claims.hold(subject, holder, process=process, ttl_s=3600, now=NOON + timedelta(seconds=s))

    assert hold("a", 0, "one") and not hold("b", 59, "two")
    assert hold("b", 61, ""), "the process has no lease any more"
    assert not hold("c", 1000, "three"), "a claim without a process does not end with a lease"


async def test_an_opt_out_counts_at_once_in_every_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    async with RecordsClient(DatabaseRecords(url)) as a, RecordsClient(DatabaseRecords(url)) as b:
        here, there = (OptOutList(client, KEY, Sources(0)) for client in (a, b))
        assert await there.problem(ADA) == ""
        assert await here.add(ADA, OptOutSource.PHONE) and not await there.add(ADA, OptOutSource.API)
        assert "is on the do-not-call list" in await there.problem(ADA)
        assert [each.source for each in await there.listed()] == [OptOutSource.PHONE]
        assert await there.remove(ADA) and await here.problem(ADA) == ""


@pytest.mark.parametrize(("one", "other"), [("+525512345678", "+5215512345678"), ("+541123456789", "+5491123456789")])
async def test_an_opt_out_counts_for_all_numbers_of_the_phone(one: str, other: str) -> None:
    for added, asked in ((one, other), (other, one)):
        async with RecordsClient(MemoryRecords()) as client:
            listed = OptOutList(client, KEY, Sources(0))
            assert await listed.add(added, OptOutSource.API)
            assert "is on the do-not-call list" in await listed.problem(asked)
            assert not await listed.add(asked, OptOutSource.API), "the phone is on the list already"
            assert await listed.remove(asked) and await listed.problem(added) == ""


async def test_numbers_that_another_program_writes_to_the_file_count_on_every_machine(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/records.db", tmp_path / "no.txt"
    async with RecordsClient(DatabaseRecords(url)) as a, RecordsClient(DatabaseRecords(url)) as b:
        here, there = OptOutList(a, KEY, Sources(0), file=DoNotCall(path)), OptOutList(b, KEY, Sources(0))
        watching = asyncio.create_task(here.watch())
        path.write_text(f"{ADA} asked by letter\n(415) 555-0124\n")
        while await there.problem(ADA) == "":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        assert await there.problem(BEN) == "", "without its country the number counts only where the file is"
        watching.cancel()


async def test_while_the_database_is_down_the_copy_of_the_list_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    class Down(MemoryRecords):
        is_down = False

        @property
        def opt_outs(self):  # type: ignore[no-untyped-def]
            if self.is_down:
                raise RecordsUnavailable("it is down")
            return self._listed

        @opt_outs.setter
        def opt_outs(self, listed):  # type: ignore[no-untyped-def]
            self._listed = listed

    database = Down()
    async with RecordsClient(database) as client:
        listed, without = OptOutList(client, KEY, Sources(0)), OptOutList(client, KEY, Sources(0))
        await listed.add(ADA, OptOutSource.API)
        watching = asyncio.create_task(listed.watch())
        while listed._copy is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        watching.cancel()
        database.is_down = True
        assert "do-not-call list" in await listed.problem(ADA) and await listed.problem(BEN) == ""
        assert "cannot be read" in await without.problem(BEN)


async def test_an_opt_out_in_a_simulated_call_stays_in_the_simulation(tmp_path: Path) -> None:
    url, simulation = f"sqlite:///{tmp_path}/records.db", Simulation()
    async with RecordsClient(DatabaseRecords(url)) as client:
        real = OptOutList(client, KEY, Sources(0), file=DoNotCall(tmp_path / "no.txt"))
        assert await real.add(ADA, OptOutSource.PHONE, simulation=simulation)
        assert await real.problem(ADA) == "" and not (tmp_path / "no.txt").exists()
        simulated = OptOutList(client, KEY, Sources(0), simulation=simulation)
        assert "do-not-call list" in await simulated.problem(ADA)
