"""Runs a campaign on server processes that are killed, frozen and replaced, with a simulated Twilio whose requests and
callbacks fail, and checks every call."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any

from telephony.campaigns.contact import Outcome
from telephony.campaigns.database_store import DatabaseStore
from telephony.demo.environment import child_environment
from telephony.records.database import DatabaseRecords
from telephony.records.subjects import SubjectKey
from telephony.simulator import Handset, SimulatedTwilio, callees
from telephony.simulator.faults import CreateFault

__all__ = ["Plan", "Report", "run_campaign"]

PUBLIC, TOKEN, KEY = "https://phone.example.com", "api-token", "the key of the proof"
OWN = "+14155550199"
FAULTS: tuple[CreateFault, ...] = ("", "", "", "", "", "429", "500", "500-after", "time-out-after")
_LEASE_S = 8.0
_PROGRAM = f"""
import sys
from telephony.campaigns import dialer
from telephony.outbound import call_state
dialer.LEASE_S, dialer._RENEW_S, dialer._SAFE_S = {_LEASE_S}, 1.0, 1.0
from telephony.records import client, engine
call_state._LIST_AFTER_S = (0.2, 0.4, 0.8, 1.0)
client._CLAIM_S = client._QUERY_S = engine.WITHIN_S = 60
from telephony.cli import main
sys.argv = ["telephony", "serve", "--json", "--port", "0"]
sys.exit(main())
"""
"""A server with a short lease, so that a campaign does not take hours. The searches at Twilio are shorter, too. The
database may take longer, because the machine is busy with all processes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to the processes. Times are chosen at random by `seed`."""

    url: str
    contacts: int
    processes: int = 1
    kills: int = 0
    restarts: bool = True
    """Whether a killed process is started again."""
    freezes: int = 0
    deploys: int = 0
    twin: bool = False
    """Whether another process has the name, and so the executor id, of the first one."""
    at_once: int = 8
    per_second: float = 20.0
    faults: bool = True
    persons: float = 0.1
    """The part of callees that talk."""
    opted_out: int = 0
    """How many people opt out while the campaign runs."""
    seed: int = 0
    within_s: float = 900.0


@dataclass(slots=True)
class Report:
    """What was found. `problems` is empty if everything holds."""

    calls: int = 0
    attempts: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    freezes: int = 0
    deploys: int = 0
    opted_out: int = 0
    most_at_once: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    """CPU time of the servers that have ended."""
    problems: list[str] = field(default_factory=list)


async def _brief(phone: Handset) -> None:
    await phone.agent_speaks()
    await phone.heard(0.2)
    phone.hang_up()


class _Site:
    def __init__(self, plan: Plan, twilio: SimulatedTwilio, report: Report) -> None:
        self.plan = plan
        self.twilio = twilio
        self.report = report
        self.random = Random(plan.seed)
        self.servers: dict[str, asyncio.subprocess.Process] = {}
        self.addresses: dict[str, str] = {}
        self.listed: dict[str, datetime] = {}
        self.frozen: set[str] = set()

    async def start(self, slot: str, instance: str | None = None) -> None:
        instance = instance or slot
        ours = {
            "DATABASE_URL": self.plan.url,
            "PUBLIC_URL": PUBLIC,
            "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self.twilio.auth_token,
            "TWILIO_PHONE_NUMBER": OWN,
            "TELEPHONY_TWILIO_API_URL": self.twilio.base_url,
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
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, env=child_environment(os.environ, ours), stdout=asyncio.subprocess.PIPE
        )
        self.servers[slot] = process
        assert process.stdout is not None
        async with asyncio.timeout(120):
            line = await process.stdout.readline()
        address = json.loads(line)["listening"]
        self.addresses[slot] = address
        self.twilio.webhooks.reach = {**self.twilio.webhooks.reach, f"{PUBLIC}/i/{instance}": f"{address}/i/{instance}"}
        self.twilio.webhooks.reach.setdefault(PUBLIC, address)

    async def stop(self, slot: str, how: signal.Signals) -> None:
        process = self.servers.pop(slot)
        with suppress(ProcessLookupError):
            os.kill(process.pid, how)
        await process.wait()

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Asks any server that answers."""

        def send(address: str) -> tuple[int, Any]:
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(address + path, data, {"Authorization": f"Bearer {TOKEN}"}, method=method)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return answer.status, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.loads(error.read())

        while True:
            for slot in [each for each in self.servers if each not in self.frozen]:
                with suppress(OSError, KeyError):
                    return await asyncio.to_thread(send, self.addresses[slot])
            await asyncio.sleep(0.2)

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Counts the calls at once, and keeps the faults of the next requests."""
        while True:
            live = sum(not call.is_over for call in self.twilio.calls.values())
            self.report.most_at_once = max(self.report.most_at_once, live)
            while self.plan.faults and len(self.twilio.faults.create) < 20:
                self.twilio.faults.create.append(self.random.choice(FAULTS))
            await asyncio.sleep(0.02)

    async def disturb(self) -> None:
        """Kills, freeze and replace servers, and let people opt out, in random order."""
        plan = self.plan
        acts = (
            ["kill"] * plan.kills + ["freeze"] * plan.freezes + ["deploy"] * plan.deploys + ["opt out"] * plan.opted_out
        )
        self.random.shuffle(acts)
        for act in acts:
            await asyncio.sleep(self.random.uniform(0.1, 1.5))
            slot = self.random.choice(sorted(self.servers))
            if act == "kill":
                await self.stop(slot, signal.SIGKILL)
                self.report.kills += 1
                if plan.restarts:
                    await asyncio.sleep(self.random.uniform(0.0, 1.0))
                    await self.start(slot, "a" if slot == "twin" else None)
            elif act == "deploy":
                await self.stop(slot, signal.SIGTERM)
                self.report.deploys += 1
                await self.start(slot, "a" if slot == "twin" else None)
            elif act == "freeze":
                self.frozen.add(slot)
                os.kill(self.servers[slot].pid, signal.SIGSTOP)
                await asyncio.sleep(_LEASE_S + 2)
                os.kill(self.servers[slot].pid, signal.SIGCONT)
                self.frozen.discard(slot)
                self.report.freezes += 1
            else:
                number = _number(self.random.randrange(plan.contacts))
                code, _ = await self.ask("POST", "/do-not-call", {"number": number})
                if code in (200, 201):
                    self.listed.setdefault(number, datetime.now(UTC))
                    self.report.opted_out += 1


def _number(n: int) -> str:
    return f"+1415{2000000 + n}"


def run_campaign(plan: Plan) -> Report:
    """Runs one campaign to its end, and check every call."""
    return asyncio.run(_run(plan))


async def _run(plan: Plan) -> Report:
    report, random = Report(), Random(plan.seed)
    began, cpu_before = time.monotonic(), _children_s()
    async with SimulatedTwilio() as twilio:
        site = _Site(plan, twilio, report)
        twilio.faults.hangs_s = 11
        twilio.faults.lost, twilio.faults.doubled = ("ringing",), ("completed", "answered")
        twilio.faults.reordered_s = 0.3 if plan.faults else 0.0
        for n in range(plan.contacts):
            chance = random.random()
            busy = callees.busy(after_s=0.1) if chance < 0.7 else callees.no_answer(after_s=0.4)
            twilio.callees[_number(n)] = busy if chance > plan.persons else callees.person(_brief, after_s=0.1)
        slots = [chr(ord("a") + n) for n in range(plan.processes)]
        try:
            await asyncio.gather(*(site.start(slot) for slot in slots))
            if plan.twin:
                await site.start("twin", "a")
            people = "\n".join(["id,to", *(f"p{n},{_number(n)}" for n in range(plan.contacts))])
            config = {
                "at_once": plan.at_once,
                "per_second": plan.per_second,
                "max_s": 30,
                "failures": 100,
                "failures_of": 100,
                "retry": "busy=1/2s,no-answer=0,failed=2/2s,canceled=3/1s,abandoned=0",
            }
            body = {"name": "proof", "csv": people, "config": config, "run": True}
            code, made = await site.ask("POST", "/campaigns", body)
            while code == 503:
                code, made = await site.ask("POST", "/campaigns", body)
            if code != 201:
                report.problems.append(f"the campaign was not made: {made}")
                return report
            watching = asyncio.create_task(site.watch())
            disturbing = asyncio.create_task(site.disturb())
            shown: dict[str, Any] = {}
            try:
                async with asyncio.timeout(plan.within_s):
                    while shown.get("status") != "finished" or not disturbing.done():
                        if disturbing.done():
                            disturbing.result()
                        _, shown = await site.ask("GET", "/campaigns/proof")
                        await asyncio.sleep(0.3)
            except TimeoutError:
                report.problems.append(f"not finished after {plan.within_s:.0f} s: {shown}")
            disturbing.cancel()
            watching.cancel()
            report.seconds = time.monotonic() - began
        finally:
            for slot in list(site.servers):
                os.kill(site.servers[slot].pid, signal.SIGCONT)
                await site.stop(slot, signal.SIGTERM)
        report.cpu_s = _children_s() - cpu_before
        await asyncio.to_thread(_check, plan, site, report)
    return report


def _check(plan: Plan, site: _Site, report: Report) -> None:
    calls = list(site.twilio.calls.values())
    report.calls = len(calls)
    with closing(DatabaseRecords(plan.url)) as database:
        store = DatabaseStore(database.transaction, SubjectKey(KEY.encode()).of)
        people = store.contacts("proof", limit=10 * plan.contacts)
        attempts = [each for it in store.attempts_of("proof", [one.id for one in people]).values() for each in it]
    report.attempts = len(attempts)
    report.outcomes = Counter(each.outcome.value for each in attempts if each.outcome is not None)
    problems = report.problems
    if len(people) != plan.contacts:
        problems.append(f"{plan.contacts - len(people)} contacts are lost")
    problems += [f"contact {each.id} is not done: {each.state.value}" for each in people if not each.is_final]
    tokens = Counter(str(call.options.get("StatusCallback", "")).rpartition("/")[2] for call in calls)
    problems += [f"attempt {token} has {count} calls" for token, count in tokens.items() if count > 1]
    known = {each.id: each for each in attempts}
    problems += [f"call of attempt {token} is in no result" for token in tokens if token not in known]
    for call in calls:
        token = str(call.options.get("StatusCallback", "")).rpartition("/")[2]
        if token in known and known[token].sid not in ("", call.sid):
            problems.append(f"attempt {token} names another call")
        if (at := site.listed.get(call.to)) is not None and call.created > at:
            problems.append(f"{call.to} was called after its opt-out")
    reached = [each.contact_id for each in attempts if each.outcome is Outcome.REACHED]
    for contact_id in reached:
        last = max((each for each in attempts if each.contact_id == contact_id), key=lambda each: each.started_at)
        if last.outcome is not Outcome.REACHED:
            problems.append(f"contact {contact_id} was called again after it was reached")
    if report.most_at_once > plan.at_once:
        problems.append(f"{report.most_at_once} calls at once, and {plan.at_once} are allowed")
    starts = sorted(each.started_at for each in attempts)
    closest = min((b - a for a, b in pairwise(starts)), default=None)
    if closest is not None and closest.total_seconds() < 1 / plan.per_second - 0.001:
        problems.append(f"two calls began within {closest.total_seconds():.3f} s")
    most = Counter(each.contact_id for each in attempts).most_common(1)
    if most and most[0][1] > 5:
        problems.append(f"contact {most[0][0]} has {most[0][1]} attempts")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
