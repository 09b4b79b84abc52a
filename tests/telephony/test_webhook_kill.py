"""Processes that are killed (`kill -9`) in the middle of a webhook: none is missing, and a repeated one has its id.

`PROOF=1` kills 20 processes, else three.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import defaultdict
from contextlib import closing

from benchmarks.extent import extent
from telephony.demo.environment import child_environment
from telephony.records.database import DatabaseRecords
from telephony.records.outbox import MessageState
from tests.support.environment import ANY_LOAD
from tests.support.forked_commands import FORKED
from tests.support.webhook_receiver import SECRET, Received, data_of, receiver

KILLS = extent(3, 20)

SENDER = (
    FORKED
    + """\
import asyncio, sys
from realtime_core.sources import SYSTEM
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.webhooks.sender import WebhookSender

async def main(database, url, secret, *calls):
    async with RecordsClient(DatabaseRecords(database), sources=SYSTEM) as client:
        async with WebhookSender(client, url, [secret], sources=SYSTEM, lease_s=0.5, poll_s=0.05):
            for call in calls:
                client.note(call, sid=call, status="completed", announce_s=0.0)
            await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""
)


async def kill_in_mid_webhook(database: str, kills: int) -> tuple[list[str], list[Received]]:
    """Each process writes the ends of three calls, and is killed at one of its next requests: before the answer, or
    with the answer. One more process delivers what is left. Returns the calls, and all requests that arrived."""
    arrived: list[Received] = []
    victim: list[asyncio.subprocess.Process] = []
    killed = asyncio.Event()

    def answer(received: Received) -> tuple[int, str]:
        arrived.append(received)
        if victim and not killed.is_set() and len(arrived) % 2:
            victim[0].send_signal(signal.SIGKILL)
            killed.set()
        return 204, ""

    calls: list[str] = []
    environment = child_environment(os.environ, ANY_LOAD)
    async with receiver(answer) as here:
        for n in range(kills + 1):
            ours = [f"CA{n}.{each}" for each in range(3)] if n < kills else []
            calls += ours
            killed.clear()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SENDER, database, here.url, SECRET, *ours, env=environment
            )
            if n < kills:
                victim[:] = [process]
                await killed.wait()
                await process.wait()
            else:
                victim.clear()
                with closing(DatabaseRecords(database)) as records:
                    while records.outbox.waiting().pending:  # noqa: ASYNC110 - of another process
                        await asyncio.sleep(0.05)
                process.kill()
                await process.wait()
    return calls, arrived


def test_no_webhook_is_missing_and_duplicates_have_the_same_id(database_url: str) -> None:
    async def run() -> tuple[list[str], list[Received]]:
        async with asyncio.timeout(extent(120, 600)):
            return await kill_in_mid_webhook(database_url, KILLS)

    calls, arrived = asyncio.run(run())
    requests = defaultdict(list)
    for each in arrived:
        assert each.verified()["type"] == "call.ended"
        requests[data_of(each)["id"]].append((each.id, each.body))
    written = set(requests)
    assert written <= set(calls)
    assert all(len(set(same)) == 1 for same in requests.values()), "a duplicate has the same id and the same body"
    with closing(DatabaseRecords(database_url)) as records:
        messages = records.outbox.messages(limit=1000)
        known = {call for call in calls if records.call(call) is not None}
    assert {each.call_id for each in messages} == known == written, "each call that is on record was delivered"
    assert all(each.state is MessageState.DELIVERED for each in messages)
    repeated = sum(len(same) - 1 for same in requests.values())
    print(f"{KILLS} processes killed: {len(written)} webhooks delivered, {repeated} of them again, none missing")
    assert repeated >= 1, "a kill in the middle of a webhook repeats it"
