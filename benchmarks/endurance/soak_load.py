"""The calls of the soak: `python -m benchmarks.endurance.soak_load ROLE`, one process for each role.

- `talks`: a simulated Twilio with people of many kinds, calls in and calls out, and the embedded model
- `measures`: the synthetic calls of `telephony bench`, which measure latencies and holes

A process prints its addresses as JSON. For each line `{"server": address, "seconds": ..., "calls": ...}` it keeps this
number of calls in progress for this time, and prints the figures once the calls are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
import urllib.request
from collections import Counter, deque
from typing import Any

from websockets.http11 import Request

from realtime_core.connection import Connection
from realtime_core.connection.websocket import serve
from realtime_core.errors import ConnectFailed
from realtime_core.local import LocalRealtimeServer
from telephony.bench.loop import run
from telephony.bench.measuring import quantile
from telephony.bench.synthetic_call import Figures, SyntheticCall, answer_deltas, caller_payloads
from telephony.errors import CallerTimeout
from telephony.simulator import SimulatedTwilio, callees
from telephony.simulator.links import SocketLinks
from telephony.simulator.twiml import parse
from telephony.simulator.webhooks import WebhookFailed, Webhooks

from .hours import SCRIPT, inbound_kinds

__all__ = ["ACCOUNT", "API_TOKEN", "AUTH_TOKEN", "MEASURED", "PUBLIC", "TALKED"]

PUBLIC = "https://phone.example.com"
ACCOUNT, AUTH_TOKEN, API_TOKEN = "AC" + "0" * 32, "soak-auth-token", "soak-api-token"
TALKED, MEASURED = "+14155550199", "+14155550198"
_INTERVAL_S = 30.0
_CONNECT_S = 30.0
_LAST_S = 10.0
"""How long the last calls may go on. Then their people hang up."""


class Measures:
    """Synthetic calls that come and go. The calls connect one by one, so the next model connection is theirs."""

    def __init__(self) -> None:
        self._expected: deque[SyntheticCall] = deque()
        self._connecting = asyncio.Lock()
        self._made = 0
        self._figures = Figures()
        self._webhooks: Webhooks
        self._failed: Counter[str] = Counter()

    async def serve_model(self, connection: Connection, request: Request) -> None:
        if self._expected:
            await self._expected.popleft().serve_model(connection)

    async def run(self, server: str, seconds: float, calls: int) -> dict[str, Any]:
        self._webhooks = Webhooks(AUTH_TOKEN, {PUBLIC: server}, SocketLinks())
        loop = asyncio.get_running_loop()
        until, before, rows = loop.time() + seconds, self._made, []
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._one_after_the_other(until, n, calls)) for n in range(calls)]
            while not all(worker.done() for worker in workers):
                await asyncio.wait(workers, timeout=_INTERVAL_S)
                rows.append(_summary(self._figures))
                self._figures.reset()
        return {"calls": self._made - before, "rows": rows, "failed": dict(self._failed)}

    async def _one_after_the_other(self, until: float, number: int, calls: int) -> None:
        loop, rng = asyncio.get_running_loop(), random.Random(number)
        await asyncio.sleep(rng.uniform(0, 5))
        while loop.time() < until:
            try:
                await self._call(min(rng.uniform(15, 45), until - loop.time() + 5), number / calls)
            except (OSError, ConnectFailed, WebhookFailed, TimeoutError, ExceptionGroup) as error:
                self._failed[repr(error)[:200]] += 1
                await asyncio.sleep(1)

    async def _call(self, seconds: float, phase: float) -> None:
        self._made += 1
        call, over = SyntheticCall(10**6 + self._made, self._figures), asyncio.Event()
        form = {
            "CallSid": call.call_sid, "AccountSid": ACCOUNT, "From": f"+1415{5600000 + self._made}", "To": MEASURED,
            "CallStatus": "ringing", "Direction": "inbound", "ApiVersion": "2010-04-01",
        }  # fmt: skip
        async with self._connecting:
            self._expected.append(call)
            try:
                running = await self._connect(call, form, phase, over)
            except BaseException:
                with contextlib.suppress(ValueError):
                    self._expected.remove(call)
                raise
        await asyncio.sleep(max(0.0, seconds))
        over.set()
        await running
        await self._webhooks.ask(f"{PUBLIC}/call-status", {**form, "CallStatus": "completed", "CallDuration": "30"})

    async def _connect(
        self, call: SyntheticCall, form: dict[str, str], phase: float, over: asyncio.Event
    ) -> asyncio.Task[None]:
        """Rings the server, whose session with the model begins at the webhook. Returns the task of the call."""
        answer = await self._webhooks.ask(f"{PUBLIC}/incoming-call", form)
        document = parse(answer.body, PUBLIC)
        streams = [noun for verb in document.verbs for noun in verb.nouns if noun.name == "Stream"]
        if not streams:
            raise ConnectFailed("The call was turned away: " + " ".join(verb.name for verb in document.verbs))
        (stream,) = streams
        url = stream.get("url")
        parameters = {it.get("name"): it.get("value") for it in stream.nouns}
        headers = {"X-Twilio-Signature": self._webhooks.signature(url, {})}
        running = asyncio.create_task(
            call.run(self._webhooks.address(url), phase, over, headers=headers, parameters=parameters)
        )
        ready = asyncio.create_task(call.configured.wait())
        await asyncio.wait({running, ready}, timeout=_CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if not call.configured.is_set():
            ready.cancel()
            running.cancel()
            await asyncio.wait({running})
            raise TimeoutError("The server did not configure the model.")
        return running


def _summary(figures: Figures) -> dict[str, Any]:
    found: dict[str, Any] = {"underruns": figures.underruns, "answers": figures.answers, "frames": figures.frames_sent}
    for name in ("up", "out", "barge", "late"):
        values = sorted(getattr(figures, name))
        found[name] = [round(1000 * quantile(values, q), 2) for q in (0.5, 0.99)]
    return found


class Talks:
    """People of many kinds on a simulated Twilio."""

    def __init__(self, twilio: SimulatedTwilio) -> None:
        self._twilio = twilio
        self._made = 0
        self._statuses: Counter[str] = Counter()

    async def run(self, server: str, seconds: float, calls: int) -> dict[str, Any]:
        self._twilio.webhooks.reach[PUBLIC] = server
        self._twilio.numbers[TALKED].voice_url = f"{PUBLIC}/incoming-call"
        self._twilio.numbers[TALKED].status_callback = f"{PUBLIC}/call-status"
        until, before = asyncio.get_running_loop().time() + seconds, self._made
        self._statuses.clear()
        async with asyncio.TaskGroup() as group:
            people = [
                group.create_task(self._one_after_the_other(until, server, random.Random(number)))
                for number in range(calls)
            ]
            await asyncio.wait(people, timeout=seconds + _LAST_S)
            for call in list(self._twilio.calls.values()):
                call.end()
        self._twilio.calls.clear()
        return {"calls": self._made - before, "statuses": dict(self._statuses)}

    async def _one_after_the_other(self, until: float, server: str, rng: random.Random) -> None:
        loop, kinds = asyncio.get_running_loop(), inbound_kinds()
        while loop.time() < until:
            self._made += 1
            number = f"+1415{5700000 + self._made}"
            if rng.random() < 0.3:
                status = await self._place(server, number, rng)
            else:
                name = rng.choice(list(kinds))
                try:
                    status = await kinds[name](self._twilio, None, number, rng)
                except (CallerTimeout, OSError, ConnectFailed) as error:
                    status = f"{name}: {error!r}"[:100]
            self._statuses[status] += 1
            await asyncio.sleep(rng.uniform(0.1, 2.0))

    async def _place(self, server: str, to: str, rng: random.Random) -> str:
        self._twilio.callees[to] = rng.choice([callees.person, callees.voicemail, callees.busy])()
        body = json.dumps({"to": to, "max_s": 20}).encode()
        headers = {"Authorization": f"Bearer {API_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{server}/calls", body, headers)

        def post() -> None:
            with urllib.request.urlopen(request, timeout=30) as answer:
                answer.read()

        try:
            await asyncio.to_thread(post)
            async with asyncio.timeout(60):
                while not (placed := self._twilio.placed_to(to)):  # noqa: ASYNC110 - there is no event
                    await asyncio.sleep(0.1)
                await placed[-1].finished()
        except (OSError, TimeoutError) as error:
            return f"not placed: {error}"[:80]
        finally:
            self._twilio.callees.pop(to, None)
        return f"placed: {placed[-1].status}"


async def _obey(work: Any) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        order = json.loads(line)
        _say(await work.run(order["server"], order["seconds"], order["calls"]))


async def _measures() -> None:
    caller_payloads(), answer_deltas()
    gc.freeze()
    measures = Measures()
    async with serve(measures.serve_model, ping_interval_s=None) as server:
        _say({"model": f"http://127.0.0.1:{server.port}/v1"})
        await _obey(measures)


async def _talks() -> None:
    async with (
        LocalRealtimeServer(SCRIPT) as model,
        SimulatedTwilio(account_sid=ACCOUNT, auth_token=AUTH_TOKEN, numbers=(TALKED,)) as twilio,
    ):
        _say({"model": model.base_url, "twilio": twilio.base_url})
        await _obey(Talks(twilio))


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    run({"measures": _measures, "talks": _talks}[sys.argv[1]]())
