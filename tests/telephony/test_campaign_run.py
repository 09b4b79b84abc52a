"""`telephony campaign run` in a process of its own, against a simulated Twilio that outlives it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from telephony.simulator import Handset, SimulatedTwilio, callees
from tests.support import commands
from tests.support.call_processes import until

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(find_spec("dbos") is None, reason="the package dbos is not installed"),
]
ROOT = Path(__file__).parents[2]
NUMBERS = [f"+1415555{2000 + n}" for n in range(4)]
WITHIN_S = 120.0


def settings(twilio: SimulatedTwilio, folder: Path) -> dict[str, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "TWILIO_ACCOUNT_SID": twilio.account_sid,
            "TWILIO_AUTH_TOKEN": twilio.auth_token, "TWILIO_PHONE_NUMBER": "+14155550199",
            "TELEPHONY_TWILIO_API_URL": twilio.base_url, "PORT": str(port), "PUBLIC_URL": f"http://127.0.0.1:{port}",
            "TELEPHONY_MODEL": "scripted", "TELEPHONY_DATA_DIR": str(folder / "data"),
            "TELEPHONY_QUIET_HOURS": "off"}  # fmt: skip


async def run(*arguments: str | Path, env: dict[str, str]) -> Process:
    command = ("-m", "telephony", "campaign", "run", *arguments)
    return await commands.start_async(*command, env=env, cwd=ROOT, stdout=PIPE, stderr=PIPE)


def people(folder: Path, numbers: list[str]) -> Path:
    path = folder / "people.csv"
    path.write_text("to,name\n" + "".join(f"{number},Ada\n" for number in numbers))
    return path


async def endless(phone: Handset) -> None:
    await phone.say("hello")
    await asyncio.Event().wait()


NEW = ("--agent", "examples.remind:agent", "--retry", "busy=0", "--set", "holidays=true", "--per-second", "20")


async def test_the_first_ctrl_c_lets_live_calls_end_the_second_hangs_up_and_the_next_run_continues(
    tmp_path: Path,
) -> None:
    path, drains = people(tmp_path, [*NUMBERS, "12"]), asyncio.Event()

    async def brief(phone: Handset) -> None:
        await phone.say("hello")
        await drains.wait()
        phone.hang_up()

    async with SimulatedTwilio() as twilio, asyncio.timeout(WITHIN_S):
        twilio.default_callee = callees.busy(after_s=0.1)
        twilio.callees[NUMBERS[0]] = callees.person(brief, after_s=0.1)
        twilio.callees[NUMBERS[1]] = callees.person(endless, after_s=0.1)
        env = settings(twilio, tmp_path)
        first = await run(path, *NEW, "--at-once", "2", env=env)

        def statuses() -> list[str]:
            return [each.status for number in NUMBERS[:2] for each in twilio.placed_to(number)]

        async def interrupted_when(wanted: list[str], number: signal.Signals) -> None:
            await until(lambda: first.returncode is not None or statuses() == wanted)
            assert first.returncode is None, (await first.communicate())[1].decode()
            first.send_signal(number)

        await interrupted_when(["in-progress", "in-progress"], signal.SIGTERM)  # counts as Ctrl-C
        assert first.stderr is not None
        while line := await first.stderr.readline():
            if b"no further call begins" in line:
                break
        assert line
        placed = len(twilio.calls)  # a busy number may have been called before these two
        drains.set()
        await interrupted_when(["completed", "in-progress"], signal.SIGINT)
        _, errors = await first.communicate()
        assert first.returncode == 130, errors.decode()
        assert statuses() == ["completed", "completed"] and len(twilio.calls) == placed, "no further call began"
        rest = await run("people", "--json", env=env)
        printed, errors = await rest.communicate()
        assert rest.returncode == 0, errors.decode()
        found = json.loads(printed)
        assert (found["status"], found["funnel"]["states"]) == ("finished", {"done": 4, "invalid": 1})
        assert Counter(each.to for each in twilio.calls.values()) == Counter(NUMBERS), "each once"
