"""A console for a person who tries it: `python -m benchmarks.trial` prints its address, and serves until Ctrl-C.

First some callers phone for half a minute, so that there are past calls with recordings: a booking in which the caller
interrupted the agent, a question, a caller who hung up in the middle, and one who said nothing. Then four callers phone
all the time, so there are always live calls. Older calls have only records, of two versions of the agent. Nothing
leaves this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from realtime_core import RealtimeAgent, RealtimeModelConfig
from realtime_core.local import LocalRealtimeServer
from telephony import create_app, hang_up, load_settings, transfer
from telephony.demo.agent import GREETING, book_table
from telephony.errors import CallerTimeout
from telephony.records.call_record import CallUpdate
from telephony.records.database import DatabaseRecords
from telephony.simulator import Handset, SimulatedTwilio
from telephony.web.server import listening

__all__ = ["main"]

OURS = "+14155550199"
OLDER = 400
Caller = Callable[[Handset], Awaitable[None]]


async def books_and_interrupts(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent()
    await phone.say("booking")
    await phone.agent_speaks()
    await phone.heard(4.0)
    await phone.say("sorry_hours")
    await phone.agent_speaks()
    await phone.agent_silent()
    await phone.say("goodbye")
    await phone.agent_speaks()
    await phone.agent_silent()
    phone.hang_up()


async def asks(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.agent_silent()
    await phone.say("hello")
    await phone.agent_speaks()
    await phone.agent_silent()
    phone.hang_up()


async def hangs_up(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(2.0)
    phone.hang_up()


async def says_nothing(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(20.0)
    phone.hang_up()


async def talks_on(phone: Handset) -> None:
    """Speaks for two minutes."""
    for clip in ("booking", "sorry_hours", "hello", "hello", "sorry_hours", "hello") * 2:
        await phone.agent_speaks()
        await phone.agent_silent(random.uniform(1.0, 4.0))
        await phone.say(clip)
    phone.hang_up()


PAST: dict[str, Caller] = {
    "+14155550171": books_and_interrupts,
    "+14155550172": asks,
    "+14155550173": hangs_up,
    "+14155550174": says_nothing,
}
LIVE = ("+14155550161", "+14155550162", "+14155550163", "+14155550164")


def fill(url: str) -> None:
    """Writes the records of older calls."""
    chosen, now = random.Random(16), datetime.now(UTC)
    endings = ["hung_up"] * 6 + ["agent_hung_up"] * 3 + ["transferred", "silence", "failed", "stream_lost"]
    outcomes = {"Booked": "The caller booked a table.", "Question answered": "The caller asked for the hours.", "": ""}
    updates = []
    for n in range(OLDER):
        begun = now - timedelta(minutes=20 + n * 37)
        is_canary, ending, outcome = chosen.random() < 0.2, chosen.choice(endings), chosen.choice(list(outcomes))
        length_s = chosen.randint(8, 240)
        latencies = [round(chosen.gauss(620 if is_canary else 810, 150)) for _ in range(length_s // 12)]
        changes = {
            "sid": f"CA{n:032x}", "direction": "inbound", "caller": f"+1415555{chosen.randint(1000, 9999)}",
            "called": OURS, "agent": "Trattoria Blu", "agents": ["Trattoria Blu"], "status": "completed",
            "started_at": begun, "ended_at": begun + timedelta(seconds=length_s), "duration_s": length_s,
            "transfers": [{"target": "kitchen", "succeeded": True}] if ending == "transferred" else [],
            "ending": ending, "outcome": outcome, "summary": outcomes[outcome],
            "interruptions": chosen.randint(0, 3), "turns": [{"latency_ms": each} for each in latencies],
            "variant": "Trattoria Blu 5d41402abc4b canary" if is_canary else "Trattoria Blu 7d793037a076",
        }  # fmt: skip
        updates.append(CallUpdate(f"CA{n:032x}", begun, changes=changes))
    with closing(DatabaseRecords(url)) as records:
        records.note(updates)


async def serve(folder: Path, port: int) -> None:
    """Serves the console, with callers, until it is cancelled."""
    url = f"sqlite:///{folder}/records.db"
    await asyncio.to_thread(fill, url)
    settings = load_settings(
        database_url=url, telephony_data_dir=folder, telephony_journal_dir=folder / "calls",
        telephony_record_numbers=True, telephony_calls_per_caller_hour=0,
    )  # fmt: skip
    agent = RealtimeAgent(
        name="Trattoria Blu",
        instructions="You answer for Trattoria Blu. Short sentences.",
        tools=[book_table, hang_up(), transfer(kitchen="+14155550150", manager="+14155550151")],
    )
    async with LocalRealtimeServer("trattoria") as model:
        config = RealtimeModelConfig(**model.model_config)
        app = create_app(agent, greeting=GREETING, settings=settings, model_config=config)
        async with listening(app, port=port) as address, SimulatedTwilio(numbers=()) as twilio:
            twilio.add_number(OURS, voice_url=f"{address}/incoming-call")
            sys.stdout.write("The first callers phone. This takes half a minute.\n")
            sys.stdout.flush()
            async with asyncio.TaskGroup() as group:
                for number, caller in PAST.items():
                    group.create_task(twilio.ring(to=OURS, from_=number, caller=caller))
            sys.stdout.write(f"The console: {address}/console\nPast callers: {', '.join(PAST)}\n")
            sys.stdout.write(f"Live callers: {', '.join(LIVE)}\nCtrl-C ends it.\n")
            sys.stdout.flush()
            async with asyncio.TaskGroup() as group:
                for n, number in enumerate(LIVE):
                    group.create_task(phones(twilio, number, after_s=5.0 * n))


async def phones(twilio: SimulatedTwilio, number: str, after_s: float) -> None:
    """Calls again and again."""
    await asyncio.sleep(after_s)
    while True:
        try:
            await twilio.ring(to=OURS, from_=number, caller=talks_on)
        except CallerTimeout:
            pass  # the caller waited too long, because a supervisor speaks
        await asyncio.sleep(3.0)


def main() -> None:
    """Reads the options and serves."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=8010)
    with tempfile.TemporaryDirectory() as folder:
        try:
            asyncio.run(serve(Path(folder), options.parse_args().port))
        except KeyboardInterrupt:
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
