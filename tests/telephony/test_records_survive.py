"""No call is missing from the records: real processes, of which one is killed or frozen in the middle of calls."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from telephony.records.call_query import CallQuery
from telephony.records.call_record import CallRecord
from telephony.records.database import DatabaseRecords
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from tests.support.forked_commands import FORKED
from tests.telephony.test_deploy import TOKEN, answered, free_port, server, site, speaks

pytestmark = pytest.mark.real_time

OWN = "+14155550199"
PROGRAM = (
    "-c",
    f"{FORKED}from telephony.records import client; client.LEASE_S, client.RENEW_S = 4.0, 0.5\n"
    "from telephony.cli import main; main()",
)
"""The server, with leases that run out soon."""


def settings(folder: Path, url: str) -> dict[str, str]:
    return {
        "DATABASE_URL": url,
        "TELEPHONY_DATA_DIR": str(folder / "data"),
        "TELEPHONY_JOURNAL_DIR": str(folder / "calls"),
    }


async def patient(phone: Handset) -> None:
    await asyncio.Event().wait()


async def ring(twilio: SimulatedTwilio, to: str = OWN) -> SimulatedCall:
    """A call in which the agent is heard. A process with too much to do is busy, and a proxy needs a moment until it
    knows that a process is dead: ring again."""
    while True:
        call = twilio.start_ringing(to=to, caller=patient)
        if await answered(call):
            with contextlib.suppress(AssertionError):
                await speaks(call, stream=1)
                return call
        await asyncio.sleep(0.5)


async def records_of(url: str, calls: Sequence[SimulatedCall], *, over: bool = True) -> dict[str, CallRecord]:
    """The records of these calls, when all of them are there (and `over`)."""
    sids = {call.sid for call in calls}
    with closing(DatabaseRecords(url)) as database:
        async with asyncio.timeout(60):
            while True:
                rows = await asyncio.to_thread(database.calls, CallQuery(limit=1000))
                found = {row.sid: row for row in rows if row.sid is not None}
                if sids <= set(found) and not (over and any(not found[sid].over for sid in sids)):
                    assert len(rows) == len(found), "each call has one record"
                    return {sid: found[sid] for sid in sids}
                await asyncio.sleep(0.1)


def check_ended(row: CallRecord) -> None:
    """A record of a call with a stream that is over."""
    assert row.over and row.ending_code and row.ending_words, row
    assert row.started_at is not None and row.answered_at is not None and row.ended_at is not None
    assert row.started_at <= row.answered_at <= row.ended_at
    assert row.direction == "inbound" and row.called == OWN and len(row.subject) == 64
    assert Path(row.journal).exists()


def check_details(rows: Sequence[CallRecord]) -> None:
    """What happened in these calls is known. In a call of a busy machine the caller may have heard the filler only."""
    assert all(row.turns is not None and row.usage is not None for row in rows)
    assert any(row.turns and row.agents for row in rows)


def test_one_process_of_two_behind_a_proxy_is_killed_in_the_middle(
    shared_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        own = settings(tmp_path, shared_database_url)
        async with site(tmp_path, monkeypatch, None, PROGRAM, **own) as here:
            calls: list[SimulatedCall] = []
            on: dict[str, str] = {}
            while len(calls) < 6 or set(on.values()) != {"phone-2", "phone-3"}:  # until both processes have calls
                assert len(calls) < 30, on
                calls.append(await ring(here.twilio))
                before = await records_of(shared_database_url, calls, over=False)
                on = {sid: row.instance for sid, row in before.items()}
            here.processes[0].kill()
            await here.processes[0].wait()
            after = [await ring(here.twilio) for _ in range(2)]
            for call in (*calls, *after):
                call.end()
            rows = await records_of(shared_database_url, [*calls, *after])
            for call in (*calls, *after):
                check_ended(rows[call.sid])
            survived = [rows[call.sid] for call in calls if on[call.sid] == "phone-3"] + [rows[it.sid] for it in after]
            assert {row.status for row in survived} == {"completed"}
            check_details(survived)
            killed = [rows[call.sid] for call in calls if on[call.sid] == "phone-2"]
            assert {row.status for row in killed} <= {"interrupted", "completed"}

    asyncio.run(main())


def test_the_next_process_closes_what_a_killed_one_left(database_url: str, tmp_path: Path) -> None:
    """One process on one machine: killed in mid-call, and started again."""

    async def main() -> None:
        port = free_port()
        public, own = f"http://127.0.0.2:{port}", settings(tmp_path, database_url)
        async with SimulatedTwilio(auth_token=TOKEN, numbers=()) as twilio:
            twilio.add_number(OWN, voice_url=f"{public}/incoming-call")
            async with server(2, port, public, own, PROGRAM) as process:
                calls = [await ring(twilio) for _ in range(2)]
                await records_of(database_url, calls, over=False)
                process.kill()
                await process.wait()
            for call in calls:
                call.end()
            async with server(2, port, public, own, PROGRAM):
                rows = await records_of(database_url, calls)
                later = await ring(twilio)
                later.end()
                check_ended((await records_of(database_url, [later]))[later.sid])
        for row in rows.values():
            check_ended(row)
            assert (row.status, row.ending) == ("interrupted", "interrupted")

    asyncio.run(main())


def freeze(pid: int, url: str) -> None:
    """Stop a process while it writes nothing to SQLite: a process that is frozen in a transaction keeps the lock of the
    file. PostgreSQL takes the locks of such a process away."""
    if not url.startswith("sqlite"):
        os.kill(pid, signal.SIGSTOP)
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        os.kill(pid, signal.SIGSTOP)
        lock.execute("ROLLBACK")


def test_one_process_of_three_is_frozen_and_wakes(shared_database_url: str, tmp_path: Path) -> None:
    """Meanwhile the others close its calls. One caller hangs up in that time, and another one goes on afterwards."""

    async def main() -> None:
        port = free_port()
        own = settings(tmp_path, shared_database_url)
        async with SimulatedTwilio(auth_token=TOKEN, numbers=()) as twilio, AsyncExitStack() as stack:
            processes = {}
            for number in (2, 3, 4):
                public = f"http://127.0.0.{number}:{port}"
                twilio.add_number(f"+1415555019{number}", voice_url=f"{public}/incoming-call")
                processes[number] = await stack.enter_async_context(server(number, port, public, own, PROGRAM))
            gone, goes_on = [await ring(twilio, "+14155550192") for _ in range(2)]
            others = [await ring(twilio, f"+1415555019{number}") for number in (3, 4)]
            await records_of(shared_database_url, [gone, goes_on, *others], over=False)
            freeze(processes[2].pid, shared_database_url)
            try:
                frozen = await records_of(shared_database_url, [gone, goes_on])
                assert {row.status for row in frozen.values()} == {"interrupted"}
                gone.end()
            finally:
                os.kill(processes[2].pid, signal.SIGCONT)
            for call in (goes_on, *others):
                call.end()
            rows = await records_of(shared_database_url, [gone, goes_on, *others])
            with closing(DatabaseRecords(shared_database_url)) as database:
                async with asyncio.timeout(60):
                    while any(row.status != "completed" for row in rows.values()):
                        await asyncio.sleep(0.1)
                        rows = {sid: database.call(sid) or row for sid, row in rows.items()}
            check_details(list(rows.values()))
            assert {row.ending for row in rows.values()} <= {"hung_up", "stream_lost"}

    asyncio.run(main())
