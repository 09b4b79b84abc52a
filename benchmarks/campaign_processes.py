"""The server processes of a campaign's proof: they are started, asked, killed, frozen and replaced."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from typing import Any

from telephony.demo.environment import child_environment
from telephony.simulator import SimulatedTwilio

__all__ = ["KEY", "LEASE_S", "Processes"]

PUBLIC, TOKEN, KEY = "https://phone.example.com", "api-token", "the key of the proof"
OWN = "+14155550199"
LEASE_S = 10.0
_PROGRAM = f"""
import sys
from telephony.campaigns import durable_queue, lease
from telephony.outbound import call_state
lease.LEASE_S, lease._RENEW_S = {LEASE_S}, 1.0
from telephony.records import client, engine
call_state._LIST_AFTER_S = (0.3, 0.7, 1.5, 3.0)
client._CLAIM_S = client._QUERY_S = engine.WITHIN_S = 60
from telephony.cli import main
sys.argv = ["telephony", "serve", "--json", "--port", "0"]
"""
"""A server with a shorter lease, so that a campaign does not take hours. The searches at Twilio are shorter, too. Both
are long enough for a busy machine: a request for a call arrives at Twilio before another process has searched for it.
The database may take longer."""
_NEXT_RELEASE = """
from dbos import DBOS
async def attempt(attempt_id, campaign_id, position):
    "The workflow of the next release has another source."
    await durable_queue._work(attempt_id, campaign_id, position)
durable_queue._workflows.append(DBOS.workflow(name=durable_queue._WORKFLOW)(attempt))
"""
_START_S = 300.0


class Processes:
    """The servers by their slots. `frozen` are the slots whose process does not run at the moment. An async context
    manager, which ends all of them."""

    def __init__(self, url: str, twilio: SimulatedTwilio) -> None:
        self.frozen: set[str] = set()
        self._url = url
        self._twilio = twilio
        self._servers: dict[str, asyncio.subprocess.Process] = {}
        self._addresses: dict[str, str] = {}

    async def __aenter__(self) -> Processes:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._servers.values():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                os.kill(process.pid, signal.SIGTERM)
        for slot, process in self._servers.items():
            try:
                async with asyncio.timeout(60):
                    await process.wait()
            except TimeoutError:
                print(f"The process {slot} is killed, because it does not end.", file=sys.stderr, flush=True)
                process.kill()
                await process.wait()

    @property
    def slots(self) -> list[str]:
        return sorted(self._servers)

    @property
    def ended(self) -> list[str]:
        """The slots whose process has ended by itself."""
        return [slot for slot, process in self._servers.items() if process.returncode is not None]

    async def start(self, slot: str, *, is_next_release: bool = False) -> None:
        """Starts a process. The slot `twin` has the name, and so the executor id, of the slot `a`."""
        instance = "a" if slot == "twin" else slot
        ours = {
            "DATABASE_URL": self._url,
            "PUBLIC_URL": PUBLIC,
            "TWILIO_ACCOUNT_SID": self._twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self._twilio.auth_token,
            "TWILIO_PHONE_NUMBER": OWN,
            "TELEPHONY_TWILIO_API_URL": self._twilio.base_url,
            "TELEPHONY_API_TOKEN": TOKEN,
            "TELEPHONY_MODEL": "scripted",
            "TELEPHONY_DATA_DIR": "off",
            "TELEPHONY_NUMBER_KEY": KEY,
            "TELEPHONY_INSTANCE": instance,
            "TELEPHONY_QUIET_HOURS": "off",
            "TELEPHONY_DRAIN_S": "1",
            "TELEPHONY_FAREWELL_S": "1",
            "LOG_LEVEL": "error",
        }
        program = _PROGRAM + (_NEXT_RELEASE if is_next_release else "") + "sys.exit(main())"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, env=child_environment(os.environ, ours), stdout=asyncio.subprocess.PIPE
        )
        self._servers[slot] = process
        assert process.stdout is not None
        async with asyncio.timeout(_START_S):
            line = await process.stdout.readline()
        address = json.loads(line)["listening"]
        self._addresses[slot] = address
        webhooks = self._twilio.webhooks
        webhooks.reach = {**webhooks.reach, f"{PUBLIC}/i/{instance}": f"{address}/i/{instance}"}
        webhooks.reach.setdefault(PUBLIC, address)

    async def stop(self, slot: str, how: signal.Signals) -> None:
        process = self._servers.pop(slot)
        with suppress(ProcessLookupError):
            os.kill(process.pid, how)
        await process.wait()

    async def freeze(self, slot: str, seconds: float) -> None:
        self.frozen.add(slot)
        os.kill(self._servers[slot].pid, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        os.kill(self._servers[slot].pid, signal.SIGCONT)
        self.frozen.discard(slot)

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """Asks any server that answers. A request with a `key` may be repeated."""

        def send(address: str) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body).encode()
            headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Idempotency-Key": key} if key else {})
            request = urllib.request.Request(address + path, data, headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60 if key else 10) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.loads(error.read())

        while True:
            for slot in [each for each in self.slots if each not in self.frozen]:
                with suppress(OSError, KeyError):
                    return await asyncio.to_thread(send, self._addresses[slot])
            await asyncio.sleep(0.2)
