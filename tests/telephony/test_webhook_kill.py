"""Processes that are killed (`kill -9`) or frozen (SIGSTOP) in the middle of a webhook: none is missing, and a repeated
one has the same id and the same body. One process on SQLite, three on PostgreSQL.

`PROOF=1` kills 20 processes and freezes ten, else one of each.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from benchmarks.extent import extent
from telephony.demo.environment import child_environment
from telephony.records.call_query import CallQuery
from telephony.records.database import DatabaseRecords
from telephony.records.outbox import MessageState
from tests.support import commands
from tests.support.databases import new_database
from tests.support.environment import ANY_LOAD
from tests.support.webhook_receiver import SECRET, Received, Receiver, data_of, receiver

PROOF = bool(os.environ.get("PROOF"))
KILLS = extent(1, 20)
FREEZES = extent(1, 10)

SENDER = """
import asyncio, os, sys
from realtime_core.sources import SYSTEM
from telephony.records.client import RecordsClient
from telephony.records.database import DatabaseRecords
from telephony.webhooks.sender import WebhookSender

async def main(database, url, secret, name, stop):
    async with RecordsClient(DatabaseRecords(database), sources=SYSTEM) as client:
        async with WebhookSender(client, url, [secret], sources=SYSTEM, lease_s=0.5, poll_s=0.05):
            number = 0
            while not os.path.exists(stop):
                number += 1
                client.note(f"CA{name}.{number}", sid=f"CA{name}.{number}", status="completed", announce_s=0.0)
                await asyncio.sleep(0.2)
            await client.flush(60)
            print("written", flush=True)
            await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass
class Fleet:
    """Processes that end calls and send the webhooks of one database. The receiver kills or freezes the process whose
    request it has, before it answers or just after. Another process takes the place of a killed one."""

    database: str
    stop: Path
    """When this file exists, no more calls end."""
    size: int
    kills: int
    freezes: int
    random: Random
    processes: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)
    arrived: list[Received] = field(default_factory=list)
    frozen: str = ""
    """The name of the process that is frozen now. It is woken when another one has sent a webhook of it."""
    gone: list[asyncio.subprocess.Process] = field(default_factory=list)
    begun: int = 0

    def answer(self, received: Received) -> tuple[int, str]:
        self.arrived.append(received)
        name = received.path.rpartition("/")[2]
        process = self.processes.get(name)
        if self.frozen:
            of_frozen = {each.id for each in self.arrived if each.path.endswith(self.frozen)}
            if name != self.frozen and received.id in of_frozen:
                self.processes[self.frozen].send_signal(signal.SIGCONT)
                self.frozen = ""
        elif process is not None and self.kills and (not self.freezes or self.random.random() < 0.6):
            self.kills -= 1
            self.gone.append(self.processes.pop(name))
            if self.random.random() < 0.5:
                process.kill()
            else:
                asyncio.get_running_loop().call_later(0.0, process.kill)
        elif process is not None and self.freezes:
            self.freezes -= 1
            self.frozen = name
            process.send_signal(signal.SIGSTOP)
        return 204, ""

    async def run(self) -> None:
        """Return when all faults have happened and no webhook waits."""
        async with receiver(self.answer) as here:
            try:
                while self.kills or self.freezes or self.frozen or len(self.processes) < self.size:
                    while len(self.processes) < self.size:
                        await self._start(here)
                    await asyncio.sleep(0.05)
                self.stop.touch()
                for process in self.processes.values():
                    assert process.stdout is not None
                    assert await process.stdout.readline() == b"written\n"
                with closing(DatabaseRecords(self.database)) as records:
                    while records.outbox.waiting().pending:  # noqa: ASYNC110 - of other processes
                        await asyncio.sleep(0.05)
            finally:
                for process in (*self.processes.values(), *self.gone):
                    with contextlib.suppress(ProcessLookupError):
                        process.kill()
                    await process.wait()

    async def _start(self, here: Receiver) -> None:
        self.begun += 1
        name = f"process{self.begun}."
        self.processes[name] = await commands.start_async(
            "-c", SENDER, self.database, f"{here.url}/{name}", SECRET, name, str(self.stop),
            env=child_environment(os.environ, ANY_LOAD), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip


def check(fleet: Fleet) -> str:
    """Check what arrived. Returns a summary."""
    requests = defaultdict(list)
    for each in fleet.arrived:
        assert each.verified()["type"] == "call.ended"
        requests[data_of(each)["id"]].append((each.id, each.body))
    assert all(len(set(same)) == 1 for same in requests.values()), "a duplicate has the same id and the same body"
    with closing(DatabaseRecords(fleet.database)) as records:
        messages = records.outbox.messages(limit=100_000)
        known = {row.id for row in records.calls(CallQuery(limit=100_000))}
    assert {each.call_id for each in messages} == known == set(requests), "each call that is on record was delivered"
    assert all(each.state is MessageState.DELIVERED for each in messages)
    repeated = sum(len(same) - 1 for same in requests.values())
    assert repeated >= 1, "a fault in the middle of a webhook repeats it"
    return f"{len(requests)} webhooks delivered, {repeated} of them again, none missing"


@pytest.mark.parametrize("kind, size", [("sqlite", 1), ("postgresql", 3)])
def test_no_webhook_is_missing_and_duplicates_have_the_same_id(
    kind: str, size: int, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    freezes = FREEZES if size > 1 else 0
    fleet = Fleet(new_database(kind, request, tmp_path), tmp_path / "stop", size, KILLS, freezes, Random(15))

    async def run() -> None:
        async with asyncio.timeout(extent(120, 900)):
            await fleet.run()

    asyncio.run(run())
    summary = check(fleet)
    with capsys.disabled():
        if PROOF:
            print(f"\n{kind}, {size} at a time: {KILLS} killed, {freezes} frozen and woken: {summary}")
