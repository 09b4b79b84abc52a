"""The process that serves calls is killed (SIGKILL) in the middle of them. Another process takes its place, or Twilio's
fallback answers. No caller is lost, and each call is in the records afterwards.

The processes, sockets and signals are real, so this runs in `make proof` only. `test_numbers_proof.py` has the short
form, in virtual time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from random import Random

import pytest

from telephony.demo.environment import child_environment
from telephony.demo.processes import Child, child
from telephony.records.call_record import CallRecord
from telephony.records.database import DatabaseRecords
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.calls import SimulatedCall
from telephony.web.server import listening
from tests.support.clinic import BIN, PUBLIC, own, twiml_bin

TO, RECEPTION = "+12125550001", "+14155550123"
CALLS, BEGIN_S = 20, 10.0
LEASE_S = 10.0
DEAD = "http://127.0.0.1:9"
"""An address where nothing listens."""
FILE = f"""
[numbers."{TO}"]
agent = "tests.support.clinic:agent"
fallback = [{{ dial = "reception" }}, {{ voicemail = true }}]
fallback_url = "{BIN}"
transfer_targets = {{ reception = "{RECEPTION}" }}
"""
SERVER = f"""
import sys
from telephony.records import client
client.LEASE_S, client.RENEW_S = {LEASE_S}, 1.0
from telephony.web import missed_calls
missed_calls._FIRST_S = 0.5
from telephony.cli import main
sys.exit(main())
"""
"""A server whose lease is shorter, so that the calls of a killed process are closed sooner."""


@asynccontextmanager
async def server(twilio: SimulatedTwilio, folder: Path, name: str) -> AsyncIterator[tuple[Child, str]]:
    """A process with its address."""
    (folder / "numbers.toml").write_text(FILE)
    ours = {
        "DATABASE_URL": f"sqlite:///{folder}/records.db",
        "PUBLIC_URL": PUBLIC,
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TELEPHONY_TWILIO_API_URL": twilio.base_url,
        "TELEPHONY_MODEL": "scripted",
        "TELEPHONY_DATA_DIR": os.fspath(folder / "data"),
        "TELEPHONY_INSTANCE": name,
        "TELEPHONY_CALLS_PER_CALLER_HOUR": "0",
        "TELEPHONY_DRAIN_S": "1",
        "TELEPHONY_FAREWELL_S": "1",
        "LOG_LEVEL": "warning",
    }
    serve = ["-c", SERVER, "serve", "--config", os.fspath(folder / "numbers.toml"), "--port", "0", "--json"]
    async with child(name, serve, child_environment(os.environ, ours), verbose="SHOW" in os.environ) as process:
        address = (await process.ready())["listening"]
        twilio.webhooks.reach = {f"{PUBLIC}/i/{name}": f"{address}/i/{name}", **twilio.webhooks.reach}
        yield process, address


class Ear:
    """The longest time that a caller heard nothing and did not speak."""

    def __init__(self) -> None:
        self.longest_s, self.at_s = 0.0, 0.0

    async def listen(self, phone: Handset) -> None:
        since = phone.now
        while True:
            await asyncio.sleep(0.05)
            if phone.hears_voice or phone._words:
                since = phone.now
            elif phone.now - since > self.longest_s:
                self.longest_s, self.at_s = phone.now - since, phone.now


async def hears_a_word(phone: Handset) -> None:
    await phone.agent_speaks()


async def begin_calls(twilio: SimulatedTwilio, random: Random) -> list[tuple[SimulatedCall, Ear]]:
    """Callers who begin within about `BEGIN_S`, talk, and hang up."""

    async def talk(phone: Handset, ear: Ear, for_s: float) -> None:
        hearing = asyncio.create_task(ear.listen(phone))
        try:
            async with asyncio.timeout(for_s):
                while True:
                    await phone.agent_speaks()
                    await phone.agent_silent(0.8)
                    await phone.say("sorry_hours")
        except TimeoutError:
            phone.hang_up()
        finally:
            hearing.cancel()

    found: list[tuple[SimulatedCall, Ear]] = []
    for n in range(CALLS):
        ear = Ear()
        caller = partial(talk, ear=ear, for_s=random.uniform(5.0, 9.0))
        found.append((twilio.start_ringing(to=TO, caller=caller, from_=f"+4940{n:07}"), ear))
        await asyncio.sleep(random.uniform(0, 2 * BEGIN_S / CALLS))
    return found


async def records_of(folder: Path, calls: list[tuple[SimulatedCall, Ear]]) -> list[CallRecord]:
    """The records of the calls, when all of them are over."""
    with closing(DatabaseRecords(f"sqlite:///{folder}/records.db")) as records:
        async with asyncio.timeout(LEASE_S + 60):
            while True:
                rows = [await asyncio.to_thread(records.call, call.sid) for call, _ in calls]
                if all(row is not None and row.over for row in rows):
                    return [row for row in rows if row is not None]
                await asyncio.sleep(0.5)


def check(calls: list[tuple[SimulatedCall, Ear]]) -> None:
    print("The longest silences (s):", *sorted(round(ear.longest_s, 1) for _, ear in calls))
    for call, ear in calls:
        assert call.status == "completed" and not call.met_twilios_error, (call.sid, call.warnings)
        assert len(call.heard) > 8000, "the caller heard something"
        assert ear.longest_s <= 3.0, (call.sid, ear.longest_s, ear.at_s)


@pytest.mark.skipif("PROOF" not in os.environ, reason="real processes that are killed: make proof")
@pytest.mark.parametrize("seed", range(2))
def test_another_process_takes_the_calls_of_a_killed_one(seed: int, tmp_path: Path) -> None:
    asyncio.run(one_of_two(seed, tmp_path))


async def one_of_two(seed: int, folder: Path) -> None:
    random = Random(seed)
    async with asyncio.timeout(300), SimulatedTwilio(numbers=()) as twilio, listening(twiml_bin) as fallback:
        own(twilio, TO)
        twilio.callees[RECEPTION] = callees.busy()
        twilio.webhooks.reach["https://handler.example.com"] = fallback
        async with server(twilio, folder, "a") as (first, one), server(twilio, folder, "b") as (_, other):
            twilio.webhooks.reach[PUBLIC] = other
            await twilio.ring(to=TO, caller=hears_a_word)  # the second process has served calls, too
            twilio.webhooks.reach[PUBLIC] = one
            beginning = asyncio.create_task(begin_calls(twilio, random))
            await asyncio.sleep(random.uniform(4.0, 7.0))
            os.kill(first.pid, signal.SIGKILL)
            twilio.webhooks.reach |= {PUBLIC: other, f"{PUBLIC}/i/a": f"{other}/i/a"}
            calls = await beginning
            for call, _ in calls:
                await call.ends()
            check(calls)
            rows = await records_of(folder, calls)
    assert sum(row.instance == "b" for row in rows) > 0, "the second process took calls"


@pytest.mark.skipif("PROOF" not in os.environ, reason="real processes that are killed: make proof")
@pytest.mark.parametrize("seed", range(2))
def test_twilios_fallback_takes_the_calls_of_a_dead_host(seed: int, tmp_path: Path) -> None:
    asyncio.run(the_only_one(seed, tmp_path))


async def the_only_one(seed: int, folder: Path) -> None:
    random = Random(seed)
    async with asyncio.timeout(300), SimulatedTwilio(numbers=()) as twilio, listening(twiml_bin) as fallback:
        own(twilio, TO)
        twilio.webhooks.reach["https://handler.example.com"] = fallback
        async with server(twilio, folder, "a") as (first, address):
            twilio.webhooks.reach[PUBLIC] = address
            beginning = asyncio.create_task(begin_calls(twilio, random))
            await asyncio.sleep(random.uniform(4.0, 7.0))  # some callers call after the death of the host
            os.kill(first.pid, signal.SIGKILL)
            twilio.webhooks.reach |= {PUBLIC: DEAD, f"{PUBLIC}/i/a": DEAD}
            calls = await beginning
            for call, _ in calls:
                await call.ends()
            check(calls)
        async with server(twilio, folder, "a") as (_, address):  # the host is back
            twilio.webhooks.reach[PUBLIC] = address
            rows = await records_of(folder, calls)
    endings = {row.ending for row in rows}
    assert {"missed", "interrupted"} <= endings, endings
