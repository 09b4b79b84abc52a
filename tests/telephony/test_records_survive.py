"""No call is missing from the records and no webhook is missing: real processes, of which one is killed or frozen in
the middle of calls, or in the middle of a webhook."""

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
from telephony.records.outbox import MessageState
from telephony.simulator import Handset, SimulatedTwilio
from telephony.simulator.calls import SimulatedCall
from tests.support.webhook_receiver import SECRET, Received, Receiver, data_of, receiver
from tests.telephony.test_deploy import TOKEN, answered, free_port, server, site, speaks

pytestmark = pytest.mark.real_time

OWN = "+14155550199"
PROGRAM = (
    "-c",
    "from telephony.records import client; client.LEASE_S, client.RENEW_S = 4.0, 0.5\n"
    "from telephony.webhooks.sender import WebhookSender\n"
    "WebhookSender.__init__.__kwdefaults__.update(lease_s=2.0, poll_s=0.2)\n"
    "from telephony.cli import main; main()",
)
"""The server, with leases and claims of webhooks that run out soon."""


def settings(folder: Path, url: str, here: Receiver) -> dict[str, str]:
    return {
        "TELEPHONY_WEBHOOK_URL": here.url,
        "TELEPHONY_WEBHOOK_SECRET": SECRET,
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


async def check_webhooks(here: Receiver, url: str) -> None:
    """Wait until each call on record was delivered. Each request is signed, and one id always has the same body."""
    with closing(DatabaseRecords(url)) as database:
        async with asyncio.timeout(60):
            while True:
                rows = await asyncio.to_thread(database.calls, CallQuery(limit=1000))
                arrived = {data_of(each)["id"] for each in here.received}
                if all(row.over and row.id in arrived for row in rows) and not database.outbox.waiting().pending:
                    break
                await asyncio.sleep(0.1)
        messages = {each.id: each for each in database.outbox.messages(limit=1000)}
    assert all(each.state is MessageState.DELIVERED for each in messages.values())
    for each in here.received:
        assert each.verified()["type"] == "call.ended"
        assert each.body.decode() == messages[each.id].payload, "a duplicate has the same id and the same body"


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
    """While its webhook arrives. Either process may have sent it. If the killed one has, the other one sends it again,
    with the same id; `test_webhook_kill` counts that.
    """
    victims: dict[str, asyncio.subprocess.Process] = {}
    killed_at: list[str] = []

    def answer(received: Received) -> tuple[int, str]:
        if (victim := victims.pop(data_of(received)["id"], None)) is not None:
            victim.kill()
            killed_at.append(received.id)
        return 204, ""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            webhooks = await stack.enter_async_context(receiver(answer))
            own = settings(tmp_path, shared_database_url, webhooks)
            here = await stack.enter_async_context(site(tmp_path, monkeypatch, None, PROGRAM, **own))
            calls: list[SimulatedCall] = []
            on: dict[str, str] = {}
            while len(calls) < 4 or set(on.values()) != {"phone-2", "phone-3"}:  # until both processes have calls
                assert len(calls) < 30, on
                calls.append(await ring(here.twilio))
                before = await records_of(shared_database_url, calls, over=False)
                on = {sid: row.instance for sid, row in before.items()}
            ended = next(call for call in calls if on[call.sid] == "phone-2")
            victims[ended.sid] = here.processes[0]
            ended.end()
            await here.processes[0].wait()
            after = [await ring(here.twilio) for _ in range(2)]
            for call in (*calls, *after):
                if call is not ended:
                    call.end()
            rows = await records_of(shared_database_url, [*calls, *after])
            for call in (*calls, *after):
                check_ended(rows[call.sid])
            survived = [rows[call.sid] for call in calls if on[call.sid] == "phone-3"] + [rows[it.sid] for it in after]
            assert {row.status for row in survived} == {"completed"}
            check_details(survived)
            killed = [rows[call.sid] for call in calls if on[call.sid] == "phone-2"]
            assert {row.status for row in killed} <= {"interrupted", "completed"}
            await check_webhooks(webhooks, shared_database_url)
            assert len(killed_at) == 1

    asyncio.run(main())


def test_the_next_process_closes_what_a_killed_one_left(shared_database_url: str, tmp_path: Path) -> None:
    """One process on one machine: killed in mid-call, and started again."""

    async def main() -> None:
        port = free_port()
        public = f"http://127.0.0.2:{port}"
        async with SimulatedTwilio(auth_token=TOKEN, numbers=()) as twilio, receiver() as webhooks:
            own = settings(tmp_path, shared_database_url, webhooks)
            twilio.add_number(OWN, voice_url=f"{public}/incoming-call")
            async with server(2, port, public, own, PROGRAM) as process:
                calls = [await ring(twilio) for _ in range(2)]
                await records_of(shared_database_url, calls, over=False)
                process.kill()
                await process.wait()
            for call in calls:
                call.end()
            async with server(2, port, public, own, PROGRAM):
                rows = await records_of(shared_database_url, calls)
                later = await ring(twilio)
                later.end()
                check_ended((await records_of(shared_database_url, [later]))[later.sid])
                await check_webhooks(webhooks, shared_database_url)
        for row in rows.values():
            check_ended(row)
            assert (row.status, row.ending) == ("interrupted", "interrupted")

    asyncio.run(main())


def freeze(pid: int, url: str) -> None:
    """Stops a process while it writes nothing to SQLite. A process that is frozen in a transaction keeps the lock of
    the file. PostgreSQL takes the locks of such a process away.
    """
    if not url.startswith("sqlite"):
        os.kill(pid, signal.SIGSTOP)
        return
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)) as lock:
        lock.execute("BEGIN IMMEDIATE")
        os.kill(pid, signal.SIGSTOP)
        lock.execute("ROLLBACK")


def test_one_process_of_three_is_frozen_and_wakes(shared_database_url: str, tmp_path: Path) -> None:
    """The other processes close its calls. One caller hangs up in that time, and another caller continues
    afterwards.
    """

    async def main() -> None:
        port = free_port()
        async with SimulatedTwilio(auth_token=TOKEN, numbers=()) as twilio, AsyncExitStack() as stack:
            webhooks = await stack.enter_async_context(receiver())
            own = settings(tmp_path, shared_database_url, webhooks)
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
            await check_webhooks(webhooks, shared_database_url)

    asyncio.run(main())
